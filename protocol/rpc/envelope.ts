/** The JSON-RPC 2.0 envelope. Rule: an id comes back with the value and type it was sent with. */
import * as v from "valibot";
import { RPC_CODES } from "./error_codes.ts";
import { RpcError } from "./rpc_error.ts";

/** Fractions and integers beyond 2^53 would not come back as they were sent, so they are refused. */
export const RpcId = v.union([v.string(), v.pipe(v.number(), v.safeInteger())]);
export type RpcId = v.InferOutput<typeof RpcId>;

/** One request; `params` is checked by the method's own schema. Notifications (no id) are not used by A2A. */
export const RequestEnvelope = v.object({
  jsonrpc: v.literal("2.0"),
  id: RpcId,
  method: v.string(),
  params: v.exactOptional(v.unknown()),
});
export type RequestEnvelope = v.InferOutput<typeof RequestEnvelope>;

export const SuccessEnvelope = v.object({
  jsonrpc: v.literal("2.0"),
  id: RpcId,
  result: v.unknown(),
});
export type SuccessEnvelope = v.InferOutput<typeof SuccessEnvelope>;

export const ErrorEnvelope = v.object({
  jsonrpc: v.literal("2.0"),
  id: v.nullable(RpcId),
  error: v.object({
    code: v.pipe(v.number(), v.integer()),
    message: v.string(),
    data: v.exactOptional(v.unknown()),
  }),
});
export type ErrorEnvelope = v.InferOutput<typeof ErrorEnvelope>;

export const ResponseEnvelope = v.union([ErrorEnvelope, SuccessEnvelope]);
export type ResponseEnvelope = v.InferOutput<typeof ResponseEnvelope>;

export function success(id: RpcId, result: unknown): SuccessEnvelope {
  return { jsonrpc: "2.0", id, result };
}

/** Any thrown value as an error envelope; only an `RpcError` shows its text. */
export function failure(id: RpcId | null, thrown: unknown): ErrorEnvelope {
  const { code, message, data } = thrown instanceof RpcError
    ? thrown
    : new RpcError(RPC_CODES.internal, "Internal error");
  return {
    jsonrpc: "2.0",
    id,
    error: data === undefined ? { code, message } : { code, message, data },
  };
}

/** The envelope as text. A result that cannot be written as JSON becomes an internal error with the same id. */
export function encodeEnvelope(envelope: ResponseEnvelope): string {
  try {
    return JSON.stringify(envelope);
  } catch (thrown) {
    return JSON.stringify(failure(envelope.id, thrown));
  }
}
