/**
 * The file system as the engine needs it: exact, synchronous, relative to directory handles. Rule: no call throws for
 * what the disk says; a negative result is `-errno`, so hot loops cost no exceptions.
 *
 * Names are bytes ending in NUL, as the kernel has them. A directory handle plus one name reaches any depth (no
 * PATH_MAX) and, since no call follows a symbolic link in that name, never leaves the tree it started in.
 */

/** An open directory. With libc it is a file descriptor; elsewhere a number that stands for a path. */
export type DirectoryHandle = number;

export const KIND_FILE = 0;
export const KIND_DIRECTORY = 1;
export const KIND_SYMLINK = 2;
export const KIND_FIFO = 3;
export const KIND_CHARACTER_DEVICE = 4;
export const KIND_BLOCK_DEVICE = 5;
export const KIND_SOCKET = 6;

/** One `stat` result, reused by the caller; the fields are numbers so that reading them allocates nothing. */
export interface Stat {
  kind: number;
  /** Permission bits with setuid, setgid and sticky; no type bits. */
  mode: number;
  uid: number;
  gid: number;
  linkCount: number;
  sizeBytes: number;
  /** What it takes on the disk; less than `sizeBytes` for a file with holes, or that is kept small in another way. */
  allocatedBytes: number;
  inodeLow: number;
  inodeHigh: number;
  /** Opaque identity of the file system; equal numbers mean the same one. */
  device: number;
  /** major × 2^32 + minor of a device node, else 0. */
  rdev: number;
  mtimeSec: number;
  mtimeNsec: number;
  ctimeSec: number;
  ctimeNsec: number;
}

export function newStat(): Stat {
  return {
    kind: 0,
    mode: 0,
    uid: 0,
    gid: 0,
    linkCount: 0,
    sizeBytes: 0,
    allocatedBytes: 0,
    inodeLow: 0,
    inodeHigh: 0,
    device: 0,
    rdev: 0,
    mtimeSec: 0,
    mtimeNsec: 0,
    ctimeSec: 0,
    ctimeNsec: 0,
  };
}

export interface FileSystemInfo {
  /** `ext4`, `xfs`, `btrfs`, `tmpfs`, … or `0x…` when the magic number is unknown. */
  type: string;
  freeBytes: number;
  totalBytes: number;
}

export interface Posix {
  readonly name: "libc" | "portable";
  /** Opens a directory by absolute path, following links (the person named it). */
  openRoot(path: Uint8Array): DirectoryHandle;
  /**
   * Opens a directory by a relative path of any length, following links as long as nothing leads out of `root`: that is
   * -EXDEV. -ENOSYS where the system cannot promise it.
   */
  openBeneath(root: DirectoryHandle, path: Uint8Array): DirectoryHandle;
  /** Opens a subdirectory; a symbolic link in its place is -ELOOP or -ENOTDIR. */
  openDirectory(at: DirectoryHandle, name: Uint8Array): DirectoryHandle;
  /** The directory above, for walks that had to close it. */
  openParent(of: DirectoryHandle): DirectoryHandle;
  closeDirectory(handle: DirectoryHandle): void;
  /** All names but `.` and `..` in one call, as latin1 strings (a byte each), unsorted; or -errno. */
  list(handle: DirectoryHandle): string[] | number;

  /** Opens a regular file for reading without waiting on FIFOs and without touching atime where allowed. */
  openRead(at: DirectoryHandle, name: Uint8Array): number;
  /** Creates a file for reading and writing, mode 0600; -EEXIST when the name is taken. */
  createFile(at: DirectoryHandle, name: Uint8Array): number;
  /** Opens for appending, creating with 0600 when it is missing. */
  openAppend(at: DirectoryHandle, name: Uint8Array): number;
  close(fd: number): number;
  truncate(fd: number, sizeBytes: number): number;
  read(fd: number, into: Uint8Array): number;
  readAt(fd: number, into: Uint8Array, offset: number): number;
  writeAt(fd: number, bytes: Uint8Array, offset: number): number;
  /**
   * Where the next data of an open file begins, at `offset` or after it; -ENXIO when only a hole follows, -EINVAL or -ENOSYS
   * where nobody can tell. Moves the position of `read` and `write`.
   */
  seekData(fd: number, offset: number): number;
  /** Where the next hole begins; the end of the file counts as one. Otherwise as `seekData`. */
  seekHole(fd: number, offset: number): number;
  /** Writes at the current position (the end for append). */
  write(fd: number, bytes: Uint8Array): number;

  statAt(at: DirectoryHandle, name: Uint8Array, out: Stat): number;
  stat(fd: number, out: Stat): number;
  statDirectory(handle: DirectoryHandle, out: Stat): number;
  readLink(at: DirectoryHandle, name: Uint8Array): Uint8Array | number;
  makeDirectory(at: DirectoryHandle, name: Uint8Array, mode: number): number;
  symlink(target: Uint8Array, at: DirectoryHandle, name: Uint8Array): number;
  link(
    from: DirectoryHandle,
    fromName: Uint8Array,
    to: DirectoryHandle,
    toName: Uint8Array,
  ): number;
  rename(
    from: DirectoryHandle,
    fromName: Uint8Array,
    to: DirectoryHandle,
    toName: Uint8Array,
  ): number;
  /**
   * As `rename`, in one step, and only to a name that nothing has: else -EEXIST. -EINVAL or -ENOSYS where the system or the
   * file system cannot promise it.
   */
  renameNew(
    from: DirectoryHandle,
    fromName: Uint8Array,
    to: DirectoryHandle,
    toName: Uint8Array,
  ): number;
  unlink(at: DirectoryHandle, name: Uint8Array): number;
  removeDirectory(at: DirectoryHandle, name: Uint8Array): number;
  /** FIFO or device node; -EPERM or -ENOSYS where that is not allowed. */
  makeNode(
    at: DirectoryHandle,
    name: Uint8Array,
    kind: number,
    mode: number,
    rdev: number,
  ): number;

  setFileMode(fd: number, mode: number): number;
  setFileOwner(fd: number, uid: number, gid: number): number;
  setFileTimes(fd: number, mtimeSec: number, mtimeNsec: number): number;
  setModeAt(at: DirectoryHandle, name: Uint8Array, mode: number): number;
  setOwnerAt(at: DirectoryHandle, name: Uint8Array, uid: number, gid: number): number;
  setTimesAt(
    at: DirectoryHandle,
    name: Uint8Array,
    mtimeSec: number,
    mtimeNsec: number,
  ): number;

  /**
   * Names of the extended attributes of what stands there (a symbolic link's own, "." for the directory itself), one byte
   * a character, ACLs (`system.posix_acl_…`) among them; or -errno: -EOPNOTSUPP where the file system has none.
   */
  listXattrs(at: DirectoryHandle, name: Uint8Array): readonly string[] | number;
  /** A copy of the value; or -errno, -ENODATA when it has no such attribute. */
  getXattr(at: DirectoryHandle, name: Uint8Array, attribute: string): Uint8Array | number;
  /** Creates or replaces. -EPERM for what only root may set, -EOPNOTSUPP where it cannot be kept. */
  setXattr(
    at: DirectoryHandle,
    name: Uint8Array,
    attribute: string,
    value: Uint8Array,
  ): number;
  removeXattr(at: DirectoryHandle, name: Uint8Array, attribute: string): number;
  /** Of an open file or directory. */
  setFileXattr(fd: number, attribute: string, value: Uint8Array): number;

  /** Flushes one file. */
  flushFile(fd: number): number;
  flushDirectory(handle: DirectoryHandle): number;
  /** Flushes the whole file system of the handle; -ENOSYS where that gives no guarantee. */
  flushFileSystem(handle: DirectoryHandle): number;
  /** Asks the kernel to start writing a range back; a hint. */
  startWriteback(fd: number, offset: number, lengthBytes: number): void;
  /**
   * Turns writing past the page cache on or off for an open file. While it is on, memory, offset and length of every write
   * are to be multiples of `DIRECT_BLOCK_BYTES`, else it fails with -EINVAL. -EINVAL or -ENOSYS where there is no such thing.
   */
  setDirect(fd: number, on: boolean): number;
  /**
   * Asks for the clean pages of a range, or of the whole file, to leave the page cache; a hint, see `cachedBytes`.
   * `lengthBytes` 0 reaches to the end.
   */
  dropCache(fd: number, offset?: number, lengthBytes?: number): void;
  /** Asks for a range, or the whole file, to be read ahead; a hint. `lengthBytes` 0 reaches to the end. */
  willNeed(fd: number, offset?: number, lengthBytes?: number): void;
  /** Bytes of the file that are in the page cache now; -1 when this system cannot tell. */
  cachedBytes(fd: number, sizeBytes: number): number;
  /** This thread gets a processor when nobody else wants it; a hint. */
  stepBack(): void;
  fileSystemInfo(handle: DirectoryHandle): FileSystemInfo | number;
  /**
   * Advisory lock that ends with the process, exclusive unless `shared`; -EAGAIN when somebody else holds one that it
   * does not go together with.
   */
  tryLock(fd: number, shared?: boolean): number;
}

/** No disk has larger blocks, and memory pages are at least as large. */
export const DIRECT_BLOCK_BYTES = 4096;

/** A name as the calls want it. */
export function cName(text: string): Uint8Array {
  return new TextEncoder().encode(text + "\0");
}

/** A name given one byte a character, as the calls want it. */
export function cNameOfLatin1(name: string): Uint8Array {
  const bytes = new Uint8Array(name.length + 1);
  for (let i = 0; i < name.length; i++) bytes[i] = name.charCodeAt(i);
  return bytes;
}
