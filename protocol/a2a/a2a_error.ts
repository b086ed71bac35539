/** A2A's own errors. Rule: each carries an ErrorInfo whose reason names it. */
import { RpcError } from "../rpc/rpc_error.ts";

const ERROR_INFO_TYPE = "type.googleapis.com/google.rpc.ErrorInfo";
const ERROR_DOMAIN = "a2a-protocol.org";

/** Reason → JSON-RPC code, as the specification has them. */
export const A2A_ERROR_CODES = {
  TASK_NOT_FOUND: -32001,
  TASK_NOT_CANCELABLE: -32002,
  PUSH_NOTIFICATION_NOT_SUPPORTED: -32003,
  UNSUPPORTED_OPERATION: -32004,
  CONTENT_TYPE_NOT_SUPPORTED: -32005,
  INVALID_AGENT_RESPONSE: -32006,
  EXTENDED_AGENT_CARD_NOT_CONFIGURED: -32007,
  EXTENSION_SUPPORT_REQUIRED: -32008,
  VERSION_NOT_SUPPORTED: -32009,
} as const;
export type A2AErrorReason = keyof typeof A2A_ERROR_CODES;

export function a2aError(
  reason: A2AErrorReason,
  message: string,
  metadata?: Readonly<Record<string, string>>,
): RpcError {
  const info = { "@type": ERROR_INFO_TYPE, reason, domain: ERROR_DOMAIN };
  return new RpcError(A2A_ERROR_CODES[reason], message, [
    metadata === undefined ? info : { ...info, metadata },
  ]);
}

/** Also the answer for a task of another caller, so that nobody learns which ids exist. */
export function taskNotFound(taskId: string): RpcError {
  return a2aError("TASK_NOT_FOUND", "Task not found", { taskId: taskId.slice(0, 200) });
}
