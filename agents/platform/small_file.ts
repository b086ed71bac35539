/** Small files read whole and replaced whole: a reader sees the old bytes or the new ones, never a mixture. */
import { Buffer } from "node:buffer";
import { randomBytes } from "../../protocol/base/random_bytes.ts";
import { ENOENT, posixError } from "./errno.ts";
import { cName, cNameOfLatin1, type DirectoryHandle, type Posix } from "./posix.ts";

/** The file's bytes; undefined when there is none. @throws {BackupError} when it cannot be read or is longer than `maxBytes` */
export function readSmallFile(
  posix: Posix,
  at: DirectoryHandle,
  name: string,
  display: string,
  maxBytes = 4 << 20,
): Uint8Array | undefined {
  const fd = posix.openRead(at, cName(name));
  if (fd === -ENOENT) return undefined;
  if (fd < 0) throw posixError(fd, "read", display);
  try {
    const parts: Uint8Array[] = [];
    let total = 0;
    for (;;) {
      const part = new Uint8Array(64 << 10);
      const got = posix.readAt(fd, part, total);
      if (got < 0) throw posixError(got, "read", display);
      if (got === 0) break;
      total += got;
      if (total > maxBytes) throw posixError(-27, "read", display);
      parts.push(part.subarray(0, got));
    }
    const whole = new Uint8Array(total);
    let offset = 0;
    for (const part of parts) {
      whole.set(part, offset);
      offset += part.length;
    }
    return whole;
  } finally {
    posix.close(fd);
  }
}

/**
 * A name for what will take the place of `name`, free and of this writer alone. What others have begun goes: the remains
 * of a crash, or the work of one who is still at it, whose rename then fails instead of bringing up a half of ours.
 */
export function temporaryNameFor(posix: Posix, at: DirectoryHandle, name: string): Uint8Array {
  const found = posix.list(at);
  for (const other of typeof found === "number" ? [] : found) {
    if (!other.startsWith(`${name}.`) || !other.endsWith(TEMPORARY_SUFFIX)) continue;
    posix.unlink(at, cNameOfLatin1(other));
  }
  return cName(`${name}.${Buffer.from(randomBytes(6)).toString("hex")}${TEMPORARY_SUFFIX}`);
}

const TEMPORARY_SUFFIX = ".new";

/** Writes `bytes` under `name`: temporary name → flush → rename → flush of the directory. */
export function replaceSmallFile(
  posix: Posix,
  at: DirectoryHandle,
  name: string,
  bytes: Uint8Array,
  display: string,
): void {
  const temporary = temporaryNameFor(posix, at, name);
  const fd = posix.createFile(at, temporary);
  if (fd < 0) throw posixError(fd, "create", display);
  let result = writeAll(posix, fd, bytes);
  if (result >= 0) result = posix.setFileMode(fd, 0o644) && 0;
  if (result >= 0) result = posix.flushFile(fd);
  posix.close(fd);
  if (result >= 0) result = posix.rename(at, temporary, at, cName(name));
  if (result < 0) {
    posix.unlink(at, temporary);
    throw posixError(result, "write", display);
  }
  posix.flushDirectory(at);
}

/** Writes every byte at the current position; 0 or -errno. */
export function writeAll(posix: Posix, fd: number, bytes: Uint8Array): number {
  for (let at = 0; at < bytes.length;) {
    const put = posix.write(fd, at === 0 ? bytes : bytes.subarray(at));
    if (put < 0) return put;
    at += put;
  }
  return 0;
}
