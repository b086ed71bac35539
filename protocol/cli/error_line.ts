/** A failure as its reader sees it. Rule: one line that says what is wrong and what to do, or one JSON object. */
import type { BackupError } from "../base/errors.ts";
import { exitCodeOf } from "./exit_codes.ts";
import { visibleText } from "./visible_text.ts";

/** `backup-agent: message. Hint`, always one line. */
export function errorLine(error: BackupError): string {
  const message = visibleText(error.message);
  const hint = error.hint === undefined ? "" : ` (${visibleText(error.hint)})`;
  return `backup-agent: ${message}${hint}`;
}

/** The last line under `--json`, as restic shapes it; `code` is the exit code. */
export function exitErrorMessage(error: BackupError): Record<string, unknown> {
  return {
    message_type: "exit_error",
    code: exitCodeOf(error.code),
    message: error.message,
    ...(error.path === undefined ? {} : { path: error.path }),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  };
}

/** One JSON line. */
export function jsonLine(message: unknown): string {
  return `${JSON.stringify(message)}\n`;
}
