/**
 * Lists a source into an `EntryTable`. Rule: nothing is left out in silence; what a rule excludes is counted under that
 * rule, what cannot be read is named, and a directory of which not everything could be listed is marked so.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import type { ExcludeRule, FileFailure } from "../../protocol/mesh/job.ts";
import type { ScanCounters } from "../../protocol/mesh/progress.ts";
import type { ExcludedByRule } from "../../protocol/mesh/task.ts";
import { ENOENT, ENOTDIR, EPERM, errnoCode, errnoText, posixError } from "../platform/errno.ts";
import {
  cName,
  type DirectoryHandle,
  KIND_DIRECTORY,
  KIND_FILE,
  KIND_SOCKET,
  KIND_SYMLINK,
  newStat,
  type Posix,
} from "../platform/posix.ts";
import { CACHE_DIR_TAG_NAME, isCacheDirectoryTag } from "./cache_dir_tag.ts";
import {
  EntryTable,
  FLAG_ABOVE,
  FLAG_DIVIDED,
  FLAG_LISTING_FAILED,
  FLAG_OTHER_XATTRS,
  FLAG_XATTRS_UNKNOWN,
  NONE,
  utf8OfLatin1,
} from "./entry_table.ts";
import { createExcluder, type Excluder } from "./excludes.ts";
import { IGNORE_FILE_NAME } from "./ignore_file.ts";
import { beginsBelow, endsBelow, isBefore, isBehind, type Stretch, WHOLE } from "./stretch.ts";
import { hasNoXattrs, ONLY_OTHERS, readXattrs } from "./xattrs.ts";

export interface WalkOptions {
  excludes: ExcludeRule[];
  ignoreFiles: boolean;
  excludeCaches: boolean;
  oneFileSystem: boolean;
  /** Extended attributes are left alone: for a walk of which only names and kinds are wanted. */
  skipXattrs?: boolean;
}

export interface WalkResult {
  table: EntryTable;
  counters: ScanCounters;
  excluded: ExcludedByRule[];
  /** The first 10,000; `counters.unreadable` counts all. */
  unreadable: FileFailure[];
  /** Lines of ignore files that can never match anything, and what this system cannot read. */
  warnings: string[];
}

const UNREADABLE_NAMED_MAX = 10_000;
/** Directories kept open at once on the way down; deeper ones are reopened from below. */
const OPEN_LEVELS_MAX = 100;
const IGNORE_WARNINGS_MAX = 100;
const IGNORE_FILE_BYTES_MAX = 1 << 20;

interface Level {
  row: number;
  path: string;
  names: string[];
  next: number;
  handle: DirectoryHandle;
}

/**
 * Walks `rootPath` depth first. `name` is the source's top name, for messages. `onProgress` is called before every entry,
 * also those that are left out, and before every folder is opened, so it must be cheap; it may throw to stop the walk.
 * With a `stretch` only what lies in it is listed and counted, and the folders above it get rows that say so.
 * @throws {BackupError} when the root itself is missing, no directory, or cannot be listed
 */
export function walk(
  posix: Posix,
  rootPath: string,
  name: string,
  options: WalkOptions,
  onProgress: (counters: ScanCounters) => void,
  stretch: Stretch = WHOLE,
): WalkResult {
  const root = posix.openRoot(cName(rootPath));
  if (root < 0) throw rootError(root, rootPath);
  const walker = new Walker(posix, name, options, onProgress, stretch);
  try {
    return walker.run(root, rootPath);
  } finally {
    walker.close();
  }
}

/** Why a source cannot be listed, and what its owner can do. */
function rootError(result: number, path: string): BackupError {
  const error = posixError(result, "read", path);
  if (result === -ENOENT && path.includes("\uFFFD")) {
    return new BackupError(error.code, error.message, {
      path,
      hint: "A name that is not UTF-8 cannot be given as a word: name the folder that it lies in",
      retry: error.retry,
    });
  }
  if (result !== -ENOTDIR) return error;
  return new BackupError(error.code, `${path} is no folder`, {
    path,
    hint:
      "A source is a folder: name the one that it lies in, and leave out the rest with --exclude",
    retry: "no",
  });
}

class Walker {
  readonly #posix: Posix;
  readonly #name: string;
  readonly #options: WalkOptions;
  readonly #onProgress: (counters: ScanCounters) => void;
  readonly #excluder: Excluder;
  readonly #stretch: Stretch;
  readonly #table = EntryTable.create();
  readonly #stat = newStat();
  readonly #counters: ScanCounters = {
    files: 0,
    directories: 0,
    others: 0,
    bytes: 0,
    unreadable: 0,
    excluded: 0,
  };
  readonly #excluded = new Map<string, ExcludedByRule>();
  readonly #unreadable: FileFailure[] = [];
  /** First row of each file with several names, by device and inode. */
  readonly #firstNames = new Map<string, number>();
  readonly #stack: Level[] = [];
  readonly #warnings: string[] = [];
  #rootDevice = 0;
  /** The last file system found to have no extended attributes: not asked again for every entry. */
  #deviceWithoutXattrs = -1;

  constructor(
    posix: Posix,
    name: string,
    options: WalkOptions,
    onProgress: (counters: ScanCounters) => void,
    stretch: Stretch,
  ) {
    this.#posix = posix;
    this.#stretch = stretch;
    this.#name = name;
    this.#options = options;
    this.#onProgress = onProgress;
    this.#excluder = createExcluder({ rules: options.excludes, ignoreFiles: options.ignoreFiles });
  }

  run(root: DirectoryHandle, rootPath: string): WalkResult {
    const result = this.#posix.statDirectory(root, this.#stat);
    if (result < 0) {
      this.#posix.closeDirectory(root);
      throw rootError(result, rootPath);
    }
    this.#rootDevice = this.#stat.device;
    const row = this.#table.push(NONE, "", this.#stat);
    this.#readXattrs(row, root, CURRENT, "");
    this.#countDirectory(row, "");
    const names = this.#posix.list(root);
    if (typeof names === "number") {
      this.#posix.closeDirectory(root);
      throw posixError(names, "list", rootPath);
    }
    this.#enter(row, "", root, names);
    while (this.#stack.length > 0) this.#step();
    this.#onProgress(this.#counters);
    return {
      table: this.#table,
      counters: this.#counters,
      excluded: [...this.#excluded.values()],
      unreadable: this.#unreadable,
      warnings: this.#warnings,
    };
  }

  close(): void {
    for (const level of this.#stack) {
      if (level.handle >= 0) this.#posix.closeDirectory(level.handle);
    }
  }

  /** Lists a directory that is already open and puts it on the stack. */
  #enter(row: number, path: string, handle: DirectoryHandle, names: string[]): void {
    names.sort();
    // On the stack before anything can throw: from there it is closed.
    const level: Level = { row, path, names, next: 0, handle };
    this.#stack.push(level);
    let ignoreText: string | undefined;
    if (this.#options.ignoreFiles && names.includes(IGNORE_FILE_NAME)) {
      ignoreText = this.#readSmall(handle, IGNORE_FILE_NAME, IGNORE_FILE_BYTES_MAX, path);
    }
    const errors = this.#excluder.enterDirectory(
      utf8OfLatin1(path),
      ignoreText,
      ignoreText === undefined ? undefined : this.#display(join(path, IGNORE_FILE_NAME)),
    );
    for (const error of errors.slice(0, IGNORE_WARNINGS_MAX - this.#warnings.length)) {
      this.#warnings.push(error.message);
    }
    if (this.#options.excludeCaches && names.includes(CACHE_DIR_TAG_NAME)) {
      const tag = this.#readBytes(handle, CACHE_DIR_TAG_NAME, 64);
      if (tag !== undefined && isCacheDirectoryTag(tag)) {
        // The tag itself is kept, so that a restore shows why the directory is empty.
        const rule = this.#rule("--exclude-caches");
        for (const name of names) {
          if (name !== CACHE_DIR_TAG_NAME) this.#countExcluded(rule, handle, name);
        }
        level.names = [CACHE_DIR_TAG_NAME];
      }
    }
    const distant = this.#stack[this.#stack.length - 1 - OPEN_LEVELS_MAX];
    if (distant !== undefined && distant.handle >= 0) {
      this.#posix.closeDirectory(distant.handle);
      distant.handle = -1;
    }
  }

  #leave(): void {
    const level = this.#stack.pop()!;
    this.#excluder.leaveDirectory();
    const above = this.#stack.at(-1);
    if (above !== undefined && above.handle < 0) above.handle = this.#reopen(above, level);
    if (level.handle >= 0) this.#posix.closeDirectory(level.handle);
  }

  /** A level that had to be closed is found again from below, if it is still the same directory. */
  #reopen(above: Level, below: Level): DirectoryHandle {
    const handle = below.handle < 0 ? below.handle : this.#posix.openParent(below.handle);
    if (handle >= 0) {
      this.#posix.statDirectory(handle, this.#stat);
      const c = this.#table.columns;
      if (
        this.#stat.inodeLow === c.inodeLow[above.row] &&
        this.#stat.inodeHigh === c.inodeHigh[above.row]
      ) return handle;
      this.#posix.closeDirectory(handle);
    }
    if (above.next < above.names.length) {
      this.#table.columns.flags[above.row]! |= FLAG_LISTING_FAILED;
      this.#fail(
        above.path,
        "vanished",
        "The directory was moved while it was listed",
      );
      above.next = above.names.length;
    }
    return -1;
  }

  #step(): void {
    const level = this.#stack.at(-1)!;
    if (level.next >= level.names.length) return this.#leave();
    const name = level.names[level.next++]!;
    const where = this.#whereIs(level, name);
    if (where === "before") return;
    if (where === "behind") {
      // Whatever follows in this folder is behind the stretch too.
      level.next = level.names.length;
      return;
    }
    const bytes = latin1CName(name);
    this.#onProgress(this.#counters);
    const result = this.#posix.statAt(level.handle, bytes, this.#stat);
    const c = this.#counters;
    if (result < 0) {
      // Of what is no folder any more nothing is in the stretch; that another part finds.
      if (where === "above" && result === -ENOENT) return;
      return this.#failEntry(level, name, result);
    }
    const stat = this.#stat;
    const isDirectory = stat.kind === KIND_DIRECTORY;
    if (where === "above" && !isDirectory) return;
    if (!this.#excluder.isEmpty) {
      const path = utf8OfLatin1(join(level.path, name));
      const label = this.#excluder.test(path, isDirectory);
      if (label !== undefined) {
        const rule = this.#rule(label);
        c.excluded++;
        if (isDirectory) rule.directories++;
        else {
          rule.files++;
          rule.bytes += stat.sizeBytes;
        }
        return;
      }
    }
    if (isDirectory) return this.#directory(level, name, bytes);
    if (stat.kind === KIND_SYMLINK) {
      const target = this.#posix.readLink(level.handle, bytes);
      if (typeof target === "number") return this.#failEntry(level, name, target);
      const row = this.#table.push(level.row, name, stat, target);
      c.others++;
      if (!this.#isFurtherName(row, level, name, bytes)) {
        this.#readXattrs(row, level.handle, bytes, join(level.path, name));
      }
      return;
    }
    if (stat.kind === KIND_SOCKET) {
      const rule = this.#rule("sockets (they exist only while a program serves them)");
      rule.files++;
      c.excluded++;
      return;
    }
    const row = this.#table.push(level.row, name, stat);
    if (stat.kind === KIND_FILE) c.files++;
    else c.others++;
    // Further names of one file cost no bytes.
    if (this.#isFurtherName(row, level, name, bytes)) return;
    if (stat.kind === KIND_FILE) c.bytes += stat.sizeBytes;
    this.#readXattrs(row, level.handle, bytes, join(level.path, name));
  }

  /** "above": a folder that is not of the stretch and in which it begins. */
  #whereIs(level: Level, name: string): "before" | "above" | "in" | "behind" {
    const { from, to } = this.#stretch;
    if (from === undefined && to === undefined) return "in";
    const path = join(level.path, name);
    if (isBehind(this.#stretch, path)) return "behind";
    if (!isBefore(this.#stretch, path)) return "in";
    return beginsBelow(this.#stretch, path) ? "above" : "before";
  }

  #countDirectory(row: number, path: string): void {
    const { flags } = this.#table.columns;
    if (isBefore(this.#stretch, path)) flags[row]! |= FLAG_ABOVE;
    else this.#counters.directories++;
    if (beginsBelow(this.#stretch, path) || endsBelow(this.#stretch, path)) {
      flags[row]! |= FLAG_DIVIDED;
    }
  }

  #directory(level: Level, name: string, bytes: Uint8Array): void {
    const device = this.#stat.device;
    const row = this.#table.push(level.row, name, this.#stat);
    const path = join(level.path, name);
    this.#countDirectory(row, path);
    this.#readXattrs(row, level.handle, bytes, path);
    if (this.#options.oneFileSystem && device !== this.#rootDevice) {
      // The mount point itself is kept, empty, as other tools do.
      this.#rule("--one-file-system").directories++;
      this.#counters.excluded++;
      return;
    }
    this.#onProgress(this.#counters);
    const handle = this.#posix.openDirectory(level.handle, bytes);
    const names = handle < 0 ? handle : this.#posix.list(handle);
    if (typeof names === "number") {
      if (handle >= 0) this.#posix.closeDirectory(handle);
      this.#table.columns.flags[row]! |= FLAG_LISTING_FAILED;
      return this.#failErrno(path, names);
    }
    this.#enter(row, path, handle, names);
  }

  /** After the row's stat: what changes later than this has a later ctime, and is seen when the file is read. */
  #readXattrs(row: number, at: DirectoryHandle, name: Uint8Array, path: string): void {
    if (this.#options.skipXattrs === true) return;
    const { device } = this.#stat;
    if (device === this.#deviceWithoutXattrs) return;
    const found = readXattrs(this.#posix, at, name);
    if (typeof found !== "number") {
      this.#table.setXattrs(row, found);
      if (found === ONLY_OTHERS) this.#table.columns.flags[row]! |= FLAG_OTHER_XATTRS;
    } else if (hasNoXattrs(found)) {
      this.#deviceWithoutXattrs = device;
    } else if (found === -ENOENT && row === 0) {
      this.#warnings.push(NO_PROC);
      this.#deviceWithoutXattrs = device;
    } else if (found !== -EPERM) {
      this.#table.columns.flags[row]! |= FLAG_XATTRS_UNKNOWN;
      this.#fail(path, errnoCode(-found), `Its extended attributes: ${errnoText(-found)}`);
    }
  }

  /** Notes the first name of what has several, with its attributes, and answers whether it is another one. */
  #isFurtherName(row: number, level: Level, name: string, bytes: Uint8Array): boolean {
    const stat = this.#stat;
    if (stat.linkCount < 2) return false;
    const key = `${stat.device}:${stat.inodeHigh}:${stat.inodeLow}`;
    const first = this.#firstNames.get(key);
    if (first === undefined) {
      this.#firstNames.set(key, row);
      return false;
    }
    const c = this.#table.columns;
    c.linkTo[row] = first;
    // One file has one set of attributes; they are read again only when it changed since its first name was listed.
    if (c.ctimeSec[row] === c.ctimeSec[first] && c.ctimeNsec[row] === c.ctimeNsec[first]) {
      c.xattrs[row] = c.xattrs[first]!;
      c.flags[row]! |= c.flags[first]! & (FLAG_XATTRS_UNKNOWN | FLAG_OTHER_XATTRS);
    } else this.#readXattrs(row, level.handle, bytes, join(level.path, name));
    return true;
  }

  #rule(rule: string): ExcludedByRule {
    let entry = this.#excluded.get(rule);
    if (entry === undefined) {
      entry = { rule, files: 0, directories: 0, bytes: 0 };
      this.#excluded.set(rule, entry);
    }
    return entry;
  }

  #countExcluded(rule: ExcludedByRule, handle: DirectoryHandle, name: string): void {
    this.#counters.excluded++;
    this.#onProgress(this.#counters);
    const result = this.#posix.statAt(handle, latin1CName(name), this.#stat);
    if (result === 0 && this.#stat.kind === KIND_DIRECTORY) rule.directories++;
    else {
      rule.files++;
      if (result === 0) rule.bytes += this.#stat.sizeBytes;
    }
  }

  #readBytes(handle: DirectoryHandle, name: string, maxBytes: number): Uint8Array | undefined {
    const fd = this.#posix.openRead(handle, cName(name));
    if (fd < 0) return undefined;
    try {
      if (this.#posix.stat(fd, this.#stat) < 0 || this.#stat.kind !== KIND_FILE) return undefined;
      const bytes = new Uint8Array(maxBytes);
      const got = this.#posix.read(fd, bytes);
      return got < 0 ? undefined : bytes.subarray(0, got);
    } finally {
      this.#posix.close(fd);
    }
  }

  /** An ignore file that cannot be read must not silently stop excluding. */
  #readSmall(
    handle: DirectoryHandle,
    name: string,
    maxBytes: number,
    path: string,
  ): string | undefined {
    const bytes = this.#readBytes(handle, name, maxBytes);
    if (bytes === undefined) {
      this.#fail(join(path, name), "permission", "The ignore file cannot be read; not applied");
      return undefined;
    }
    return new TextDecoder().decode(bytes);
  }

  /** The entry gets no row. Unless it vanished it may well be there, so nothing in its directory may be called gone. */
  #failEntry(level: Level, name: string, result: number): void {
    if (result !== -ENOENT) this.#table.columns.flags[level.row]! |= FLAG_LISTING_FAILED;
    this.#failErrno(join(level.path, name), result);
  }

  #failErrno(path: string, result: number): void {
    this.#fail(path, errnoCode(-result), errnoText(-result));
  }

  #fail(path: string, code: string, message: string): void {
    this.#counters.unreadable++;
    if (this.#unreadable.length < UNREADABLE_NAMED_MAX) {
      this.#unreadable.push({ path: this.#display(path), code, message, attempts: 1 });
    }
  }

  #display(path: string): string {
    return path === "" ? this.#name : `${this.#name}/${utf8OfLatin1(path)}`;
  }
}

const CURRENT = cName(".");
const NO_PROC =
  "Extended attributes and ACLs are not kept: they are read through /proc, which is not there";

function join(path: string, name: string): string {
  return path === "" ? name : `${path}/${name}`;
}

function latin1CName(name: string): Uint8Array {
  const bytes = new Uint8Array(name.length + 1);
  for (let i = 0; i < name.length; i++) bytes[i] = name.charCodeAt(i);
  return bytes;
}

/** Thrown by `onProgress` to stop a walk. */
export function walkCancelled(): BackupError {
  return new BackupError("cancelled", "The listing was cancelled");
}
