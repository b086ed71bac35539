/** What the program's exit status says. Rule: one table from error code to exit code, one sentence for each code. */
import type { ErrorCode } from "../base/errors.ts";

export const EXIT_MEANINGS = {
  0: "everything asked for is done and verified",
  1: "failed: no source could be read, no destination was verified, or damage was found",
  2: "the command, an option or the configuration is wrong; nothing was written",
  3: "some source files could not be read (named in the report); the rest is safe everywhere",
  4: "some destinations are verified, some are not",
  10: "a destination is missing, or is not the one known before (--init says it is new)",
  11: "a destination is in use by another run, or a repository locked (--wait waits for it)",
  12: "a key, passphrase or password is missing or wrong",
  130: "cancelled by Ctrl-C, SIGTERM or SIGHUP",
} as const;
export type ExitCode = keyof typeof EXIT_MEANINGS;

const EXIT_OF_ERROR: Partial<Record<ErrorCode, ExitCode>> = {
  usage: 2,
  config: 2,
  destination_missing: 10,
  destination_changed: 10,
  destination_busy: 11,
  wrong_key: 12,
  cancelled: 130,
};

/** The exit code of a failure; every code without a row of its own is a plain failure, 1. */
export function exitCodeOf(code: ErrorCode): ExitCode {
  return EXIT_OF_ERROR[code] ?? 1;
}
