/** SQLite's result codes as errors that people read. Rule: errors of ours pass through unchanged. */
import { BackupError, type ErrorCode, type RetryHint } from "../../../protocol/base/errors.ts";

const KNOWN: Readonly<Record<number, readonly [ErrorCode, RetryHint]>> = {
  3: ["permission", "no"],
  5: ["io", "later"],
  6: ["io", "later"],
  8: ["read_only", "no"],
  10: ["io", "no"],
  11: ["damaged", "no"],
  13: ["no_space", "later"],
  14: ["io", "no"],
  23: ["permission", "no"],
  26: ["damaged", "no"],
};

const HINTS: Partial<Record<ErrorCode, string>> = {
  no_space: "Make room on the file system of the state folder",
  damaged: "Move it away to forget earlier runs; no copy is touched by that",
};

/** What `work` returns; what SQLite throws comes out as a BackupError about `path`. */
export function withSqliteErrors<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    const resultCode = (thrown as { errcode?: unknown } | null)?.errcode;
    const isSqlite = (thrown as { code?: unknown } | null)?.code === "ERR_SQLITE_ERROR";
    if (typeof resultCode !== "number" && !isSqlite) throw thrown;
    // What `exec` throws does not say which failure it was.
    const [code, retry] = typeof resultCode !== "number"
      ? ["io", "no"] as const
      : KNOWN[resultCode & 0xff] ?? ["internal", "no"];
    const message = `Cannot use the job store ${path}: ${(thrown as Error).message}`;
    const hint = HINTS[code];
    throw new BackupError(code, message, {
      path,
      retry,
      cause: thrown,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}
