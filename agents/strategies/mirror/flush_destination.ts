/** Rule: whatever was done at a destination until now is on its disk when this has returned. */
import type { OpenDestination } from "../../destinations/local_destination.ts";
import { posixError } from "../../platform/errno.ts";
import type { Posix } from "../../platform/posix.ts";

/** Where each file was flushed by itself only its top folder is left. @throws {BackupError} when the disk refuses */
export function flushDestination(
  posix: Posix,
  { root, batchFlush, display }: OpenDestination,
): void {
  const result = batchFlush ? posix.flushFileSystem(root) : posix.flushDirectory(root);
  if (result < 0) throw posixError(result, "flush", display);
}
