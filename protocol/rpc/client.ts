/**
 * Typed calls over an injected fetch. Rule: whatever comes back is parsed by the method's schema before anyone sees
 * it; a peer's error is an `RpcError`, a broken connection or nonsense a `BackupError`.
 */
import * as v from "valibot";
import { BackupError } from "../base/errors.ts";
import { ResponseEnvelope, type RpcId } from "./envelope.ts";
import { BodyTooLargeError, readLimitedText } from "./limited_text.ts";
import type { Method, StreamMethod } from "./method.ts";
import { RpcError } from "./rpc_error.ts";
import { createSseParser, SSE_MEDIA_TYPE } from "./sse.ts";
import { type WhyUnreachable, whyUnreachable } from "./why_unreachable.ts";

/** `fetch`, or the `fetch` of a Hono app in place of the network. */
export type FetchLike = (request: Request) => Response | Promise<Response>;

/** Largest answer that is not a stream. */
export const RESPONSE_BYTES_MAX = 64 << 20;

export interface RpcClientOptions {
  fetch: FetchLike;
  /** Where requests are posted to. */
  url: string;
  /** Sent with every request, e.g. authorization. */
  headers?: Readonly<Record<string, string>>;
}

export interface CallOptions {
  /** Ends the call or stream; it rejects with the signal's reason. What the peer does goes on. */
  signal?: AbortSignal | undefined;
}

export interface RpcClient {
  /**
   * @throws {RpcError} what the peer answered.
   * @throws {BackupError} `io` (retry later) when the peer cannot be reached, `protocol` when its answer is nonsense.
   */
  call<P extends v.GenericSchema, R extends v.GenericSchema>(
    method: Method<P, R>,
    params: v.InferOutput<P>,
    options?: CallOptions,
  ): Promise<v.InferOutput<R>>;
  /** Events until the peer ends the stream; throws as `call` does. Leaving the loop closes the connection. */
  stream<P extends v.GenericSchema, E extends v.GenericSchema>(
    method: StreamMethod<P, E>,
    params: v.InferOutput<P>,
    options?: CallOptions,
  ): AsyncGenerator<v.InferOutput<E>, void, undefined>;
}

export function createRpcClient(options: RpcClientOptions): RpcClient {
  let lastId = 0;

  async function post(
    method: string,
    params: unknown,
    accept: string,
    signal: AbortSignal | undefined,
  ): Promise<{ id: RpcId; response: Response }> {
    const id = ++lastId;
    const request = new Request(options.url, {
      method: "POST",
      headers: { ...options.headers, "content-type": "application/json", accept },
      body: JSON.stringify({ jsonrpc: "2.0", id, method, params }),
      ...(signal === undefined ? {} : { signal }),
    });
    const response = await unlessAborted(reach(options, request), signal);
    return { id, response };
  }

  return {
    async call(method, params, { signal } = {}) {
      const { id, response } = await post(method.name, params, "application/json", signal);
      const text = await unlessAborted(readAnswer(response, options.url), signal);
      return parseResult(method.result, text, id, options.url);
    },

    async *stream(method, params, { signal } = {}) {
      const accept = `${SSE_MEDIA_TYPE}, application/json`;
      const { id, response } = await post(method.name, params, accept, signal);
      const mediaType = response.headers.get("content-type") ?? "";
      if (!mediaType.startsWith(SSE_MEDIA_TYPE) || response.body === null) {
        const text = await unlessAborted(readAnswer(response, options.url), signal);
        parseResult(v.unknown(), text, id, options.url);
        throw nonsense(options.url, `${method.name} was answered without a stream`);
      }
      for await (const data of sseEvents(response.body, signal, options.url)) {
        yield parseResult(method.event, data, id, options.url);
      }
    },
  };
}

async function reach(options: RpcClientOptions, request: Request): Promise<Response> {
  try {
    return await options.fetch(request);
  } catch (thrown) {
    if (request.signal.aborted) throw request.signal.reason;
    throw unreachable(options.url, thrown);
  }
}

async function readAnswer(response: Response, url: string): Promise<string> {
  try {
    return await readLimitedText(response.body, RESPONSE_BYTES_MAX);
  } catch (thrown) {
    if (thrown instanceof BodyTooLargeError) throw nonsense(url, thrown.message);
    throw unreachable(url, thrown);
  }
}

async function* sseEvents(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal | undefined,
  url: string,
): AsyncGenerator<string, void, undefined> {
  const reader = body.getReader();
  const parser = createSseParser();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const step = await unlessAborted(readStep(reader, url), signal);
      if (step.done) return;
      yield* parser.push(decoder.decode(step.value, { stream: true }));
    }
  } finally {
    // Not awaited: a hung connection must not hold up whoever leaves.
    reader.cancel().catch(() => {});
  }
}

async function readStep(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  url: string,
): Promise<ReadableStreamReadResult<Uint8Array>> {
  try {
    return await reader.read();
  } catch (thrown) {
    throw unreachable(url, thrown);
  }
}

function parseResult<R extends v.GenericSchema>(
  schema: R,
  text: string,
  id: RpcId,
  url: string,
): v.InferOutput<R> {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw nonsense(url, "the answer is not JSON");
  }
  const envelope = v.safeParse(ResponseEnvelope, body);
  if (!envelope.success) throw nonsense(url, "the answer is not a JSON-RPC response");
  const response = envelope.output;
  if ("error" in response) {
    throw new RpcError(response.error.code, response.error.message, response.error.data);
  }
  if (response.id !== id) throw nonsense(url, "the answer belongs to another request");
  const result = v.safeParse(schema, response.result);
  if (!result.success) {
    const first = result.issues[0];
    throw nonsense(url, `${v.getDotPath(first) ?? "result"}: ${first.message}`);
  }
  return result.output;
}

/** Nobody has answered: what was asked may have been heard, and may go on. */
export class UnreachableError extends BackupError {
  override readonly name: string = "UnreachableError";
  readonly why: WhyUnreachable;

  constructor(message: string, cause?: unknown) {
    const why = whyUnreachable(cause);
    super("io", message, { retry: "later", cause, hint: why.hint });
    this.why = why;
  }
}

function unreachable(url: string, cause: unknown): BackupError {
  return new UnreachableError(
    `Cannot reach the agent at ${url}: ${whyUnreachable(cause).why}`,
    cause,
  );
}

function nonsense(url: string, what: string): BackupError {
  return new BackupError("protocol", `Cannot understand the agent at ${url}: ${what}`);
}

/** Settles as `work` does, or rejects as soon as `signal` is aborted: an app in place of the network knows no signal. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
