/**
 * The lock of a destination. Rule: it dies with the process, so a crash leaves none behind; and it holds also when somebody
 * deletes the file `lock`, because the folder itself is locked where the system can do that.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import { EAGAIN, ENOLCK, ENOSYS, EOPNOTSUPP, posixError } from "../platform/errno.ts";
import { cName, type DirectoryHandle, newStat, type Posix } from "../platform/posix.ts";
import { readSmallFile } from "../platform/small_file.ts";
import { LOCK_FILE } from "./layout.ts";

export interface Lock {
  /** Holds the lock until it is closed. */
  fd: number;
  /** False where there are no locks at all: nothing keeps a second run out. */
  isHeld: boolean;
}

/** Whoever deletes and makes the file that often does it on purpose. */
const LOCK_TRIES_MAX = 10;

/**
 * Takes the lock of the destination whose `.backup-agent` is `own`; the folder's part of it is held until `own` is closed.
 * `path` is the destination and `holder` this run, for people.
 * @throws {BackupError} `destination_busy` when another run holds it
 */
export function takeLock(
  posix: Posix,
  own: DirectoryHandle,
  ownDisplay: string,
  path: string,
  holder: string,
): Lock {
  const display = `${ownDisplay}/${LOCK_FILE}`;
  // Only with libc is a directory's handle a descriptor. NFS refuses it; there the file alone is locked.
  const folder = posix.name === "libc" ? posix.tryLock(own) : -ENOSYS;
  if (folder === -EAGAIN) throw busy(posix, own, ownDisplay, path);
  for (let tries = 1; tries <= LOCK_TRIES_MAX; tries++) {
    const fd = posix.openAppend(own, cName(LOCK_FILE));
    if (fd < 0) throw posixError(fd, "lock", display);
    const result = posix.tryLock(fd);
    // Some network and foreign file systems have no locks; refusing every run there would help nobody.
    const unsupported = result === -ENOSYS || result === -EOPNOTSUPP || result === -ENOLCK;
    if (result < 0 && !unsupported) {
      posix.close(fd);
      if (result !== -EAGAIN) throw posixError(result, "lock", display);
      throw busy(posix, own, ownDisplay, path);
    }
    if (!unsupported && !isStillNamed(posix, own, fd)) {
      posix.close(fd);
      continue;
    }
    posix.truncate(fd, 0);
    posix.write(fd, new TextEncoder().encode(`${holder}\n`));
    return { fd, isHeld: !unsupported || folder === 0 };
  }
  throw new BackupError("io", `Cannot lock ${path}: ${display} is deleted again and again`, {
    path: display,
    retry: "later",
  });
}

/** A lock on a file that was deleted since it was opened keeps nobody out. */
function isStillNamed(posix: Posix, own: DirectoryHandle, fd: number): boolean {
  const held = newStat();
  const named = newStat();
  return posix.stat(fd, held) === 0 && posix.statAt(own, cName(LOCK_FILE), named) === 0 &&
    held.inodeLow === named.inodeLow && held.inodeHigh === named.inodeHigh;
}

/** Why the destination cannot be had, with the name of who has its lock. */
function busy(
  posix: Posix,
  own: DirectoryHandle,
  ownDisplay: string,
  path: string,
): BackupError {
  const bytes = readSmallFile(posix, own, LOCK_FILE, `${ownDisplay}/${LOCK_FILE}`);
  const by = bytes === undefined ? "" : new TextDecoder().decode(bytes).trim().split("\n").at(-1)!;
  return inUse(path, by);
}

/** `by`: who has it, for people; empty where nobody knows. */
export function inUse(path: string, by: string): BackupError {
  const whose = by === "" ? "" : ` (${by})`;
  return new BackupError("destination_busy", `${path} is in use by another run${whose}`, {
    path,
    hint: "Wait for it to end, or use --wait DURATION",
    retry: "later",
  });
}
