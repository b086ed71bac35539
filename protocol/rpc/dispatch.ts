/** From request body to response body. Rule: every text gets a valid JSON-RPC answer and nothing is thrown. */
import * as v from "valibot";
import type { Log } from "../base/log.ts";
import { failure, RequestEnvelope, type ResponseEnvelope, RpcId, success } from "./envelope.ts";
import { RPC_CODES } from "./error_codes.ts";
import { isDeeperThan } from "./json_depth.ts";
import type { Binding, CallContext, EventStream } from "./method.ts";
import { RpcError, violationsOf } from "./rpc_error.ts";

/** Deep enough for any message of ours, shallow enough for every recursive JSON function. */
const NESTING_MAX = 100;

/** One answer, or a stream of answers that all carry the id of the request. */
export type Outcome =
  | { kind: "reply"; body: ResponseEnvelope }
  | { kind: "stream"; events: EventStream<ResponseEnvelope> };

/** Never rejects. */
export type Dispatch = (text: string, context: CallContext) => Promise<Outcome>;

export interface DispatchOptions {
  /** Runs before the method is looked up; throws an `RpcError` to refuse the call. */
  before?: (context: CallContext) => void;
  log: Log;
}

export function createDispatch(bindings: readonly Binding[], options: DispatchOptions): Dispatch {
  const byName = new Map(bindings.map((binding) => [binding.name, binding]));
  const { before, log } = options;

  return async (text, context) => {
    let id: RpcId | null = null;
    try {
      const body = parseJson(text);
      id = idOf(body);
      const request = parseRequest(body);
      before?.(context);
      const binding = byName.get(request.method);
      if (binding === undefined) {
        throw new RpcError(RPC_CODES.methodNotFound, "Method not found");
      }
      if (binding.kind === "call") {
        return reply(success(request.id, await binding.invoke(request.params, context)));
      }
      context.admitStream?.();
      const events = await binding.invoke(request.params, context);
      return { kind: "stream", events: inEnvelopes(request.id, events, log) };
    } catch (thrown) {
      logInternal(log, thrown);
      return reply(failure(id, thrown));
    }
  };
}

function reply(body: ResponseEnvelope): Outcome {
  return { kind: "reply", body };
}

function parseJson(text: string): unknown {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new RpcError(RPC_CODES.parseError, "The request body is not JSON");
  }
  if (isDeeperThan(body, NESTING_MAX)) {
    throw new RpcError(RPC_CODES.invalidRequest, `JSON nested deeper than ${NESTING_MAX} levels`);
  }
  return body;
}

function idOf(body: unknown): RpcId | null {
  if (typeof body !== "object" || body === null || !Object.hasOwn(body, "id")) return null;
  const parsed = v.safeParse(RpcId, Reflect.get(body, "id"));
  return parsed.success ? parsed.output : null;
}

function parseRequest(body: unknown): RequestEnvelope {
  if (Array.isArray(body)) {
    throw new RpcError(RPC_CODES.invalidRequest, "Batches are not supported");
  }
  const parsed = v.safeParse(RequestEnvelope, body);
  if (parsed.success) return parsed.output;
  const first = violationsOf(parsed.issues, "request")[0];
  throw new RpcError(
    RPC_CODES.invalidRequest,
    `Not a JSON-RPC 2.0 request: ${first?.field}: ${first?.description}`,
  );
}

/** A failure in mid-stream is the last event; after it the source is closed. */
function inEnvelopes(
  id: RpcId,
  source: EventStream<unknown>,
  log: Log,
): EventStream<ResponseEnvelope> {
  let ended = false;
  return {
    async next() {
      if (ended) return { done: true, value: undefined };
      try {
        const step = await source.next();
        if (!step.done) return { done: false, value: success(id, step.value) };
        ended = true;
        return step;
      } catch (thrown) {
        ended = true;
        logInternal(log, thrown);
        return { done: false, value: failure(id, thrown) };
      }
    },
    async return() {
      ended = true;
      await source.return();
      return { done: true, value: undefined };
    },
  };
}

function logInternal(log: Log, thrown: unknown): void {
  if (thrown instanceof RpcError) return;
  log("error", "A call failed unexpectedly", {
    error: thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown),
  });
}
