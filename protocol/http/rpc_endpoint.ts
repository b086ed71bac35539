/** JSON-RPC over HTTP POST. Rule: 200 for every JSON-RPC answer, an error body in JSON-RPC form for everything else. */
import { a2aError } from "../a2a/a2a_error.ts";
import { activatedExtensions, EXTENSIONS_HEADER, VERSION_HEADER } from "../a2a/version.ts";
import type { Clock } from "../base/clock.ts";
import { createRateLimiter } from "../base/rate_limiter.ts";
import type { Dispatch } from "../rpc/dispatch.ts";
import { encodeEnvelope, failure, type ResponseEnvelope } from "../rpc/envelope.ts";
import { RPC_CODES } from "../rpc/error_codes.ts";
import { BodyTooLargeError } from "../rpc/limited_text.ts";
import { RpcError } from "../rpc/rpc_error.ts";
import { type BodyLimits, createBodyReader } from "./body_reader.ts";
import { type Gate, secondsOf } from "./gate.ts";
import { sseResponse } from "./sse_response.ts";

export interface RpcLimits extends BodyLimits {
  /** Calls being answered, streams not among them. One that waits for a task's end counts. */
  callsMax: number;
  streamsMax: number;
  /** Calls of one remote address; within one process nobody counts. */
  callsPerSecond: number;
  callsBurst: number;
}

export const RPC_LIMITS: RpcLimits = {
  bodyBytesMax: 4 << 20,
  bodiesBytesMax: 64 << 20,
  bodyMsMax: 30_000,
  callsMax: 512,
  streamsMax: 256,
  callsPerSecond: 1_000,
  callsBurst: 5_000,
};

export interface RpcEndpointDeps {
  dispatch: Dispatch;
  clock: Clock;
  gate: Gate;
  /** Who the callers are that the gate let in; with one token they are one. */
  caller: string;
  /** URIs this agent knows; those a caller asks for are named in the answer. */
  extensions: readonly string[];
  limits?: Partial<RpcLimits> | undefined;
}

/** `peer` is the remote address, undefined within one process. */
export type RpcEndpoint = (request: Request, peer?: string | undefined) => Promise<Response>;

/** When a caller may come back that found all places taken. */
const RETRY_AFTER = { "retry-after": "1" };

export function createRpcEndpoint(deps: RpcEndpointDeps): RpcEndpoint {
  const { dispatch, clock, gate, caller, extensions } = deps;
  const limits = { ...RPC_LIMITS, ...deps.limits };
  const bodies = createBodyReader(limits, clock);
  const rate = createRateLimiter(clock, {
    perSecond: limits.callsPerSecond,
    burst: limits.callsBurst,
  });
  let calls = 0;
  let streams = 0;

  async function answer(request: Request): Promise<Response> {
    const header = (name: string) => request.headers.get(name) ?? undefined;
    if (!isPlainJson(request.headers)) {
      const message = "Requests are application/json without an encoding";
      return errorResponse(a2aError("CONTENT_TYPE_NOT_SUPPORTED", message), 400);
    }
    let text: string;
    try {
      text = await bodies.read(request);
    } catch (thrown) {
      return unread(thrown);
    }
    const outcome = await dispatch(text, {
      caller,
      header: (name) => header(name) ?? versionInQuery(name, request.url),
      admitStream() {
        if (streams < limits.streamsMax) return;
        throw new RpcError(RPC_CODES.unavailable, "Too many streams");
      },
    });
    const active = activatedExtensions(header(EXTENSIONS_HEADER), extensions);
    const headers: Record<string, string> = active.length === 0
      ? {}
      : { [EXTENSIONS_HEADER]: active.join(", ") };
    if (outcome.kind === "reply") return replyResponse(outcome.body, headers);
    streams++;
    return sseResponse(outcome.events, clock, headers, () => streams--);
  }

  return async (request, peer) => {
    const refusal = gate(request, peer);
    if (refusal !== undefined) return errorResponse(refusal.error, refusal.status, refusal.headers);
    const waitMs = peer === undefined ? 0 : rate.take(peer);
    if (waitMs > 0) {
      const error = new RpcError(RPC_CODES.tooManyCalls, "Too many calls");
      return errorResponse(error, 429, { "retry-after": secondsOf(waitMs) });
    }
    if (calls >= limits.callsMax) return unavailable("Too many calls at once");
    calls++;
    try {
      return await answer(request);
    } finally {
      calls--;
    }
  };
}

/** Status and body for what went wrong while the request was read. */
function unread(thrown: unknown): Response {
  if (thrown instanceof BodyTooLargeError) {
    return errorResponse(new RpcError(RPC_CODES.bodyTooLarge, thrown.message), 413);
  }
  if (!(thrown instanceof RpcError)) {
    // The caller went away in the middle; nobody reads this.
    return errorResponse(new RpcError(RPC_CODES.invalidRequest, "The request broke off"), 400);
  }
  if (thrown.code === RPC_CODES.tooSlow) {
    return errorResponse(thrown, 408, { connection: "close" });
  }
  return replyResponse(failure(null, thrown), {});
}

/** 200, also for errors; only what may succeed later has a status that says so. */
function replyResponse(
  body: ResponseEnvelope,
  headers: Readonly<Record<string, string>>,
): Response {
  const isUnavailable = "error" in body && body.error.code === RPC_CODES.unavailable;
  const text = encodeEnvelope(body);
  return isUnavailable
    ? jsonResponse(text, 503, { ...headers, ...RETRY_AFTER })
    : jsonResponse(text, 200, headers);
}

function unavailable(message: string): Response {
  return errorResponse(new RpcError(RPC_CODES.unavailable, message), 503, RETRY_AFTER);
}

function jsonResponse(
  body: string,
  status: number,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(body, {
    status,
    headers: { ...headers, "content-type": "application/json", "cache-control": "no-store" },
  });
}

function errorResponse(
  error: RpcError,
  status: number,
  headers?: Readonly<Record<string, string>>,
): Response {
  return jsonResponse(encodeEnvelope(failure(null, error)), status, headers);
}

function isPlainJson(headers: Headers): boolean {
  const mediaType = headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  const encoding = headers.get("content-encoding")?.trim().toLowerCase() ?? "identity";
  return mediaType === "application/json" && encoding === "identity";
}

/** The version may also come as a query parameter of the header's name. */
function versionInQuery(name: string, url: string): string | undefined {
  if (name !== VERSION_HEADER) return undefined;
  return new URL(url).searchParams.get(VERSION_HEADER) ?? undefined;
}
