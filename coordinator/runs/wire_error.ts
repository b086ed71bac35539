/** Errors as they are stored and reported. Rule: a code is kept, never guessed from a text. */
import { asBackupError, type ErrorCode } from "../../protocol/base/errors.ts";
import type { WireError } from "../../protocol/mesh/task.ts";

export function wireErrorOf(thrown: unknown): WireError {
  const { code, message, path, hint, retry } = asBackupError(thrown);
  return {
    code,
    message,
    retry,
    ...(path === undefined ? {} : { path }),
    ...(hint === undefined ? {} : { hint }),
  };
}

export function wireError(code: ErrorCode, message: string): WireError {
  return { code, message, retry: "no" };
}
