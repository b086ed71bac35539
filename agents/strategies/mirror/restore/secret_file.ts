/** A file that holds a secret. Rule: read once from begin to end, so that a pipe will do, and never past a limit. */
import { BackupError } from "../../../../protocol/base/errors.ts";
import { readFailure } from "../../../../protocol/cli/read_failure.ts";

/** Hundreds of keys with their comments. */
export const SECRET_FILE_LIMIT_BYTES = 64 << 10;
/** Group and others: any right at all. */
const OTHERS_MODE = 0o077;

/** One byte more than the limit when it is too long. @throws {BackupError} `usage` when it cannot be read */
export async function readSecretFile(
  path: string,
  what: string,
): Promise<{ bytes: Uint8Array; isOpenToOthers: boolean }> {
  try {
    using file = await Deno.open(path);
    const { isFile, mode } = await file.stat();
    const bytes = new Uint8Array(SECRET_FILE_LIMIT_BYTES + 1);
    let length = 0;
    while (length < bytes.length) {
      const got = await file.read(bytes.subarray(length));
      if (got === null) break;
      length += got;
    }
    const isOpenToOthers = isFile && ((mode ?? 0) & OTHERS_MODE) !== 0;
    return { bytes: bytes.subarray(0, length), isOpenToOthers };
  } catch (cause) {
    throw new BackupError("usage", `Cannot read ${what}: ${readFailure(cause)}`, { path, cause });
  }
}
