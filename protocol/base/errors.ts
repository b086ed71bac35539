/**
 * Errors that people read. Rule: an expected failure is a `BackupError` with a code, the path it is about and
 * whether a retry can help; bytes that do not match their hash are an `IntegrityError` and never retried away.
 */

/**
 * Every code an expected failure can carry. The wire and the exit code are derived from it, never from the text.
 * `usage` 2 · `destination_missing`, `destination_changed` 10 · `destination_busy` 11 · `wrong_key` 12 ·
 * `cancelled` 130.
 */
export const ERROR_CODES = [
  "usage",
  "config",
  "not_found",
  "not_a_directory",
  "permission",
  "io",
  "no_space",
  "read_only",
  "name_too_long",
  "unsupported",
  "changed_while_read",
  "vanished",
  "deadline",
  "destination_missing",
  "destination_changed",
  "destination_busy",
  "destination_lost",
  "newer_version",
  "damaged",
  "wrong_key",
  "cancelled",
  "rejected",
  "superseded",
  "protocol",
  "internal",
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

/** `later`: the same call may succeed; `elsewhere`: another agent or destination may; `no`: nothing will change it. */
export type RetryHint = "no" | "later" | "elsewhere";

export interface BackupErrorDetail {
  /** The file or directory it is about, as people would type it. */
  path?: string | undefined;
  /** What the reader can do, one sentence. */
  hint?: string | undefined;
  retry?: RetryHint | undefined;
  cause?: unknown;
}

export class BackupError extends Error {
  override readonly name: string = "BackupError";
  readonly code: ErrorCode;
  readonly path: string | undefined;
  readonly hint: string | undefined;
  readonly retry: RetryHint;

  constructor(code: ErrorCode, message: string, detail: BackupErrorDetail = {}) {
    super(message, detail.cause === undefined ? {} : { cause: detail.cause });
    this.code = code;
    this.path = detail.path;
    this.hint = detail.hint;
    this.retry = detail.retry ?? "no";
  }
}

/** Bytes read back differ from the bytes that were written. Reported by name, always. */
export class IntegrityError extends BackupError {
  override readonly name: string = "IntegrityError";

  constructor(message: string, detail: Omit<BackupErrorDetail, "retry"> = {}) {
    super("damaged", message, detail);
  }
}

/** Any thrown value as a `BackupError`; what is not expected becomes `internal` and keeps its cause. */
export function asBackupError(thrown: unknown): BackupError {
  if (thrown instanceof BackupError) return thrown;
  if (thrown instanceof DOMException && thrown.name === "AbortError") {
    return new BackupError("cancelled", "Cancelled", { cause: thrown });
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new BackupError("internal", message, { cause: thrown });
}

/** The end of a `switch` over a union: a new member fails the type check here. */
export function assertNever(value: never): never {
  throw new TypeError(`Unexpected value: ${JSON.stringify(value)}`);
}
