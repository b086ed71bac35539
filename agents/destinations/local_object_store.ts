/**
 * Objects as files of a folder. Rule: temporary name → flush → rename → flush of the folder; no symbolic link below the
 * root is followed. Calls are synchronous inside, so it is used on a thread that serves this folder.
 */
import { BackupError, IntegrityError } from "../../protocol/base/errors.ts";
import { randomBytes } from "../../protocol/base/random_bytes.ts";
import {
  EEXIST,
  EINVAL,
  ENOENT,
  ENOSYS,
  EOPNOTSUPP,
  EPERM,
  posixError,
} from "../platform/errno.ts";
import {
  cName,
  cNameOfLatin1,
  DIRECT_BLOCK_BYTES,
  type DirectoryHandle,
  KIND_DIRECTORY,
  KIND_FILE,
  newStat,
  type Posix,
  type Stat,
} from "../platform/posix.ts";

import {
  isTemporary,
  nameParts,
  type ObjectInfo,
  type ObjectStore,
  type PutOptions,
} from "./object_store.ts";
import { waysOfWriting } from "./ways_of_writing.ts";

const DIRECTORY_MODE = 0o700;
/** Nobody is to change what is named by its hash. */
const FILE_MODE = 0o400;
/** Written past the page cache from this size on, where that pays and the bytes lie as it needs. */
const DIRECT_FROM_BYTES = 1 << 20;
/** What is surely no folder. */
const OBJECT = /^[0-9a-f]{64}(-tmp-[0-9a-f]+)?$/;
const PIECE_BYTES = 4 << 20;

/**
 * Opens the folder, which must exist. `writer` is in the names of what is being written, so that it can be told who left it:
 * `WRITER_DIGITS` hexadecimal digits. @throws {BackupError}
 */
export function openLocalObjectStore(posix: Posix, path: string, writer = ""): ObjectStore {
  const root = posix.openRoot(cName(path));
  if (root === -ENOENT) {
    throw new BackupError("destination_missing", `${path} does not exist`, {
      path,
      hint: "Check the path, or mount its disk",
    });
  }
  if (root < 0) throw posixError(root, "open", path);
  const info = posix.fileSystemInfo(root);
  const { directWrites } = waysOfWriting(posix, typeof info === "number" ? "" : info.type);
  return new LocalObjectStore(posix, root, path, { directWrites, writer });
}

class LocalObjectStore implements ObjectStore {
  readonly display: string;
  readonly #posix: Posix;
  readonly #root: DirectoryHandle;
  readonly #writesDirect: boolean;
  readonly #writer: string;
  readonly #stat: Stat = newStat();

  constructor(
    posix: Posix,
    root: DirectoryHandle,
    path: string,
    { directWrites, writer }: { directWrites: boolean; writer: string },
  ) {
    this.#posix = posix;
    this.#root = root;
    this.display = path;
    this.#writesDirect = directWrites;
    this.#writer = writer;
  }

  close(): void {
    this.#posix.closeDirectory(this.#root);
  }

  // deno-lint-ignore require-await -- the port is for slow places too
  async put(name: string, parts: readonly Uint8Array[], options: PutOptions = {}): Promise<void> {
    this.#within(name, true, (folder, leaf) => {
      const temporary = `${leaf}-tmp-${this.#writer}${randomBytes(4).toHex()}`;
      this.#writeFile(folder, temporary, parts, name);
      const publish = options.mustBeNew === true ? this.#publishNew : this.#replace;
      const result = publish.call(this, folder, temporary, leaf);
      if (result < 0) this.#posix.unlink(folder, cName(temporary));
      if (result === -EEXIST) {
        const path = this.#path(name);
        throw new BackupError("rejected", `${path} exists already`, { path });
      }
      this.#require(result, "write", name);
      this.#flushDirectory(folder, name);
    });
  }

  // deno-lint-ignore require-await -- as above
  async get(name: string, maxBytes: number, room?: Uint8Array): Promise<Uint8Array> {
    return this.#open(name, (fd) => this.#readWhole(fd, name, maxBytes, room));
  }

  // deno-lint-ignore require-await -- as above
  async getRange(name: string, offset: number, lengthBytes: number, room?: Uint8Array) {
    return this.#open(name, (fd) => {
      const bytes = room !== undefined && room.length >= lengthBytes
        ? room.subarray(0, lengthBytes)
        : new Uint8Array(lengthBytes);
      const got = this.#fill(fd, bytes, offset, name);
      if (got < lengthBytes) {
        throw new IntegrityError(
          `${this.#path(name)} is cut off: it ends at byte ${offset + got}, ` +
            `byte ${offset + lengthBytes} must be there`,
          { path: this.#path(name) },
        );
      }
      return bytes;
    });
  }

  // deno-lint-ignore require-await -- as above
  async readBack(name: string, maxBytes: number, room?: Uint8Array) {
    return this.#open(name, (fd) => {
      this.#require(this.#posix.stat(fd, this.#stat), "read", name);
      const sizeBytes = this.#stat.sizeBytes;
      this.#posix.dropCache(fd);
      const fromDisk = this.#posix.cachedBytes(fd, sizeBytes) === 0;
      if (this.#writesDirect && sizeBytes <= maxBytes && room !== undefined) {
        const got = this.#readDirect(fd, room, sizeBytes);
        if (got === sizeBytes) return { bytes: room.subarray(0, sizeBytes), fromDisk };
      }
      return { bytes: this.#readWhole(fd, name, maxBytes, room), fromDisk };
    });
  }

  // deno-lint-ignore require-await -- as above
  async stat(name: string): Promise<ObjectInfo | undefined> {
    return this.#within(name, false, (folder, leaf) => {
      const result = this.#posix.statAt(folder, cName(leaf), this.#stat);
      if (result === -ENOENT) return undefined;
      this.#require(result, "look at", name);
      return { name, sizeBytes: this.#stat.sizeBytes };
    });
  }

  // deno-lint-ignore require-await -- as above
  async list(folder: string): Promise<ObjectInfo[]> {
    return this.#below(folder, (name) => !isTemporary(name));
  }

  // deno-lint-ignore require-await -- as above
  async leftovers(folder: string): Promise<ObjectInfo[]> {
    return this.#below(folder, isTemporary);
  }

  // deno-lint-ignore require-await -- as above
  async remove(name: string): Promise<void> {
    this.#within(name, false, (folder, leaf) => {
      const result = this.#posix.unlink(folder, cName(leaf));
      if (result === -ENOENT) return undefined;
      this.#require(result, "remove", name);
      this.#flushDirectory(folder, name);
    });
  }

  #below(folder: string, isWanted: (name: string) => boolean): ObjectInfo[] {
    const found: ObjectInfo[] = [];
    if (folder === "") return this.#atTop(isWanted);
    const root = this.#posix.openDirectory(this.#root, cName(folder));
    if (root === -ENOENT) return found;
    this.#require(root, "list", folder);
    this.#listInto(root, folder, { isWanted, found });
    return found;
  }

  #atTop(isWanted: (name: string) => boolean): ObjectInfo[] {
    const names = this.#posix.list(this.#root);
    if (typeof names === "number") throw posixError(names, "list", this.display);
    return names.filter(isWanted).flatMap((name) => {
      const result = this.#posix.statAt(this.#root, cNameOfLatin1(name), this.#stat);
      const isFile = result >= 0 && this.#stat.kind === KIND_FILE;
      return isFile ? [{ name, sizeBytes: this.#stat.sizeBytes }] : [];
    });
  }

  #listInto(
    handle: DirectoryHandle,
    prefix: string,
    into: { isWanted: (name: string) => boolean; found: ObjectInfo[] },
  ): void {
    try {
      const names = this.#posix.list(handle);
      if (typeof names === "number") throw posixError(names, "list", this.#path(prefix));
      for (const name of names) {
        const isWanted = into.isWanted(name);
        // No folder of a repository has such a name: a file that is not asked about is not even looked at.
        if (!isWanted && OBJECT.test(name)) continue;
        const bytes = cNameOfLatin1(name);
        // Another process may remove what was listed.
        if (this.#posix.statAt(handle, bytes, this.#stat) < 0) continue;
        const path = `${prefix}/${name}`;
        if (this.#stat.kind === KIND_FILE) {
          if (isWanted) into.found.push({ name: path, sizeBytes: this.#stat.sizeBytes });
        } else if (this.#stat.kind === KIND_DIRECTORY) {
          const below = this.#posix.openDirectory(handle, bytes);
          if (below === -ENOENT) continue;
          this.#require(below, "list", path);
          this.#listInto(below, path, into);
        }
      }
    } finally {
      this.#posix.closeDirectory(handle);
    }
  }

  #writeFile(
    folder: DirectoryHandle,
    temporary: string,
    parts: readonly Uint8Array[],
    name: string,
  ): void {
    const fd = this.#posix.createFile(folder, cName(temporary));
    this.#require(fd, "create", name);
    let result = 0;
    let offset = 0;
    for (const part of parts) {
      let at = 0;
      if (this.#writesDirect && part.length >= DIRECT_FROM_BYTES && offset === 0) {
        result = this.#writeDirect(fd, part);
        at = offset = Math.max(0, result);
      }
      while (at < part.length && result >= 0) {
        result = this.#posix.writeAt(fd, part.subarray(at, at + PIECE_BYTES), offset);
        at += result;
        offset += result;
      }
      if (result < 0) break;
    }
    // Some file systems have no modes; the mode protects against mistakes only.
    if (result >= 0) this.#posix.setFileMode(fd, FILE_MODE);
    if (result >= 0) result = this.#posix.flushFile(fd);
    const closed = this.#posix.close(fd);
    if (result >= 0) result = closed;
    if (result < 0) this.#posix.unlink(folder, cName(temporary));
    this.#require(result, "write", name);
  }

  /** Writes the whole blocks of what a file begins with past the page cache; how many bytes, or -errno. */
  #writeDirect(fd: number, bytes: Uint8Array): number {
    if (this.#posix.setDirect(fd, true) < 0) return 0;
    const whole = bytes.length - bytes.length % DIRECT_BLOCK_BYTES;
    let at = 0;
    while (at < whole) {
      const put = this.#posix.writeAt(
        fd,
        bytes.subarray(at, Math.min(whole, at + PIECE_BYTES)),
        at,
      );
      // Memory that begins anywhere, or a file system that will not after all.
      if (put === -EINVAL) break;
      if (put < 0) return put;
      at += put;
      if (put % DIRECT_BLOCK_BYTES !== 0) break;
    }
    const off = this.#posix.setDirect(fd, false);
    return off < 0 ? off : at;
  }

  #replace(folder: DirectoryHandle, temporary: string, leaf: string): number {
    return this.#posix.rename(folder, cName(temporary), folder, cName(leaf));
  }

  #publishNew(folder: DirectoryHandle, temporary: string, leaf: string): number {
    const linked = this.#posix.link(folder, cName(temporary), folder, cName(leaf));
    if (linked >= 0) {
      this.#posix.unlink(folder, cName(temporary));
      return 0;
    }
    if (linked !== -EPERM && linked !== -EOPNOTSUPP && linked !== -ENOSYS) return linked;
    // Without hard links there is a moment in which another could come first.
    const there = this.#posix.statAt(folder, cName(leaf), this.#stat);
    if (there !== -ENOENT) return there < 0 ? there : -EEXIST;
    return this.#replace(folder, temporary, leaf);
  }

  #flushDirectory(folder: DirectoryHandle, name: string): void {
    const result = this.#posix.flushDirectory(folder);
    // Where folders cannot be flushed their changes are durable at once, or there is nothing we could do.
    if (result !== -EINVAL && result !== -ENOSYS && result !== -EOPNOTSUPP) {
      this.#require(result, "flush the folder of", name);
    }
  }

  #open<T>(name: string, read: (fd: number) => T): T {
    const found = this.#within(name, false, (folder, leaf) => {
      const fd = this.#posix.openRead(folder, cName(leaf));
      if (fd === -ENOENT) return undefined;
      this.#require(fd, "open", name);
      try {
        return { value: read(fd) };
      } finally {
        this.#posix.close(fd);
      }
    });
    if (found === undefined) throw posixError(-ENOENT, "open", this.#path(name));
    return found.value;
  }

  #readWhole(fd: number, name: string, maxBytes: number, room?: Uint8Array): Uint8Array {
    this.#require(this.#posix.stat(fd, this.#stat), "read", name);
    const sizeBytes = this.#stat.sizeBytes;
    if (sizeBytes > maxBytes) {
      throw new IntegrityError(
        `${this.#path(name)} has ${sizeBytes} bytes, it cannot have more than ${maxBytes}`,
        { path: this.#path(name) },
      );
    }
    const bytes = room !== undefined && room.length >= sizeBytes
      ? room.subarray(0, sizeBytes)
      : new Uint8Array(sizeBytes);
    const got = this.#fill(fd, bytes, 0, name);
    return got < sizeBytes ? bytes.subarray(0, got) : bytes;
  }

  /** As many bytes as could be read past the page cache; whoever gets too few reads in the usual way. */
  #readDirect(fd: number, room: Uint8Array, sizeBytes: number): number {
    const whole = Math.ceil(sizeBytes / DIRECT_BLOCK_BYTES) * DIRECT_BLOCK_BYTES;
    if (sizeBytes < DIRECT_FROM_BYTES || room.length < whole) return 0;
    if (this.#posix.setDirect(fd, true) < 0) return 0;
    let at = 0;
    while (at < sizeBytes) {
      const end = Math.min(whole, at + PIECE_BYTES);
      const got = this.#posix.readAt(fd, room.subarray(at, end), at);
      // Only the end of the file is no whole block.
      if (got <= 0 || (got % DIRECT_BLOCK_BYTES !== 0 && at + got < sizeBytes)) break;
      at += got;
    }
    this.#posix.setDirect(fd, false);
    return at;
  }

  /** The number of bytes that were there. */
  #fill(fd: number, bytes: Uint8Array, offset: number, name: string): number {
    let at = 0;
    while (at < bytes.length) {
      const got = this.#posix.readAt(fd, bytes.subarray(at), offset + at);
      this.#require(got, "read", name);
      if (got === 0) break;
      at += got;
    }
    return at;
  }

  /** Calls with the folder that holds the object; undefined when it is missing and not to be made. */
  #within<T>(
    name: string,
    make: boolean,
    use: (folder: DirectoryHandle, leaf: string) => T | undefined,
  ): T | undefined {
    const parts = nameParts(name);
    const leaf = parts.pop()!;
    let folder = this.#root;
    try {
      for (const part of parts) {
        const next = this.#enter(folder, part, make, name);
        if (next === undefined) return undefined;
        if (folder !== this.#root) this.#posix.closeDirectory(folder);
        folder = next;
      }
      return use(folder, leaf);
    } finally {
      if (folder !== this.#root) this.#posix.closeDirectory(folder);
    }
  }

  #enter(
    at: DirectoryHandle,
    part: string,
    make: boolean,
    name: string,
  ): DirectoryHandle | undefined {
    let next = this.#posix.openDirectory(at, cName(part));
    if (next === -ENOENT) {
      if (!make) return undefined;
      const made = this.#posix.makeDirectory(at, cName(part), DIRECTORY_MODE);
      if (made !== -EEXIST) {
        this.#require(made, "make the folder of", name);
        this.#flushDirectory(at, name);
      }
      next = this.#posix.openDirectory(at, cName(part));
    }
    this.#require(next, "open the folder of", name);
    return next;
  }

  #path(name: string): string {
    return `${this.display}/${name}`;
  }

  #require(result: number, action: string, name: string): void {
    if (result < 0) throw posixError(result, action, this.#path(name));
  }
}
