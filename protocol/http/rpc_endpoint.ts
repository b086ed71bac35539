/** JSON-RPC over HTTP POST. Rule: 200 for every JSON-RPC answer, an error body in JSON-RPC form for everything else. */
import { a2aError } from "../a2a/a2a_error.ts";
import { activatedExtensions, EXTENSIONS_HEADER, VERSION_HEADER } from "../a2a/version.ts";
import type { Clock } from "../base/clock.ts";
import type { Dispatch } from "../rpc/dispatch.ts";
import { encodeEnvelope, failure } from "../rpc/envelope.ts";
import { RPC_CODES } from "../rpc/error_codes.ts";
import { BodyTooLargeError, readLimitedText } from "../rpc/limited_text.ts";
import { RpcError } from "../rpc/rpc_error.ts";
import { hasBearerToken } from "./bearer_auth.ts";
import { sseResponse } from "./sse_response.ts";

/** Largest request; a task with thousands of exclude lines is far smaller. */
export const REQUEST_BYTES_MAX = 4 << 20;

export interface RpcEndpointDeps {
  dispatch: Dispatch;
  clock: Clock;
  /** URIs this agent knows; those a caller asks for are named in the answer. */
  extensions: readonly string[];
  /** When set, every request needs it as bearer token. */
  token?: string | undefined;
  bodyBytesMax?: number | undefined;
}

export function createRpcEndpoint(deps: RpcEndpointDeps): (request: Request) => Promise<Response> {
  const { dispatch, clock, extensions, token, bodyBytesMax = REQUEST_BYTES_MAX } = deps;

  return async (request) => {
    const header = (name: string) => request.headers.get(name) ?? undefined;
    if (token !== undefined && !hasBearerToken(header("authorization"), token)) {
      const error = new RpcError(RPC_CODES.unauthenticated, "A valid bearer token is needed");
      return errorResponse(error, 401, { "www-authenticate": 'Bearer realm="backup-agent"' });
    }
    if (!isJson(header("content-type"))) {
      const message = "Requests are application/json";
      return errorResponse(a2aError("CONTENT_TYPE_NOT_SUPPORTED", message), 400);
    }
    if (Number(header("content-length") ?? 0) > bodyBytesMax) return tooLarge(bodyBytesMax);
    let text: string;
    try {
      text = await readLimitedText(request.body, bodyBytesMax);
    } catch (thrown) {
      if (thrown instanceof BodyTooLargeError) return tooLarge(bodyBytesMax);
      throw thrown;
    }
    const outcome = await dispatch(text, {
      // One token, one caller. Scoping by principal comes with per-principal tokens.
      caller: token === undefined ? "anyone" : "mesh",
      header: (name) => header(name) ?? versionInQuery(name, request.url),
    });
    const active = activatedExtensions(header(EXTENSIONS_HEADER), extensions);
    const headers: Record<string, string> = active.length === 0
      ? {}
      : { [EXTENSIONS_HEADER]: active.join(", ") };
    if (outcome.kind === "stream") return sseResponse(outcome.events, clock, headers);
    return jsonResponse(encodeEnvelope(outcome.body), 200, headers);
  };
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

function tooLarge(bodyBytesMax: number): Response {
  const message = `The request is longer than ${bodyBytesMax} bytes`;
  return errorResponse(new RpcError(RPC_CODES.bodyTooLarge, message), 413);
}

function isJson(contentType: string | undefined): boolean {
  return contentType?.split(";")[0]?.trim().toLowerCase() === "application/json";
}

/** The version may also come as a query parameter of the header's name. */
function versionInQuery(name: string, url: string): string | undefined {
  if (name !== VERSION_HEADER) return undefined;
  return new URL(url).searchParams.get(VERSION_HEADER) ?? undefined;
}
