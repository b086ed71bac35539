/**
 * A folder of this machine as the target of a restore. Rule: every name is one part below an open folder and no link is followed,
 * so nothing outside the target is touched; a file gets its name when it is whole and has its metadata.
 */
import { BackupError } from "../../../protocol/base/errors.ts";
import {
  EEXIST,
  EINVAL,
  EISDIR,
  ENOENT,
  ENOSYS,
  ENOTEMPTY,
  EOPNOTSUPP,
  EPERM,
  posixError,
} from "../../platform/errno.ts";
import {
  cName,
  cNameOfLatin1,
  type DirectoryHandle,
  KIND_BLOCK_DEVICE,
  KIND_CHARACTER_DEVICE,
  KIND_DIRECTORY,
  KIND_FIFO,
  KIND_FILE,
  newStat,
  type Posix,
  type Stat,
} from "../../platform/posix.ts";
import {
  type ByteString,
  byteStringOf,
  fromGoMode,
  type Instant,
  parseTime,
  showBytes,
  type TargetFile,
  type TargetFolder,
  type TreeNode,
} from "../../repository/mod.ts";
import { splitDevice } from "./node_of_stat.ts";
import type { Temporaries } from "./restore_temporaries.ts";

/** What happens where something stands already. `if-changed`: files of another size or time are replaced. */
/** With `refuse`, the default of people, what stands there stays: what is the same is done, what differs has failed. */
export type Overwrite = "always" | "if-changed" | "if-newer" | "never" | "refuse";

export interface TargetOptions {
  posix: Posix;
  overwrite?: Overwrite;
  /** What files are named while they are written; those that a killed restore has left are removed. */
  temporaries: Temporaries;
  /** Removes what the snapshot does not have, in folders that it has. */
  delete?: boolean;
  /**
   * False for what nobody asked for, by its path in the tree: it is not deleted, and a folder that stood there keeps its
   * metadata.
   */
  isAsked?(path: ByteString, isFolder: boolean): boolean;
  onDelete?(path: string): void;
  /** Zeros become holes. */
  sparse?: boolean;
  /** Metadata that could not be set. */
  onProblem(path: string, error: BackupError): void;
}

/** Where a file was put: the path below the target. */
export type Place = readonly string[];

const FOLDER_MODE = 0o700;
/** Zeros are looked for in pieces of this. */
const BLOCK_BYTES = 4096;

/** The folder must exist. Close it when the restore has ended. */
export function openRestoreTarget(path: string, options: TargetOptions): TargetFolder<Place> {
  const root = options.posix.openRoot(cName(path));
  if (root < 0) throw posixError(root, "open", path);
  const folder = new Folder(root, root, path, [], options);
  folder.removeStale();
  return folder;
}

class Folder implements TargetFolder<Place> {
  readonly #root: DirectoryHandle;
  readonly #handle: DirectoryHandle;
  readonly #rootPath: string;
  readonly #place: Place;
  readonly #options: TargetOptions;
  readonly #posix: Posix;
  readonly #stat: Stat = newStat();
  readonly #isNew: boolean;
  /** Who owns what is made here; known once a file was. */
  #born: { uid: number; gid: number } | undefined;

  constructor(
    root: DirectoryHandle,
    handle: DirectoryHandle,
    rootPath: string,
    place: Place,
    options: TargetOptions,
    isNew = false,
  ) {
    this.#isNew = isNew;
    this.#root = root;
    this.#handle = handle;
    this.#rootPath = rootPath;
    this.#place = place;
    this.#options = options;
    this.#posix = options.posix;
  }

  folder(node: TreeNode): TargetFolder<Place> {
    const name = cNameOfLatin1(node.name);
    // In a folder that was just made there is, as a rule, nothing to open.
    let isNew = this.#isNew &&
      this.#posix.makeDirectory(this.#handle, name, FOLDER_MODE) >= 0;
    let handle = this.#posix.openDirectory(this.#handle, name);
    if (handle < 0 && handle !== -ENOENT) {
      // A file or a link where a folder must be.
      this.#makeWay(node, name);
      handle = -ENOENT;
    }
    if (handle === -ENOENT) {
      const made = this.#posix.makeDirectory(this.#handle, name, FOLDER_MODE);
      isNew = made >= 0;
      if (made < 0 && made !== -EEXIST) throw posixError(made, "make", this.#path(node));
      handle = this.#posix.openDirectory(this.#handle, name);
    }
    if (handle < 0) throw posixError(handle, "open", this.#path(node));
    const place = [...this.#place, node.name];
    const folder = new Folder(this.#root, handle, this.#rootPath, place, this.#options, isNew);
    if (!isNew) folder.removeStale();
    return folder;
  }

  /** What a killed restore was writing here. Whether it works says nothing about this one. */
  removeStale(): void {
    const names = this.#posix.list(this.#handle);
    if (typeof names === "number") return;
    for (const name of names) {
      if (!this.#options.temporaries.isStale(name)) continue;
      const bytes = cNameOfLatin1(name);
      const got = this.#posix.statAt(this.#handle, bytes, this.#stat);
      if (got >= 0 && this.#stat.kind === KIND_FILE) this.#posix.unlink(this.#handle, bytes);
    }
  }

  file(node: TreeNode): TargetFile<Place> | undefined {
    const name = cNameOfLatin1(node.name);
    // In a folder that was just made only a name that the file system takes for the same can stand: seen when it is named.
    const stands = !this.#isNew && this.#posix.statAt(this.#handle, name, this.#stat) >= 0;
    const rule = this.#options.overwrite ?? "always";
    if (stands && mayStay(rule, this.#stat, node)) return undefined;
    if (stands && rule === "refuse") throw this.#standsThere(node);
    const temporary = cNameOfLatin1(this.#options.temporaries.next());
    const fd = this.#posix.createFile(this.#handle, temporary);
    if (fd < 0) throw posixError(fd, "create", this.#path(node));
    return this.#fileBeingWritten(fd, node, { name, temporary, stands });
  }

  #fileBeingWritten(
    fd: number,
    node: TreeNode,
    names: { name: Uint8Array; temporary: Uint8Array; stands: boolean },
  ): TargetFile<Place> {
    const posix = this.#posix;
    const { temporary } = names;
    let offset = 0;
    let isOpen = true;
    let isNamed = false;
    const require = (result: number, action: string) => {
      if (result < 0) throw posixError(result, action, this.#path(node));
    };
    const close = (): number => {
      if (!isOpen) return 0;
      isOpen = false;
      return posix.close(fd);
    };
    return {
      write: (bytes) => {
        for (let at = 0; at < bytes.length;) {
          const some = this.#options.sparse === true ? nextRun(bytes, at) : bytes.length - at;
          if (some < 0) {
            at -= some;
            continue;
          }
          const put = posix.writeAt(fd, bytes.subarray(at, at + some), offset + at);
          require(put, "write");
          at += put;
        }
        offset += bytes.length;
      },
      finish: () => {
        // The end may be a hole.
        if (this.#options.sparse === true) require(posix.truncate(fd, offset), "write");
        this.#setFileMetadata(fd, node);
        require(close(), "write");
        this.#publish(node, names);
        isNamed = true;
        return [...this.#place, node.name];
      },
      discard: () => {
        close();
        if (!isNamed) posix.unlink(this.#handle, temporary);
      },
    };
  }

  /** Where nothing stood nothing may have come meanwhile that the rule would have left. */
  #publish(
    node: TreeNode,
    { name, temporary, stands }: { name: Uint8Array; temporary: Uint8Array; stands: boolean },
  ): void {
    const posix = this.#posix;
    const require = (result: number) => {
      if (result < 0) throw posixError(result, "name", this.#path(node));
    };
    if (!stands) {
      const named = posix.renameNew(this.#handle, temporary, this.#handle, name);
      if (named >= 0) return;
      if (!isUnknown(named) && named !== -EEXIST) require(named);
      if (posix.statAt(this.#handle, name, this.#stat) >= 0) this.#requireReplaceable(node);
    }
    let named = posix.rename(this.#handle, temporary, this.#handle, name);
    if (named === -EISDIR || named === -EEXIST || named === -ENOTEMPTY) {
      this.#makeWay(node, name, true);
      named = posix.rename(this.#handle, temporary, this.#handle, name);
    }
    require(named);
  }

  /** What `#stat` has came after it was looked for. */
  #requireReplaceable(node: TreeNode): void {
    const rule = this.#options.overwrite ?? "always";
    if (rule === "refuse" || mayStay(rule, this.#stat, node)) throw this.#standsThere(node);
  }

  other(node: TreeNode): Place | undefined {
    const name = cNameOfLatin1(node.name);
    const stands = this.#posix.statAt(this.#handle, name, this.#stat) >= 0;
    if (stands && this.#options.overwrite === "never") return undefined;
    if (stands && this.#options.overwrite === "refuse") {
      if (this.#isThere(node, name)) return undefined;
      throw this.#standsThere(node);
    }
    if (stands) this.#makeWay(node, name);
    const result = node.type === "symlink"
      ? this.#posix.symlink(cNameOfLatin1(node.linkTarget!), this.#handle, name)
      : this.#makeNode(node, name);
    if (result < 0) throw posixError(result, "make", this.#path(node));
    this.#setMetadata(name, node);
    return [...this.#place, node.name];
  }

  link(node: TreeNode, first: Place): void {
    const name = cNameOfLatin1(node.name);
    const stands = this.#posix.statAt(this.#handle, name, this.#stat) >= 0;
    if (stands && this.#options.overwrite === "never") return;
    if (stands && this.#options.overwrite === "refuse") {
      if (mayStay("if-changed", this.#stat, node)) return;
      throw this.#standsThere(node);
    }
    const { handle, close } = this.#folderOf(first);
    try {
      const from = cNameOfLatin1(first.at(-1)!);
      if (stands) this.#makeWay(node, name);
      const result = this.#posix.link(handle, from, this.#handle, name);
      if (result < 0) throw posixError(result, "link", this.#path(node));
    } finally {
      close();
    }
  }

  finish(node: TreeNode | undefined, names: ReadonlySet<string>): void {
    const { isAsked } = this.#options;
    const path = this.#place.map((name) => `/${name}`).join("");
    if (this.#options.delete === true) {
      this.#deleteOthers(
        this.#handle,
        names,
        (name, isFolder) => isAsked?.(`${path}/${name}`, isFolder) !== false,
      );
    }
    if (node === undefined) return;
    if (this.#isNew || isAsked?.(path, true) !== false) this.#setMetadata(cName("."), node);
  }

  close(): void {
    this.#posix.closeDirectory(this.#handle);
  }

  /** Whether the link or node that stands under a name is what must be made; its attributes are not looked at. */
  #isThere(node: TreeNode, name: Uint8Array): boolean {
    if (node.type === "symlink") {
      const target = this.#posix.readLink(this.#handle, name);
      return typeof target !== "number" && byteStringOf(target) === node.linkTarget;
    }
    const { kind, rdev } = nodeOf(node);
    return this.#stat.kind === kind && (kind === KIND_FIFO || this.#stat.rdev === rdev);
  }

  #standsThere(node: TreeNode): BackupError {
    const path = this.#path(node);
    const text = `${path} stands there and differs, and is left; --overwrite replaces it`;
    return new BackupError("rejected", text, { path });
  }

  #makeNode(node: TreeNode, name: Uint8Array): number {
    const { kind, rdev } = nodeOf(node);
    return this.#posix.makeNode(this.#handle, name, kind, 0o600, rdev);
  }

  /** Removes what stands under a name; a folder only when it is empty or everything else may go too. */
  #makeWay(node: TreeNode, name: Uint8Array, onlyFolders = false): void {
    if (this.#posix.statAt(this.#handle, name, this.#stat) < 0) return;
    if (this.#stat.kind !== KIND_DIRECTORY) {
      if (onlyFolders) return;
      const { overwrite } = this.#options;
      if (overwrite === "refuse") throw this.#standsThere(node);
      if (overwrite === "never") {
        throw new BackupError("rejected", `${this.#path(node)} is in the way`, {
          path: this.#path(node),
        });
      }
      const result = this.#posix.unlink(this.#handle, name);
      if (result < 0) throw posixError(result, "replace", this.#path(node));
      return;
    }
    if (this.#options.delete === true) this.#deleteFolder(this.#handle, name);
    else {
      const result = this.#posix.removeDirectory(this.#handle, name);
      if (result === -ENOTEMPTY || result === -EEXIST) {
        throw new BackupError("rejected", `${this.#path(node)} is a folder that is not empty`, {
          path: this.#path(node),
          hint: "Remove it, or restore with --delete",
        });
      }
      if (result < 0) throw posixError(result, "replace", this.#path(node));
    }
  }

  #deleteOthers(
    at: DirectoryHandle,
    kept: ReadonlySet<string>,
    mayGo: (name: ByteString, isFolder: boolean) => boolean = () => true,
  ): void {
    const names = this.#posix.list(at);
    if (typeof names === "number") throw posixError(names, "list", this.#rootPath);
    for (const name of names) {
      if (kept.has(name)) continue;
      const bytes = cNameOfLatin1(name);
      if (this.#posix.statAt(at, bytes, this.#stat) < 0) continue;
      const isFolder = this.#stat.kind === KIND_DIRECTORY;
      if (!mayGo(name, isFolder)) continue;
      const gone = isFolder ? this.#deleteFolder(at, bytes) : this.#posix.unlink(at, bytes);
      const path = `${this.#rootPath}/${showBytes([...this.#place, name].join("/"))}`;
      if (gone < 0) this.#options.onProblem(path, posixError(gone, "delete", path));
      else if (at === this.#handle) this.#options.onDelete?.(path);
    }
  }

  #deleteFolder(at: DirectoryHandle, name: Uint8Array): number {
    const handle = this.#posix.openDirectory(at, name);
    if (handle < 0) throw posixError(handle, "open", this.#rootPath);
    try {
      this.#deleteOthers(handle, new Set());
    } finally {
      this.#posix.closeDirectory(handle);
    }
    return this.#posix.removeDirectory(at, name);
  }

  #setMetadata(name: Uint8Array, node: TreeNode): void {
    const [posix, at] = [this.#posix, this.#handle];
    this.#applyMetadata(node, {
      owner: () => posix.setOwnerAt(at, name, node.uid, node.gid),
      xattr: (attribute, value) => posix.setXattr(at, name, attribute, value),
      // A link has no mode.
      mode: () => node.type === "symlink" ? 0 : posix.setModeAt(at, name, fromGoMode(node.mode)),
      times: (sec, nsec) => posix.setTimesAt(at, name, sec, nsec),
    });
  }

  /** Of a file that was made here, through its descriptor: that is one call each. */
  #setFileMetadata(fd: number, node: TreeNode): void {
    const posix = this.#posix;
    const { uid, gid } = this.#born ??= this.#ownerOf(fd);
    this.#applyMetadata(node, {
      owner: () =>
        uid === node.uid && gid === node.gid ? 0 : posix.setFileOwner(fd, node.uid, node.gid),
      xattr: (attribute, value) => posix.setFileXattr(fd, attribute, value),
      mode: () => posix.setFileMode(fd, fromGoMode(node.mode)),
      times: (sec, nsec) => posix.setFileTimes(fd, sec, nsec),
    });
  }

  #ownerOf(fd: number): { uid: number; gid: number } {
    if (this.#posix.stat(fd, this.#stat) < 0) return { uid: -1, gid: -1 };
    const { uid, gid } = this.#stat;
    return { uid, gid };
  }

  /** Owner first, since that takes bits of the mode away, and times last. */
  #applyMetadata(node: TreeNode, set: MetadataCalls): void {
    const told = (result: number, action: string) => {
      if (result < 0) {
        this.#options.onProblem(this.#path(node), posixError(result, action, this.#path(node)));
      }
    };
    const owned = set.owner();
    // Only the superuser can give files away, and everybody else knows.
    if (owned !== -EPERM) told(owned, "set the owner of");
    for (const { name, value } of node.xattrs ?? []) told(set.xattr(name, value), `set ${name} of`);
    told(set.mode(), "set the mode of");
    const mtime = parseTime(node.mtime);
    if (mtime !== undefined) {
      const timed = set.times(mtime.sec, mtime.nsec);
      if (!isUnknown(timed)) told(timed, "set the time of");
    }
  }

  #folderOf(place: Place): { handle: DirectoryHandle; close(): void } {
    let handle = this.#root;
    const close = () => {
      if (handle !== this.#root) this.#posix.closeDirectory(handle);
    };
    for (const name of place.slice(0, -1)) {
      const next = this.#posix.openDirectory(handle, cNameOfLatin1(name));
      close();
      handle = next;
      if (next < 0) {
        handle = this.#root;
        throw posixError(next, "open", `${this.#rootPath}/${showBytes(place.join("/"))}`);
      }
    }
    return { handle, close };
  }

  #path(node: TreeNode): string {
    return `${this.#rootPath}/${showBytes([...this.#place, node.name].join("/"))}`;
  }
}

/** Ways to set what a node has; each 0 or -errno. */
interface MetadataCalls {
  owner(): number;
  xattr(name: string, value: Uint8Array): number;
  mode(): number;
  times(sec: number, nsec: number): number;
}

/** The system or the file system has no such call. */
function isUnknown(result: number): boolean {
  return result === -EOPNOTSUPP || result === -ENOSYS || result === -EINVAL;
}

function nodeOf({ type, device = 0 }: TreeNode): { kind: number; rdev: number } {
  if (type === "fifo") return { kind: KIND_FIFO, rdev: 0 };
  const kind = type === "dev" ? KIND_BLOCK_DEVICE : KIND_CHARACTER_DEVICE;
  return { kind, rdev: splitDevice(device) };
}

/** Whether what stands under a file's name stays. */
export function mayStay(overwrite: Overwrite, stat: Stat, node: TreeNode): boolean {
  const mtime = parseTime(node.mtime);
  switch (overwrite) {
    case "never":
      return true;
    case "always":
      return false;
    case "if-changed":
    case "refuse":
      return stat.kind === KIND_FILE && mtime !== undefined && stat.mtimeSec === mtime.sec &&
        stat.mtimeNsec === mtime.nsec && stat.sizeBytes === (node.sizeBytes ?? 0);
    case "if-newer":
      return mtime === undefined || !isNewer(mtime, stat);
  }
}

function isNewer(mtime: Instant, stat: Stat): boolean {
  return mtime.sec > stat.mtimeSec ||
    (mtime.sec === stat.mtimeSec && mtime.nsec > stat.mtimeNsec);
}

/** Bytes to write at `at`, or minus the number of zeros to skip. */
function nextRun(bytes: Uint8Array, at: number): number {
  const isZeroBlock = (from: number): boolean => {
    const end = Math.min(bytes.length, from + BLOCK_BYTES);
    for (let i = from; i < end; i++) if (bytes[i] !== 0) return false;
    return true;
  };
  let end = at;
  if (isZeroBlock(at)) {
    while (end < bytes.length && isZeroBlock(end)) end = Math.min(bytes.length, end + BLOCK_BYTES);
    return at - end;
  }
  while (end < bytes.length && !isZeroBlock(end)) end = Math.min(bytes.length, end + BLOCK_BYTES);
  return end - at;
}
