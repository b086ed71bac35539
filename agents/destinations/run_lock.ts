/**
 * The lock of a destination as a run of several agents holds it. Rule: every member holds `run`, whose text names the
 * run, beside the others; `lock` is held by one of them, or by nobody once that one is gone. Whoever is of another run,
 * or of none, has to find both free.
 */
import type { BackupError } from "../../protocol/base/errors.ts";
import { asBackupError } from "../../protocol/base/errors.ts";
import {
  EAGAIN,
  EBADF,
  ENOENT,
  ENOLCK,
  ENOSYS,
  EOPNOTSUPP,
  posixError,
} from "../platform/errno.ts";
import { cName, type DirectoryHandle, newStat, type Posix } from "../platform/posix.ts";
import { writeAll } from "../platform/small_file.ts";
import { RUN_LOCK_FILE } from "./layout.ts";
import { inUse, takeLock } from "./lock.ts";

export interface RunMembership {
  id: string;
  /** Another agent has prepared the run: nothing is made or bound here. */
  joins: boolean;
}

export interface RunLock {
  /** Hold it until they are closed. */
  fds: number[];
  /** False where there are no locks at all: nothing keeps a second run out. */
  isHeld: boolean;
}

/** Somebody may be trying the lock at this moment, and gives it back at once. */
const TRIES_MAX = 50;
const PAUSE_MS = 2;
const TEXT_BYTES_MAX = 1000;

/**
 * Takes the lock for one agent of a run, or with `run` undefined for something that wants to be alone.
 * @throws {BackupError} `destination_busy` when another run, or a restore, holds it
 */
export function takeRunLock(
  posix: Posix,
  own: DirectoryHandle,
  ownDisplay: string,
  path: string,
  holder: string,
  run: RunMembership | undefined,
): RunLock {
  const fds: number[] = [];
  try {
    if (run === undefined) {
      const lock = takeLock(posix, own, ownDisplay, path, holder);
      fds.push(lock.fd);
      // The text of `lock` is ours by now: who is in the way is named by what its members hold.
      if (hasMembers(posix, own)) throw inUse(path, runOfMembers(posix, own));
      return { fds, isHeld: lock.isHeld };
    }
    let isHeld = true;
    let taken: BackupError | undefined;
    try {
      const lock = takeLock(posix, own, ownDisplay, path, holder);
      fds.push(lock.fd);
      isHeld = lock.isHeld;
    } catch (thrown) {
      taken = asBackupError(thrown);
      if (taken.code !== "destination_busy") throw taken;
    }
    const member = becomeMember(posix, own, ownDisplay, path, run.id, taken);
    if (member >= 0) fds.push(member);
    return { fds, isHeld };
  } catch (thrown) {
    for (const fd of fds) posix.close(fd);
    throw thrown;
  }
}

/** Agents of some run use the destination now. A reader may ask too: nothing is made or written. */
export function hasMembers(posix: Posix, own: DirectoryHandle): boolean {
  const fd = posix.openRead(own, cName(RUN_LOCK_FILE));
  if (fd < 0) return false;
  const result = posix.tryLock(fd);
  posix.close(fd);
  return result === -EAGAIN;
}

/** The file that holds the membership, or -1 where nothing can be locked. `taken`: why `lock` is not ours. */
function becomeMember(
  posix: Posix,
  own: DirectoryHandle,
  ownDisplay: string,
  path: string,
  runId: string,
  taken: BackupError | undefined,
): number {
  const display = `${ownDisplay}/${RUN_LOCK_FILE}`;
  const name = cName(RUN_LOCK_FILE);
  let isUnnamed = false;
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const alone = posix.openAppend(own, name);
    if (alone < 0) throw posixError(alone, "lock", display);
    const first = posix.tryLock(alone);
    if (first === 0 && taken === undefined) {
      posix.truncate(alone, 0);
      const put = writeAll(posix, alone, new TextEncoder().encode(`${runId}\n`));
      // On a full disk the run has no name, so that nobody can join it; alone it may go on.
      isUnnamed = put < 0 || posix.flushFile(alone) < 0;
    }
    posix.close(alone);
    // Nobody is a member, so whoever holds `lock` is something else, also when the text is this run's, from before a crash.
    if (first === 0 && taken !== undefined) throw taken;
    if (isUnsupported(first)) {
      if (taken !== undefined) throw taken;
      return -1;
    }
    const fd = posix.openRead(own, name);
    if (fd === -ENOENT) continue;
    if (fd < 0) throw posixError(fd, "lock", display);
    // Where locks are those of the server, a shared one needs a file of its own that may be read.
    const shared = posix.tryLock(fd, true);
    if (shared === 0 && isStillNamed(posix, own, fd)) {
      const holds = textOf(posix, fd);
      if (isUnnamed || holds === runId) return fd;
      posix.close(fd);
      throw taken ?? inUse(path, holds);
    }
    posix.close(fd);
    if (isUnsupported(shared)) return -1;
    pause();
  }
  throw taken ?? inUse(path, runOfMembers(posix, own));
}

/** For people: empty when it cannot be read. */
function runOfMembers(posix: Posix, own: DirectoryHandle): string {
  const fd = posix.openRead(own, cName(RUN_LOCK_FILE));
  if (fd < 0) return "";
  const text = textOf(posix, fd);
  posix.close(fd);
  return text;
}

function textOf(posix: Posix, fd: number): string {
  const bytes = new Uint8Array(TEXT_BYTES_MAX);
  const got = posix.readAt(fd, bytes, 0);
  return got < 0 ? "" : new TextDecoder().decode(bytes.subarray(0, got)).trim();
}

/** A lock on a file that was deleted since it was opened keeps nobody out. */
function isStillNamed(posix: Posix, own: DirectoryHandle, fd: number): boolean {
  const held = newStat();
  const named = newStat();
  return posix.stat(fd, held) === 0 && posix.statAt(own, cName(RUN_LOCK_FILE), named) === 0 &&
    held.inodeLow === named.inodeLow && held.inodeHigh === named.inodeHigh;
}

function isUnsupported(result: number): boolean {
  return result === -ENOSYS || result === -EOPNOTSUPP || result === -ENOLCK || result === -EBADF;
}

function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
}
