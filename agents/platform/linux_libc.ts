/**
 * `Posix` over glibc by FFI: nanosecond times, raw names, no hidden link following. Rule: errno is read straight after
 * the call that set it, in the same synchronous stretch. Layouts are those of x86-64 and arm64 Linux.
 */
import { Buffer } from "node:buffer";
import { endianness } from "node:os";
import { kindOfMode } from "./file_kind.ts";
import { fileSystemType } from "./file_system_types.ts";
import {
  type DirectoryHandle,
  type FileSystemInfo,
  KIND_CHARACTER_DEVICE,
  KIND_FIFO,
  type Posix,
  type Stat,
} from "./posix.ts";
import { EAGAIN, EINTR, ENOSYS, EPERM } from "./errno.ts";

const SYMBOLS = {
  __errno_location: { parameters: [], result: "pointer" },
  openat: { parameters: ["i32", "buffer", "i32", "u32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  pread: { parameters: ["i32", "buffer", "usize", "i64"], result: "i32" },
  pwrite: { parameters: ["i32", "buffer", "usize", "i64"], result: "i32" },
  write: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32" },
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  getdents64: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  readlinkat: { parameters: ["i32", "buffer", "buffer", "usize"], result: "i32" },
  mkdirat: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  symlinkat: { parameters: ["buffer", "i32", "buffer"], result: "i32" },
  linkat: { parameters: ["i32", "buffer", "i32", "buffer", "i32"], result: "i32" },
  renameat: { parameters: ["i32", "buffer", "i32", "buffer"], result: "i32" },
  renameNew: {
    name: "syscall",
    parameters: ["i64", "i64", "buffer", "i64", "buffer", "i64"],
    result: "i64",
  },
  unlinkat: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  mknodat: { parameters: ["i32", "buffer", "u32", "u64"], result: "i32" },
  fchmod: { parameters: ["i32", "u32"], result: "i32" },
  fchmodat: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  fchownat: { parameters: ["i32", "buffer", "u32", "u32", "i32"], result: "i32" },
  fchown: { parameters: ["i32", "u32", "u32"], result: "i32" },
  futimens: { parameters: ["i32", "buffer"], result: "i32" },
  utimensat: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  fsync: { parameters: ["i32"], result: "i32" },
  syncfs: { parameters: ["i32"], result: "i32" },
  sync_file_range: { parameters: ["i32", "i64", "i64", "u32"], result: "i32" },
  posix_fadvise: { parameters: ["i32", "i64", "i64", "i32"], result: "i32" },
  fstatfs: { parameters: ["i32", "buffer"], result: "i32" },
  llistxattr: { parameters: ["buffer", "buffer", "usize"], result: "i32" },
  lgetxattr: { parameters: ["buffer", "buffer", "buffer", "usize"], result: "i64" },
  lsetxattr: { parameters: ["buffer", "buffer", "buffer", "usize", "i32"], result: "i32" },
  lremovexattr: { parameters: ["buffer", "buffer"], result: "i32" },
  fsetxattr: { parameters: ["i32", "buffer", "buffer", "usize", "i32"], result: "i32" },
  setpriority: { parameters: ["i32", "u32", "i32"], result: "i32" },
  flock: { parameters: ["i32", "i32"], result: "i32" },
  syscall: { parameters: ["i64", "i64", "buffer", "buffer", "i64"], result: "i64" },
  listxattrat: {
    name: "syscall",
    parameters: ["i64", "i64", "buffer", "i64", "buffer", "usize"],
    result: "i64",
  },
} as const;

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const AT_EMPTY_PATH = 0x1000;
const O_WRONLY = 0o1;
const O_RDWR = 0o2;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_APPEND = 0o2000;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const O_NOATIME = 0o1000000;
// The only open flags whose values differ between the two processors.
const ARM = Deno.build.arch === "aarch64";
const O_DIRECTORY = ARM ? 0o40000 : 0o200000;
const O_DIRECT = ARM ? 0o200000 : 0o40000;
const O_NOFOLLOW = ARM ? 0o100000 : 0o400000;
const STATX_BASIC = 0x7ff;
/** Of `stx_blocks`, whatever the file system's own blocks are. */
const STATX_BLOCK_BYTES = 512;
const F_SETFL = 4;
const PRIO_PROCESS = 0;
const NICEST = 19;
const SEEK_SET = 0;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const SYNC_FILE_RANGE_WRITE = 2;
const FADV_WILLNEED = 3;
const FADV_DONTNEED = 4;
const LOCK_EX_NB = 2 | 4;
const LOCK_SH_NB = 1 | 4;
const SYS_RENAMEAT2 = ARM ? 276n : 316n;
const RENAME_NOREPLACE = 1n;
const SYS_OPENAT2 = 437n;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_BENEATH = 0x08;
const BENEATH_TRIES_MAX = 100;
const SYS_CACHESTAT = 451n;
const SYS_LISTXATTRAT = 465n;
const UTIME_NOW = 0x3fffffff;
const LIST_BUFFER_BYTES = 64 << 10;
/** The kernel's limit for one value and for the list of names. */
const XATTR_BYTES_MAX = 64 << 10;
const XATTR_SIZE = BigInt(XATTR_BYTES_MAX);
const NO_NAMES: readonly string[] = [];

const EMPTY_NAME = new Uint8Array([0]);

/** One per thread: it holds scratch buffers. @throws when there is no libc.so.6 or the machine is big-endian. */
export function openLibc(): Posix {
  if (endianness() !== "LE") throw new TypeError("The libc port needs a little-endian machine");
  const c = Deno.dlopen("libc.so.6", SYMBOLS).symbols;
  // Memory of this thread, read without a call in between that could change it.
  const errno = new Int32Array(
    Deno.UnsafePointerView.getArrayBuffer(c.__errno_location()!, Int32Array.BYTES_PER_ELEMENT),
  );
  const statBytes = new Uint8Array(256);
  const statView = new DataView(statBytes.buffer);
  const listBytes = Buffer.alloc(LIST_BUFFER_BYTES);
  const linkBytes = new Uint8Array(4097);
  const timeBytes = new Uint8Array(32);
  const timeView = new DataView(timeBytes.buffer);
  // Not left alone: file systems in user space (exfat-fuse) set a time only together with the other one.
  timeView.setBigInt64(8, BigInt(UTIME_NOW), true);
  const statfsBytes = new Uint8Array(256);
  const statfsView = new DataView(statfsBytes.buffer);
  const xattrBytes = Buffer.alloc(XATTR_BYTES_MAX);
  /** `/proc/self/fd/<handle>/<name>`: these calls know no directory handles. */
  const xattrPath = Buffer.alloc(4096);
  let xattrPathOf: DirectoryHandle = -1;
  let xattrPrefixBytes = 0;
  const cacheRange = new BigUint64Array(2);
  const cacheStat = new BigUint64Array(5);
  let cachestatWorks = true;
  /** Linux 6.13 and later; without it every name goes through /proc, which takes three times as long. */
  let listxattratWorks = true;

  const check = (result: number): number => result < 0 ? -errno[0]! : result;

  /** Restarted when a signal interrupts it: the caller sees only real failures. */
  const open = (at: number, name: Uint8Array, flags: number, mode: number): number => {
    for (;;) {
      const fd = check(c.openat(at, name as BufferSource, flags | O_CLOEXEC, mode));
      if (fd !== -EINTR) return fd;
    }
  };

  const flush = (call: (fd: number) => number, fd: number): number => {
    for (;;) {
      const result = check(call(fd));
      if (result !== -EINTR) return result;
    }
  };

  const parseStat = (out: Stat): void => {
    const typeAndMode = statView.getUint16(28, true);
    out.kind = kindOfMode(typeAndMode);
    out.mode = typeAndMode & 0o7777;
    out.linkCount = statView.getUint32(16, true);
    out.uid = statView.getUint32(20, true);
    out.gid = statView.getUint32(24, true);
    out.inodeLow = statView.getUint32(32, true);
    out.inodeHigh = statView.getUint32(36, true);
    out.sizeBytes = statView.getUint32(40, true) + statView.getUint32(44, true) * 2 ** 32;
    out.allocatedBytes = (statView.getUint32(48, true) + statView.getUint32(52, true) * 2 ** 32) *
      STATX_BLOCK_BYTES;
    out.ctimeSec = statView.getUint32(96, true) + statView.getInt32(100, true) * 2 ** 32;
    out.ctimeNsec = statView.getUint32(104, true);
    out.mtimeSec = statView.getUint32(112, true) + statView.getInt32(116, true) * 2 ** 32;
    out.mtimeNsec = statView.getUint32(120, true);
    out.rdev = statView.getUint32(128, true) * 2 ** 32 + statView.getUint32(132, true);
    out.device = statView.getUint32(136, true) * 2 ** 32 + statView.getUint32(140, true);
  };

  const statx = (at: number, name: Uint8Array, flags: number, out: Stat): number => {
    const result = check(
      c.statx(at, name as BufferSource, flags | AT_SYMLINK_NOFOLLOW, STATX_BASIC, statBytes),
    );
    if (result === 0) parseStat(out);
    return result;
  };

  const pathOf = (at: DirectoryHandle, name: Uint8Array): BufferSource => {
    if (at !== xattrPathOf) {
      xattrPrefixBytes = xattrPath.write(`/proc/self/fd/${at}/`, "latin1");
      xattrPathOf = at;
    }
    xattrPath.set(name, xattrPrefixBytes);
    return xattrPath;
  };

  /** The names into `xattrBytes`; their length or -errno. */
  const listXattrs = (at: DirectoryHandle, name: Uint8Array): number => {
    if (listxattratWorks) {
      const got = check(
        Number(
          c.listxattrat(
            SYS_LISTXATTRAT,
            BigInt(at),
            name as BufferSource,
            BigInt(AT_SYMLINK_NOFOLLOW),
            xattrBytes,
            XATTR_SIZE,
          ),
        ),
      );
      // Where something keeps unknown calls away it is -EPERM.
      if (got !== -ENOSYS && got !== -EPERM) return got;
      listxattratWorks = got !== -ENOSYS;
    }
    return check(c.llistxattr(pathOf(at, name), xattrBytes, XATTR_SIZE));
  };

  const setTime = (sec: number, nsec: number): void => {
    timeView.setBigInt64(16, BigInt(sec), true);
    timeView.setBigInt64(24, BigInt(nsec), true);
  };

  return {
    name: "libc",
    openRoot: (path) => open(AT_FDCWD, path, O_DIRECTORY, 0),
    openBeneath(root, path) {
      // A rename elsewhere may make the kernel unsure whether a path with ".." led out.
      for (let tries = 0;; tries++) {
        const fd = check(
          Number(c.syscall(SYS_OPENAT2, BigInt(root), path, OPEN_BENEATH, HOW_BYTES)),
        );
        if (fd !== -EINTR && (fd !== -EAGAIN || tries >= BENEATH_TRIES_MAX)) return fd;
      }
    },
    openDirectory: (at, name) => open(at, name, O_DIRECTORY | O_NOFOLLOW, 0),
    openParent: (of) => open(of, PARENT, O_DIRECTORY, 0),
    closeDirectory(handle) {
      c.close(handle);
    },
    list(handle) {
      const names: string[] = [];
      // The position belongs to the handle: without this a second listing would be empty.
      c.lseek(handle, 0n, SEEK_SET);
      for (;;) {
        const got = check(c.getdents64(handle, listBytes, BigInt(LIST_BUFFER_BYTES)));
        if (got < 0) return got;
        if (got === 0) return names;
        for (let at = 0; at < got;) {
          const next = at + listBytes.readUInt16LE(at + 16);
          // d_name starts at 19 and ends in a NUL that the record's padding to 8 bytes puts among its last 8.
          let end = Math.max(at + 19, next - 8);
          while (end < next && listBytes[end] !== 0) end++;
          const name = listBytes.toString("latin1", at + 19, end);
          if (name !== "." && name !== "..") names.push(name);
          at = next;
        }
      }
    },
    openRead(at, name) {
      const fd = open(at, name, O_NOFOLLOW | O_NONBLOCK | O_NOATIME, 0);
      if (fd === -EPERM) {
        // O_NOATIME is for owners only; a stranger's file is read with atime.
        return open(at, name, O_NOFOLLOW | O_NONBLOCK, 0);
      }
      return fd;
    },
    createFile: (at, name) => open(at, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600),
    openAppend: (at, name) => open(at, name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600),
    close: (fd) => check(c.close(fd)),
    truncate: (fd, sizeBytes) => check(c.ftruncate(fd, BigInt(sizeBytes))),
    read(fd, into) {
      for (;;) {
        const got = check(c.read(fd, into as BufferSource, BigInt(into.byteLength)));
        if (got !== -EINTR) return got;
      }
    },
    readAt(fd, into, offset) {
      for (;;) {
        const got = check(
          c.pread(fd, into as BufferSource, BigInt(into.byteLength), BigInt(offset)),
        );
        if (got !== -EINTR) return got;
      }
    },
    writeAt(fd, bytes, offset) {
      for (;;) {
        const put = check(
          c.pwrite(fd, bytes as BufferSource, BigInt(bytes.byteLength), BigInt(offset)),
        );
        if (put !== -EINTR) return put;
      }
    },
    seekData: (fd, offset) => check(Number(c.lseek(fd, BigInt(offset), SEEK_DATA))),
    seekHole: (fd, offset) => check(Number(c.lseek(fd, BigInt(offset), SEEK_HOLE))),
    write(fd, bytes) {
      for (;;) {
        const put = check(c.write(fd, bytes as BufferSource, BigInt(bytes.byteLength)));
        if (put !== -EINTR) return put;
      }
    },
    statAt: (at, name, out) => statx(at, name, 0, out),
    stat: (fd, out) => statx(fd, EMPTY_NAME, AT_EMPTY_PATH, out),
    statDirectory: (handle, out) => statx(handle, EMPTY_NAME, AT_EMPTY_PATH, out),
    readLink(at, name) {
      const got = check(
        c.readlinkat(at, name as BufferSource, linkBytes, BigInt(linkBytes.byteLength)),
      );
      return got < 0 ? got : linkBytes.slice(0, got);
    },
    makeDirectory: (at, name, mode) => check(c.mkdirat(at, name as BufferSource, mode)),
    symlink: (target, at, name) =>
      check(c.symlinkat(target as BufferSource, at, name as BufferSource)),
    link: (from, fromName, to, toName) =>
      check(c.linkat(from, fromName as BufferSource, to, toName as BufferSource, 0)),
    rename: (from, fromName, to, toName) =>
      check(c.renameat(from, fromName as BufferSource, to, toName as BufferSource)),
    renameNew: (from, fromName, to, toName) =>
      check(
        Number(
          c.renameNew(
            SYS_RENAMEAT2,
            BigInt(from),
            fromName as BufferSource,
            BigInt(to),
            toName as BufferSource,
            RENAME_NOREPLACE,
          ),
        ),
      ),
    unlink: (at, name) => check(c.unlinkat(at, name as BufferSource, 0)),
    removeDirectory: (at, name) => check(c.unlinkat(at, name as BufferSource, AT_REMOVEDIR)),
    makeNode(at, name, kind, mode, rdev) {
      const type = kind === KIND_FIFO
        ? 0o010000
        : kind === KIND_CHARACTER_DEVICE
        ? 0o020000
        : 0o060000;
      return check(c.mknodat(at, name as BufferSource, type | mode, encodeDevice(rdev)));
    },
    setFileMode: (fd, mode) => check(c.fchmod(fd, mode)),
    setFileOwner: (fd, uid, gid) => check(c.fchown(fd, uid, gid)),
    setFileTimes(fd, sec, nsec) {
      setTime(sec, nsec);
      return check(c.futimens(fd, timeBytes));
    },
    setModeAt: (at, name, mode) =>
      // glibc makes four calls of it, and the folder itself is no link.
      isSelf(name)
        ? check(c.fchmod(at, mode))
        : check(c.fchmodat(at, name as BufferSource, mode, AT_SYMLINK_NOFOLLOW)),
    setOwnerAt: (at, name, uid, gid) =>
      check(c.fchownat(at, name as BufferSource, uid, gid, AT_SYMLINK_NOFOLLOW)),
    setTimesAt(at, name, sec, nsec) {
      setTime(sec, nsec);
      return check(c.utimensat(at, name as BufferSource, timeBytes, AT_SYMLINK_NOFOLLOW));
    },
    listXattrs(at, name) {
      const got = listXattrs(at, name);
      if (got <= 0) return got < 0 ? got : NO_NAMES;
      return xattrBytes.toString("latin1", 0, got - 1).split("\0");
    },
    getXattr(at, name, attribute) {
      const size = BigInt(XATTR_BYTES_MAX);
      const got = check(
        Number(c.lgetxattr(pathOf(at, name), cLatin1(attribute), xattrBytes, size)),
      );
      return got < 0 ? got : Uint8Array.from(xattrBytes.subarray(0, got));
    },
    setXattr: (at, name, attribute, value) =>
      check(
        c.lsetxattr(
          pathOf(at, name),
          cLatin1(attribute),
          value as BufferSource,
          BigInt(value.length),
          0,
        ),
      ),
    removeXattr: (at, name, attribute) =>
      check(c.lremovexattr(pathOf(at, name), cLatin1(attribute))),
    setFileXattr: (fd, attribute, value) =>
      check(
        c.fsetxattr(fd, cLatin1(attribute), value as BufferSource, BigInt(value.length), 0),
      ),
    flushFile: (fd) => flush(c.fsync, fd),
    flushDirectory: (handle) => flush(c.fsync, handle),
    flushFileSystem: (handle) => flush(c.syncfs, handle),
    startWriteback(fd, offset, lengthBytes) {
      c.sync_file_range(fd, BigInt(offset), BigInt(lengthBytes), SYNC_FILE_RANGE_WRITE);
    },
    // Of the flags that can be set this way, files opened here have no other.
    setDirect: (fd, on) => check(c.fcntl(fd, F_SETFL, on ? O_DIRECT : 0)),
    dropCache(fd, offset = 0, lengthBytes = 0) {
      c.posix_fadvise(fd, BigInt(offset), BigInt(lengthBytes), FADV_DONTNEED);
    },
    willNeed(fd, offset = 0, lengthBytes = 0) {
      c.posix_fadvise(fd, BigInt(offset), BigInt(lengthBytes), FADV_WILLNEED);
    },
    cachedBytes(fd, sizeBytes) {
      if (!cachestatWorks) return -1;
      cacheRange[0] = 0n;
      cacheRange[1] = BigInt(sizeBytes);
      const result = Number(c.syscall(SYS_CACHESTAT, BigInt(fd), cacheRange, cacheStat, 0n));
      if (result !== 0) {
        if (-check(-1) === ENOSYS) cachestatWorks = false;
        return -1;
      }
      return Math.min(sizeBytes, Number(cacheStat[0]!) * 4096);
    },
    stepBack() {
      // On Linux "process 0" is the calling thread.
      c.setpriority(PRIO_PROCESS, 0, NICEST);
    },
    fileSystemInfo(handle): FileSystemInfo | number {
      const result = check(c.fstatfs(handle, statfsBytes));
      if (result < 0) return result;
      const magic = statfsView.getUint32(0, true);
      // Counts are in fragments; f_bsize is what the system likes to move at once (sshfs: 64 KiB and 4 KiB).
      const blockBytes = Number(
        statfsView.getBigInt64(72, true) || statfsView.getBigInt64(8, true),
      );
      return {
        type: fileSystemType(magic),
        totalBytes: Number(statfsView.getBigUint64(16, true)) * blockBytes,
        freeBytes: Number(statfsView.getBigUint64(32, true)) * blockBytes,
      };
    },
    tryLock(fd, shared = false) {
      // EWOULDBLOCK is EAGAIN on Linux.
      return check(c.flock(fd, shared ? LOCK_SH_NB : LOCK_EX_NB));
    },
  };
}

/** The name is ".". */
function isSelf(name: Uint8Array): boolean {
  return name[0] === 0x2e && name[1] === 0;
}

function cLatin1(text: string): BufferSource {
  return Buffer.from(text + "\0", "latin1");
}

/** `struct open_how`: flags, mode, resolve. */
const OPEN_BENEATH = new BigUint64Array([
  BigInt(O_DIRECTORY | O_CLOEXEC),
  0n,
  BigInt(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS),
]);
const HOW_BYTES = BigInt(OPEN_BENEATH.byteLength);

const PARENT: Uint8Array = new Uint8Array([0x2e, 0x2e, 0]);

/** glibc's makedev. */
function encodeDevice(rdev: number): bigint {
  const major = BigInt(Math.floor(rdev / 2 ** 32));
  const minor = BigInt(rdev % 2 ** 32);
  return ((major & 0xfffff000n) << 32n) | ((major & 0xfffn) << 8n) |
    ((minor & 0xffffff00n) << 12n) | (minor & 0xffn);
}
