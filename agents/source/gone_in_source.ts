/**
 * What of a copy the source really does not have any more. Rule: only what is looked for and not found is gone; what an
 * exclude rule leaves out, what lies on another file system, and what cannot be looked at is not.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import type { ThreadCells } from "../threads/thread_rpc.ts";
import { CACHE_DIR_TAG_NAME, isCacheDirectoryTag } from "./cache_dir_tag.ts";
import { utf8OfLatin1 } from "./entry_table.ts";
import { createExcluder, type Excluder } from "./excludes.ts";
import { IGNORE_FILE_NAME } from "./ignore_file.ts";
import { walkCancelled, type WalkOptions } from "./walk.ts";
import { EIO, ENOENT, ENOTDIR, posixError } from "../platform/errno.ts";
import {
  cName,
  type DirectoryHandle,
  KIND_DIRECTORY,
  KIND_FILE,
  newStat,
  type Posix,
  type Stat,
} from "../platform/posix.ts";

export interface GoneRequest {
  /** Absolute path of the source. */
  path: string;
  options: WalkOptions;
  /** In walk order, one byte a character. */
  paths: string[];
  /** 1 for each path that is a folder in the copy. */
  folders: Uint8Array;
  /** Which folder the source was when it was listed; undefined: not asked. */
  listed?: SourceIdentity;
}

/** The inode of the top folder: what the listing has of it. */
export interface SourceIdentity {
  inodeLow: number;
  inodeHigh: number;
}

const IGNORE_FILE_BYTES_MAX = 1 << 20;

interface Level {
  path: string;
  /** -ENOENT when the source has no such folder. */
  handle: DirectoryHandle;
  /** All below it is left out, or cannot be judged. */
  isKept: boolean;
  /** Only the tag of a cache folder counts in it. */
  isCache: boolean;
  /** -errno when it cannot be judged, else 0. */
  error: number;
}

/**
 * 1 for each path that is gone. @throws {BackupError} when the source itself cannot be opened, `rejected` when another
 * folder stands there than the one that was listed, or `cancelled`
 */
export function goneInSource(posix: Posix, request: GoneRequest, cells: ThreadCells): Uint8Array {
  const judge = openJudge(posix, request.path, request.options);
  try {
    if (request.listed !== undefined) {
      refuseOther(posix, judge.folder("")!, request.path, request.listed);
    }
    return Uint8Array.from(request.paths, (path, k) => {
      Atomics.add(cells.operations, 0, 1);
      if (Atomics.load(cells.cancelled, 0) !== 0) throw walkCancelled();
      return judge.isGone(path, request.folders[k] === 1) ? 1 : 0;
    });
  } finally {
    judge.close();
  }
}

/** The caller closes it. @throws {BackupError} when the source cannot be opened */
export function openJudge(posix: Posix, path: string, options: WalkOptions): SourceJudge {
  const root = posix.openRoot(cName(path));
  if (root < 0) throw posixError(root, "read", path);
  return new SourceJudge(posix, root, options);
}

/** An empty mount point lacks everything, the ignore files too that would say what is to stay. */
function refuseOther(
  posix: Posix,
  root: DirectoryHandle,
  path: string,
  listed: SourceIdentity,
): void {
  const now = newStat();
  const found = posix.statDirectory(root, now);
  if (found < 0) throw posixError(found, "read", path);
  if (now.inodeLow === listed.inodeLow && now.inodeHigh === listed.inodeHigh) return;
  throw new BackupError(
    "rejected",
    `Nothing was deleted: ${path} is another folder than the one that was copied`,
    { path, hint: "Was its disk unmounted meanwhile? Mount it, and run the same command again" },
  );
}

/** Knows which places of a source the walk's rules leave out. Asked in walk order: one folder after the other is open. */
export class SourceJudge {
  readonly #posix: Posix;
  readonly #options: WalkOptions;
  readonly #excluder: Excluder;
  readonly #stat = newStat();
  readonly #levels: Level[] = [];
  readonly #device: number;

  constructor(posix: Posix, root: DirectoryHandle, options: WalkOptions) {
    this.#posix = posix;
    this.#options = options;
    this.#excluder = createExcluder({
      rules: options.excludes,
      ignoreFiles: options.ignoreFiles,
    });
    posix.statDirectory(root, this.#stat);
    this.#device = this.#stat.device;
    this.#enter("", root, false);
  }

  isGone(path: string, isFolder: boolean): boolean {
    if (path === "") return false;
    const at = path.lastIndexOf("/");
    const level = this.#levelOf(at < 0 ? "" : path.slice(0, at));
    const name = path.slice(at + 1);
    if (level.isKept || (level.isCache && name !== CACHE_DIR_TAG_NAME)) return false;
    if (this.#isExcluded(path, isFolder)) return false;
    return level.handle < 0 ||
      this.#posix.statAt(level.handle, latin1CName(name), this.#stat) === -ENOENT;
  }

  /**
   * The folder at `path`, open until the next call that goes elsewhere; undefined where the walk does not look. -ENOENT for
   * one that is gone or no folder any more, another -errno when that cannot be told.
   */
  folder(path: string): DirectoryHandle | undefined {
    const level = this.#levelOf(path);
    if (level.error < 0) return level.error;
    if (level.isKept) return undefined;
    return level.handle === -ENOTDIR ? -ENOENT : level.handle;
  }

  /** Of an entry whose folder is there: 0 or -errno; undefined where the walk leaves it out. */
  stat(path: string, out: Stat): number | undefined {
    const at = path.lastIndexOf("/");
    const level = this.#levelOf(at < 0 ? "" : path.slice(0, at));
    const name = path.slice(at + 1);
    if (level.isKept || (level.isCache && name !== CACHE_DIR_TAG_NAME)) return undefined;
    if (level.handle < 0) return -ENOENT;
    const result = this.#posix.statAt(level.handle, latin1CName(name), out);
    return result >= 0 && this.#isExcluded(path, out.kind === KIND_DIRECTORY) ? undefined : result;
  }

  close(): void {
    while (this.#levels.length > 0) this.#leave();
  }

  #isExcluded(path: string, isFolder: boolean): boolean {
    return !this.#excluder.isEmpty &&
      this.#excluder.test(utf8OfLatin1(path), isFolder) !== undefined;
  }

  /** Goes up and down until it is in the folder `path`. */
  #levelOf(path: string): Level {
    while (!isAtOrBelow(path, this.#levels.at(-1)!.path)) this.#leave();
    for (;;) {
      const last = this.#levels.at(-1)!;
      if (last.path === path) return last;
      const from = last.path === "" ? 0 : last.path.length + 1;
      const end = path.indexOf("/", from);
      this.#down(
        last,
        end < 0 ? path : path.slice(0, end),
        path.slice(from, end < 0 ? undefined : end),
      );
    }
  }

  #down(above: Level, path: string, name: string): void {
    if (above.isKept || above.isCache || this.#isExcluded(path, true)) {
      return this.#enter(path, -ENOENT, true, above.error);
    }
    const handle = above.handle < 0
      ? above.handle
      : this.#posix.openDirectory(above.handle, latin1CName(name));
    if (handle >= 0 || handle === -ENOENT) return this.#enter(path, handle, false);
    // A file or a link where the folder was: what was below it is gone. Anything else is not known.
    const found = above.handle < 0 ? 0 : this.#posix.statAt(
      above.handle,
      latin1CName(name),
      this.#stat,
    );
    const isOther = found === 0 && this.#stat.kind !== KIND_DIRECTORY;
    const isGone = isOther || above.handle < 0 || found === -ENOENT;
    this.#enter(path, -ENOTDIR, !isOther, isGone ? 0 : handle);
  }

  #enter(path: string, handle: DirectoryHandle, isKept: boolean, error = 0): void {
    const level: Level = { path, handle, isKept, isCache: false, error };
    this.#levels.push(level);
    let text: string | undefined;
    if (handle >= 0) {
      const stated = this.#posix.statDirectory(handle, this.#stat);
      if (stated < 0) {
        level.isKept = true;
        level.error = stated;
      }
      // Another file system is not entered by the walk; only its mount point is listed.
      if (this.#options.oneFileSystem && this.#stat.device !== this.#device) level.isKept = true;
      if (this.#options.ignoreFiles) text = this.#ignoreText(level);
      if (this.#options.excludeCaches) {
        const tag = this.#readStart(handle, CACHE_DIR_TAG_NAME, 64);
        level.isCache = tag !== undefined && isCacheDirectoryTag(tag);
      }
    }
    this.#excluder.enterDirectory(utf8OfLatin1(path), text);
  }

  #leave(): void {
    const { handle } = this.#levels.pop()!;
    this.#excluder.leaveDirectory();
    if (handle >= 0) this.#posix.closeDirectory(handle);
  }

  /** An ignore file that is there and cannot be read may leave out anything in its folder. */
  #ignoreText(level: Level): string | undefined {
    const { handle } = level;
    const found = this.#posix.statAt(handle, cName(IGNORE_FILE_NAME), this.#stat);
    if (found === -ENOENT || (found === 0 && this.#stat.kind !== KIND_FILE)) return undefined;
    const bytes = found < 0
      ? undefined
      : this.#readStart(handle, IGNORE_FILE_NAME, IGNORE_FILE_BYTES_MAX);
    if (bytes === undefined) {
      level.isKept = true;
      level.error = found < 0 ? found : -EIO;
    }
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
  }

  #readStart(handle: DirectoryHandle, name: string, bytesMax: number): Uint8Array | undefined {
    const fd = this.#posix.openRead(handle, cName(name));
    if (fd < 0) return undefined;
    const bytes = new Uint8Array(bytesMax);
    const isFile = this.#posix.stat(fd, this.#stat) >= 0 && this.#stat.kind === KIND_FILE;
    const got = isFile ? this.#posix.read(fd, bytes) : -1;
    this.#posix.close(fd);
    return got < 0 ? undefined : bytes.subarray(0, got);
  }
}

function isAtOrBelow(path: string, folder: string): boolean {
  return folder === "" || path === folder || path.startsWith(`${folder}/`);
}

function latin1CName(name: string): Uint8Array {
  const bytes = new Uint8Array(name.length + 1);
  for (let i = 0; i < name.length; i++) bytes[i] = name.charCodeAt(i);
  return bytes;
}
