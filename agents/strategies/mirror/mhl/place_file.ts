/**
 * Puts a file of ours into a copy. Rule: it is written in the stage, is whole and flushed before it has its name, and its
 * name is flushed before this returns; nothing half done is ever seen in the copy.
 */
import { EINVAL, ENOSYS, EOPNOTSUPP, posixError } from "../../../platform/errno.ts";
import { cName, type DirectoryHandle, type Posix } from "../../../platform/posix.ts";
import { writeAll } from "../../../platform/small_file.ts";

const TEMPORARY = cName("mhl");

/**
 * Replaces `name` in `folder`; `content` hands its bytes to `write`, in one piece or many.
 * @throws {BackupError} when a step fails; then the old file is there, or already the new one, not proven to last
 */
export function placeFile(
  posix: Posix,
  stage: DirectoryHandle,
  folder: DirectoryHandle,
  name: string,
  display: string,
  content: (write: (bytes: Uint8Array) => void) => void,
): void {
  posix.unlink(stage, TEMPORARY);
  const fd = posix.createFile(stage, TEMPORARY);
  if (fd < 0) throw posixError(fd, "create", display);
  try {
    content((bytes) => {
      const written = writeAll(posix, fd, bytes);
      if (written < 0) throw posixError(written, "write", display);
    });
    posix.setFileMode(fd, 0o644);
    const flushed = posix.flushFile(fd);
    if (flushed < 0) throw posixError(flushed, "flush", display);
  } finally {
    posix.close(fd);
  }
  const moved = posix.rename(stage, TEMPORARY, folder, cName(name));
  if (moved < 0) throw posixError(moved, "write", display);
  flushFolder(posix, folder, display);
}

/** @throws {BackupError} when the names in it are not proven to last, unless this file system has no such flush */
export function flushFolder(posix: Posix, folder: DirectoryHandle, display: string): void {
  const flushed = posix.flushDirectory(folder);
  const isUnsupported = [-EINVAL, -ENOSYS, -EOPNOTSUPP].includes(flushed);
  if (flushed < 0 && !isUnsupported) throw posixError(flushed, "flush", display);
}
