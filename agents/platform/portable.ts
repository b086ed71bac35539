/**
 * `Posix` over node:fs, for systems without a libc we can call. Rule: same answers as libc where the system allows it, a
 * plain -ENOSYS or -EILSEQ where it does not; never a guess.
 *
 * What it cannot do: a directory is remembered by its path, so a tree deeper than PATH_MAX is -ENAMETOOLONG, and a parent
 * directory swapped for a symbolic link while we work is not noticed; names and link targets must be UTF-8; times read
 * and written are exact to the millisecond only, ctime to the second; times before 1970 cannot be set on symbolic links.
 */
import { Buffer } from "node:buffer";
import fs from "node:fs";
import { dirname } from "node:path";
import {
  EACCES,
  EAGAIN,
  EBADF,
  EILSEQ,
  EINVAL,
  EIO,
  EISDIR,
  ENOSYS,
  EOPNOTSUPP,
  EPERM,
  errnoOf,
  ESTALE,
} from "./errno.ts";
import { fileSystemType } from "./file_system_types.ts";
import { kindOfMode } from "./file_kind.ts";
import { KIND_SYMLINK, type Posix, type Stat } from "./posix.ts";

const { O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY } = fs.constants;
const { O_NOFOLLOW, O_NONBLOCK } = fs.constants;
/** Linux only; elsewhere reading touches atime. */
const O_NOATIME = (fs.constants as { O_NOATIME?: number }).O_NOATIME ?? 0;
const NEW_FILE_MODE = 0o600;
const NANOSECONDS = 1_000_000_000n;
/**
 * Times are given as float seconds and cut, so that a Date or a plain quotient often lands one millisecond early. This
 * much more, the grain of a double up to the year 2514, does not.
 */
const FLOAT_SECONDS_GRAIN = 2 ** -19;
const REPLACEMENT = "\ufffd";

/** One per thread. Handles and descriptors of one instance mean nothing to another. */
export function openPortable(): Posix {
  const directories = new Map<number, string>();
  const files = new Map<number, string>();
  const locks = new Map<number, Deno.FsFile>();

  const directoryPath = (handle: number): string => {
    const path = directories.get(handle);
    if (path === undefined) throw new Refusal(EBADF);
    return path;
  };

  const pathOf = (at: number, name: Uint8Array): string => {
    const directory = directoryPath(at);
    return directory === "/" ? `/${textOf(name)}` : `${directory}/${textOf(name)}`;
  };

  const openDirectory = (path: string, flags: number): number => {
    const handle = fs.openSync(path, O_RDONLY | O_DIRECTORY | flags);
    directories.set(handle, path);
    return handle;
  };

  const openFile = (path: string, flags: number): number => {
    const fd = fs.openSync(path, flags | O_NOFOLLOW, NEW_FILE_MODE);
    files.set(fd, path);
    return fd;
  };

  /** The path `fd` was opened by, when it still leads to the same file; for calls that exist by path only. */
  const currentPath = (fd: number): string | undefined => {
    const open = fs.fstatSync(fd, BIG);
    const path = files.get(fd);
    if (path === undefined) return undefined;
    const named = fs.lstatSync(path, BIG);
    return named.ino === open.ino && named.dev === open.dev ? path : undefined;
  };

  return {
    name: "portable",
    openRoot: (path) => attempt(() => openDirectory(fs.realpathSync(textOf(path)), 0)),
    openBeneath: () => -ENOSYS,
    openDirectory: (at, name) => attempt(() => openDirectory(pathOf(at, name), O_NOFOLLOW)),
    openParent: (of) => attempt(() => openDirectory(dirname(directoryPath(of)), 0)),
    closeDirectory(handle) {
      if (directories.delete(handle)) fs.closeSync(handle);
    },
    list(handle) {
      return attempt(() => {
        const names = fs.readdirSync(directoryPath(handle));
        // Names that are no UTF-8 come back damaged. One alone is ENOENT when it is used; two of one text would hide
        // each other, so such a listing is refused.
        if (names.some((n) => n.includes(REPLACEMENT)) && new Set(names).size < names.length) {
          return -EILSEQ;
        }
        return names.map(latin1Of);
      });
    },
    openRead(at, name) {
      return attempt(() => {
        const path = pathOf(at, name);
        try {
          return openFile(path, O_RDONLY | O_NONBLOCK | O_NOATIME);
        } catch (error) {
          // O_NOATIME is for owners only; a stranger's file is read with atime.
          if (failureOf(error) !== -EPERM || O_NOATIME === 0) throw error;
          return openFile(path, O_RDONLY | O_NONBLOCK);
        }
      });
    },
    createFile: (at, name) => attempt(() => openFile(pathOf(at, name), O_RDWR | O_CREAT | O_EXCL)),
    openAppend: (at, name) =>
      attempt(() => openFile(pathOf(at, name), O_WRONLY | O_CREAT | O_APPEND)),
    close(fd) {
      files.delete(fd);
      locks.get(fd)?.close();
      locks.delete(fd);
      return attempt(() => done(fs.closeSync(fd)));
    },
    read: (fd, into) => attempt(() => fs.readSync(fd, into, 0, into.byteLength, null)),
    readAt: (fd, into, offset) => attempt(() => fs.readSync(fd, into, 0, into.byteLength, offset)),
    writeAt: (fd, bytes, offset) =>
      attempt(() => fs.writeSync(fd, bytes, 0, bytes.byteLength, offset)),
    write: (fd, bytes) => attempt(() => fs.writeSync(fd, bytes, 0, bytes.byteLength, null)),
    seekData: () => -ENOSYS,
    seekHole: () => -ENOSYS,
    truncate: (fd, sizeBytes) => attempt(() => done(fs.ftruncateSync(fd, sizeBytes))),
    statAt: (at, name, out) => attempt(() => fill(out, fs.lstatSync(pathOf(at, name), BIG))),
    stat: (fd, out) => attempt(() => fill(out, fs.fstatSync(fd, BIG))),
    statDirectory: (handle, out) => attempt(() => fill(out, fs.fstatSync(handle, BIG))),
    readLink: (at, name) =>
      attempt(() => new TextEncoder().encode(fs.readlinkSync(pathOf(at, name)))),
    makeDirectory: (at, name, mode) =>
      attempt(() => done(fs.mkdirSync(pathOf(at, name), { mode }))),
    symlink: (target, at, name) =>
      attempt(() => done(fs.symlinkSync(textOf(target), pathOf(at, name)))),
    link: (from, fromName, to, toName) =>
      attempt(() => done(fs.linkSync(pathOf(from, fromName), pathOf(to, toName)))),
    renameNew: () => -ENOSYS,
    rename: (from, fromName, to, toName) =>
      attempt(() => done(fs.renameSync(pathOf(from, fromName), pathOf(to, toName)))),
    unlink(at, name) {
      return attempt(() => {
        const path = pathOf(at, name);
        // Deno's unlink removes empty directories too.
        if (fs.lstatSync(path).isDirectory()) return -EISDIR;
        return done(fs.unlinkSync(path));
      });
    },
    removeDirectory: (at, name) => attempt(() => done(fs.rmdirSync(pathOf(at, name)))),
    makeNode: () => -ENOSYS,
    setFileMode: (fd, mode) => attempt(() => done(fs.fchmodSync(fd, mode))),
    setFileOwner: (fd, uid, gid) => attempt(() => done(fs.fchownSync(fd, uid, gid))),
    setFileTimes(fd, sec, nsec) {
      return attempt(() => {
        const atimeMs = fs.fstatSync(fd).atimeMs;
        if (sec >= 0 && atimeMs >= 0) {
          return done(fs.futimesSync(fd, floatSeconds(atimeMs / 1000), floatSeconds(sec, nsec)));
        }
        // node takes times before 1970 for "now"; Deno.utimeSync, by path, does not.
        const path = currentPath(fd);
        return path === undefined ? -ESTALE : done(setPathTimes(path, atimeMs, sec, nsec));
      });
    },
    setModeAt(at, name, mode) {
      return attempt(() => {
        const path = pathOf(at, name);
        if (fs.lstatSync(path).isSymbolicLink()) return -EOPNOTSUPP;
        return done(fs.chmodSync(path, mode));
      });
    },
    setOwnerAt: (at, name, uid, gid) =>
      attempt(() => done(fs.lchownSync(pathOf(at, name), uid, gid))),
    setTimesAt(at, name, sec, nsec) {
      return attempt(() => {
        const path = pathOf(at, name);
        const { atimeMs, mode } = fs.lstatSync(path);
        if (kindOfMode(mode) === KIND_SYMLINK) {
          if (sec < 0 || atimeMs < 0) return -EINVAL;
          return done(
            fs.lutimesSync(path, floatSeconds(atimeMs / 1000), floatSeconds(sec, nsec)),
          );
        }
        return done(setPathTimes(path, atimeMs, sec, nsec));
      });
    },
    flushFile: (fd) => attempt(() => done(fs.fsyncSync(fd))),
    flushDirectory: (handle) => attempt(() => done(fs.fsyncSync(handle))),
    flushFileSystem: () => -ENOSYS,
    startWriteback() {},
    stepBack() {},
    setDirect: () => -ENOSYS,
    listXattrs: () => -ENOSYS,
    getXattr: () => -ENOSYS,
    setXattr: () => -ENOSYS,
    removeXattr: () => -ENOSYS,
    setFileXattr: () => -ENOSYS,
    dropCache() {},
    willNeed() {},
    cachedBytes: () => -1,
    fileSystemInfo(handle) {
      return attempt(() => {
        const info = fs.statfsSync(directoryPath(handle));
        return {
          type: fileSystemType(info.type),
          totalBytes: info.blocks * info.bsize,
          freeBytes: info.bavail * info.bsize,
        };
      });
    },
    tryLock(fd, shared = false) {
      return attempt(() => {
        if (locks.has(fd)) return 0;
        // Only Deno.FsFile can lock, and it has no way to adopt a descriptor: the file is opened once more and held.
        const path = currentPath(fd);
        if (path === undefined) return -ESTALE;
        const file = Deno.openSync(path, { read: true });
        if (!file.tryLockSync(!shared)) {
          file.close();
          return -EAGAIN;
        }
        locks.set(fd, file);
        return 0;
      });
    },
  };
}

const BIG = { bigint: true } as const;

/** What we refuse before the system is asked. */
class Refusal extends Error {
  readonly errno: number;

  constructor(errno: number) {
    super(`errno ${errno}`);
    this.errno = errno;
  }
}

/** Runs calls that throw and answers -errno instead. A mistake of ours (a wrong argument) still throws. */
function attempt<T>(call: () => T): T | number {
  try {
    return call();
  } catch (error) {
    return failureOf(error);
  }
}

function failureOf(error: unknown): number {
  if (error instanceof Refusal) return -error.errno;
  if (error instanceof Deno.errors.NotCapable) return -EACCES;
  // How Deno says that what it read is no UTF-8.
  if (error instanceof Deno.errors.InvalidData) return -EILSEQ;
  const code = (error as { code?: unknown }).code;
  // Every system error of node:fs has such a code; its own checks of arguments have ERR_… ones.
  if (typeof code === "string" && !code.startsWith("ERR_")) return -errnoOf(code);
  if (error instanceof TypeError || error instanceof RangeError) throw error;
  return -EIO;
}

/** For calls that answer nothing when they worked. */
function done(_nothing: void): number {
  return 0;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Text of a NUL-terminated name; a name that is no UTF-8 cannot be asked for here. */
function textOf(name: Uint8Array): string {
  const end = name.indexOf(0);
  try {
    return utf8.decode(name.subarray(0, end < 0 ? name.length : end));
  } catch {
    throw new Refusal(EILSEQ);
  }
}

function latin1Of(name: string): string {
  return Buffer.from(name, "utf8").toString("latin1");
}

function floatSeconds(sec: number, nsec = 0): number {
  return sec + nsec / 1e9 + FLOAT_SECONDS_GRAIN;
}

/** Follows a link in the last component: the caller has just seen that there is none. */
function setPathTimes(path: string, atimeMs: number, sec: number, nsec: number): void {
  Deno.utimeSync(path, floatSeconds(atimeMs / 1000), floatSeconds(sec, nsec));
}

function fill(out: Stat, from: fs.BigIntStats): number {
  const mode = Number(from.mode);
  out.kind = kindOfMode(mode);
  out.mode = mode & 0o7777;
  out.uid = Number(from.uid);
  out.gid = Number(from.gid);
  out.linkCount = Number(from.nlink);
  out.sizeBytes = Number(from.size);
  out.allocatedBytes = Number(from.blocks) * 512;
  out.inodeLow = Number(BigInt.asUintN(32, from.ino));
  out.inodeHigh = Number(from.ino >> 32n);
  out.device = majorMinor(from.dev);
  out.rdev = majorMinor(from.rdev);
  [out.mtimeSec, out.mtimeNsec] = split(from.mtimeNs);
  [out.ctimeSec, out.ctimeNsec] = split(from.ctimeNs);
  return 0;
}

function split(timeNs: bigint): [sec: number, nsec: number] {
  const nsec = ((timeNs % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
  return [Number((timeNs - nsec) / NANOSECONDS), Number(nsec)];
}

/** A `dev_t` as major × 2^32 + minor. */
function majorMinor(device: bigint): number {
  if (Deno.build.os !== "linux") {
    return Number(device >> 24n & 0xffn) * 2 ** 32 + Number(device & 0xffffffn);
  }
  const major = (device >> 8n & 0xfffn) | (device >> 32n & 0xfffff000n);
  const minor = (device & 0xffn) | (device >> 12n & 0xffffff00n);
  return Number(major) * 2 ** 32 + Number(minor);
}
