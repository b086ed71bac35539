/**
 * Gives what a walk found in a source to a `SnapshotBuilder`. Rule: nothing is listed or looked at twice: an entry is stored as the
 * walk saw it, or as it was when it was read; what cannot be read is told by name and left out; nothing is followed, and
 * nothing but regular files is opened.
 */
import { asBackupError, BackupError } from "../../../protocol/base/errors.ts";
import { EACCES, posixError } from "../../platform/errno.ts";
import {
  cName,
  cNameOfLatin1,
  type DirectoryHandle,
  KIND_DIRECTORY,
  KIND_FILE,
  KIND_SYMLINK,
  newStat,
  type Posix,
  type Stat,
} from "../../platform/posix.ts";
import {
  byteStringOf,
  type FileContent,
  localZone,
  type NodeXattr,
  type PromisedFile,
  type ReadContent,
  showBytes,
  type SnapshotBuilder,
  type TreeNode,
  utf8ByteString,
  type Zone,
} from "../../repository/mod.ts";
import {
  type EntryTable,
  FLAG_LISTING_FAILED,
  FLAG_OTHER_XATTRS,
  FLAG_XATTRS_UNKNOWN,
} from "../../source/entry_table.ts";
import { PathChain } from "../mirror/restore/path_chain.ts";
import type { AccountNames } from "./account_names.ts";
import type { Encoders, FileToRead } from "./encoders.ts";
import { NodeMaker } from "./node_of_stat.ts";

export interface ArchiveOptions {
  posix: Posix;
  accounts: AccountNames;
  zone?: Zone;
  /** The source takes the place of `/`: its entries are those of the snapshot's root, as with restic's `backup .`. */
  isRoot?: boolean;
  /** Read and encode files on other threads; without them it is done here, one after the other. */
  encoders?: { encoders: Encoders; /** The source, as they see it. */ folder: string };
  /** Files that changed while they were read are read again; absent: not even once. */
  again?: ReadingAgain;
  /** What could not be read, or changed while it was, how often it was tried. The rest goes on. */
  onProblem(path: string, error: BackupError, attempts: number): void;
  /** Before every entry, so it must be cheap; what it throws ends the archive. */
  onEntry?(): void;
}

export interface ReadingAgain {
  /** How often a file is read at most. */
  attempts: number;
  /** After attempt number `attempt`, counted from 1. */
  pause(attempt: number): Promise<void>;
}

/** `path` is absolute; `table` is what a walk found there. @throws {BackupError} what the repository says, or why the source cannot be opened */
export async function archiveSource(
  builder: SnapshotBuilder,
  path: string,
  table: EntryTable,
  options: ArchiveOptions,
): Promise<void> {
  const root = options.posix.openRoot(cName(path));
  if (root < 0) throw posixError(root, "open", path);
  const archive = new Archive(builder, table, options, { path, root });
  try {
    await archive.run();
  } finally {
    archive.close();
    options.posix.closeDirectory(root);
  }
}

/** A file that changed while it was read, as it was read last. */
interface Unsettled {
  row: number;
  /** Undefined: as the walk saw it. */
  node: TreeNode | undefined;
  promised: PromisedFile;
  read: ReadContent;
}

/** A folder that the walk is in. */
interface Level {
  row: number;
  /** Below the source, one byte a character. */
  path: string;
}

class Archive {
  readonly #builder: SnapshotBuilder;
  readonly #table: EntryTable;
  readonly #options: ArchiveOptions;
  readonly #posix: Posix;
  readonly #path: string;
  readonly #root: DirectoryHandle;
  readonly #folders: PathChain;
  readonly #nodes: NodeMaker;
  readonly #attempts: number;
  readonly #stat: Stat = newStat();
  #unsettled: Unsettled[] = [];

  constructor(
    builder: SnapshotBuilder,
    table: EntryTable,
    options: ArchiveOptions,
    { path, root }: { path: string; root: DirectoryHandle },
  ) {
    this.#builder = builder;
    this.#table = table;
    this.#options = options;
    this.#posix = options.posix;
    this.#path = path;
    this.#root = root;
    this.#folders = new PathChain(options.posix, root);
    this.#nodes = new NodeMaker(options.accounts, options.zone ?? localZone);
    this.#attempts = options.again?.attempts ?? 1;
  }

  close(): void {
    this.#folders.close();
  }

  async run(): Promise<void> {
    await this.#builder.begin();
    const parts = this.#options.isRoot ? [] : this.#path.split("/").filter((part) => part !== "");
    for (const [i, part] of parts.entries()) {
      const isSource = i === parts.length - 1;
      const above = `/${parts.slice(0, i + 1).join("/")}`;
      const name = utf8ByteString(part);
      const levels = parts.length - 1 - i;
      await this.#builder.enter(
        isSource ? this.#nodeOfRow(0, name) : this.#nodeAbove(above, name, levels),
      );
    }
    await this.#rows();
    for (const _ of parts) await this.#builder.leave();
    if (this.#options.encoders !== undefined) await this.#settle();
  }

  async #rows(): Promise<void> {
    const { count, columns: { kind, parent } } = this.#table;
    const levels: Level[] = [{ row: 0, path: "" }];
    for (let row = 1; row < count; row++) {
      this.#options.onEntry?.();
      for (; levels.at(-1)!.row !== parent[row]; levels.pop()) await this.#builder.leave();
      const name = this.#table.nameLatin1(row);
      const { path } = levels.at(-1)!;
      if (kind[row] === KIND_DIRECTORY) {
        const within = join(path, name);
        if (this.#isUnlisted(row, within)) row = this.#lastWithin(row);
        else {
          await this.#builder.enter(this.#nodeOfRow(row, name));
          levels.push({ row, path: within });
        }
      } else if (kind[row] === KIND_FILE) await this.#file(row, path, name);
      else this.#builder.other(this.#nodeOfRow(row, name));
    }
    for (; levels.length > 1; levels.pop()) await this.#builder.leave();
  }

  /** The walk could not list the folder, and nobody can open it: it is told and left out. */
  #isUnlisted(row: number, path: string): boolean {
    if ((this.#table.columns.flags[row]! & FLAG_LISTING_FAILED) === 0) return false;
    const folder = this.#folders.folder(path);
    if (folder < 0) this.#problem(path, posixError(folder, "open", this.#show(path)));
    return folder < 0;
  }

  /** The last row of what the walk found in a folder. */
  #lastWithin(folder: number): number {
    const { count, columns: { parent } } = this.#table;
    let last = folder;
    while (last + 1 < count && parent[last + 1]! >= folder) last++;
    return last;
  }

  /** Undefined when there is nothing to wait for. */
  #file(row: number, path: string, name: string): Promise<void> | undefined {
    const node = this.#nodeOfRow(row, name);
    // What is told to whoever reads is of the same moment as the node, though others may note what they have read.
    const file = this.#toRead(path, name);
    const promised = this.#builder.addFile(node);
    if (promised === undefined) return undefined;
    if (this.#options.encoders === undefined) return this.#readHere(path, file, promised);
    return this.#readElsewhere(row, file, promised);
  }

  async #readHere(path: string, file: FileToRead, promised: PromisedFile): Promise<void> {
    const { name } = file;
    const whole = join(path, name);
    const raw = cNameOfLatin1(name);
    let node: TreeNode | undefined;
    let read: ReadContent | undefined;
    for (let attempt = 1;; attempt++) {
      let failure: BackupError | undefined;
      let isChanged = false;
      try {
        read = await this.#builder.read(() =>
          this.#open(this.#folders.folder(path), raw, whole, file, {
            fail: (error) => (failure = error),
            changed: () => (isChanged = true),
          })
        );
      } catch (error) {
        // What reading threw is the source's; everything else is the repository's.
        if (failure === undefined || error !== failure) throw error;
        if (read === undefined) {
          promised.leaveOut();
          return this.#problem(whole, failure);
        }
      }
      const isSettled = failure === undefined && !isChanged;
      if (isSettled || failure !== undefined || attempt >= this.#attempts) {
        if (!isSettled) this.#changed(whole, attempt);
        break;
      }
      await this.#options.again!.pause(attempt);
      const now = this.#lookAgain(path, name);
      if (now === undefined) continue;
      node = now;
      file = this.#toRead(path, name);
    }
    promised.addContent(read.content, read.bytes, node);
  }

  #readElsewhere(row: number, file: FileToRead, promised: PromisedFile): Promise<void> {
    return this.#options.encoders!.encoders.file(file, (outcome) => {
      if ("failed" in outcome) {
        promised.leaveOut();
        const { action, result } = outcome.failed;
        const path = this.#table.pathLatin1(row);
        return this.#problem(path, posixError(result, action, this.#show(path)));
      }
      const { content, bytes, isChanged } = outcome;
      if (!isChanged) promised.addContent(content, bytes);
      else {
        const read = { content, bytes };
        this.#unsettled.push({ row, node: undefined, promised, read });
      }
    });
  }

  /**
   * Ends what encoders have in hand, and reads what had changed again: now that all else is read it had time to become what it
   * is to be. What changes at every attempt is stored as it was read last, and told.
   */
  async #settle(): Promise<void> {
    const { encoders } = this.#options.encoders!;
    await encoders.settle();
    let attempt = 1;
    for (; attempt < this.#attempts && this.#unsettled.length > 0; attempt++) {
      await this.#options.again!.pause(attempt);
      for (const one of this.#unsettled.splice(0)) {
        this.#options.onEntry?.();
        await this.#readAgain(encoders, one, attempt + 1);
      }
      await encoders.settle();
    }
    for (const one of this.#unsettled.splice(0)) this.#giveUp(one, attempt);
  }

  async #readAgain(encoders: Encoders, one: Unsettled, attempt: number): Promise<void> {
    const { row, promised } = one;
    const path = this.#table.pathLatin1(this.#table.columns.parent[row]!);
    const name = this.#table.nameLatin1(row);
    const node = this.#lookAgain(path, name);
    if (node === undefined) return this.#giveUp(one, attempt - 1);
    await encoders.file(this.#toRead(path, name), (outcome) => {
      if ("failed" in outcome) return this.#giveUp(one, attempt);
      const { content, bytes, isChanged } = outcome;
      if (!isChanged) promised.addContent(content, bytes, node);
      else this.#unsettled.push({ row, node, promised, read: { content, bytes } });
    });
  }

  #giveUp({ row, node, promised, read }: Unsettled, attempts: number): void {
    promised.addContent(read.content, read.bytes, node);
    this.#changed(this.#table.pathLatin1(row), attempts);
  }

  /** A file as it is now; undefined when there is none any more. */
  #lookAgain(path: string, name: string): TreeNode | undefined {
    const folder = this.#folders.folder(path);
    const raw = cNameOfLatin1(name);
    const looked = folder < 0 ? folder : this.#posix.statAt(folder, raw, this.#stat);
    if (looked < 0 || this.#stat.kind !== KIND_FILE) return undefined;
    const node = this.#nodes.make(name, this.#stat);
    return this.#withXattrs(node, folder, raw, join(path, name));
  }

  /** Of what was looked at last. */
  #toRead(path: string, name: string): FileToRead {
    const { sizeBytes, mtimeSec, mtimeNsec, inodeLow, inodeHigh } = this.#stat;
    const folder = join(this.#options.encoders?.folder ?? "", path);
    return { folder, name, sizeBytes, mtimeSec, mtimeNsec, inodeLow, inodeHigh };
  }

  /** An entry as the walk saw it. */
  #nodeOfRow(row: number, name: string): TreeNode {
    const table = this.#table;
    table.getStat(row, this.#stat);
    const node = this.#nodes.make(name, this.#stat);
    if (this.#stat.kind === KIND_SYMLINK) {
      node.linkTarget = byteStringOf(table.cLinkTarget(row).subarray(0, -1));
    }
    // Of attributes a walk keeps fewer, and in another order, than restic does.
    const hasSome = FLAG_OTHER_XATTRS | FLAG_XATTRS_UNKNOWN;
    if (!table.hasXattrs(row) && (table.columns.flags[row]! & hasSome) === 0) return node;
    const path = table.pathLatin1(row);
    const folder = this.#folders.folder(row === 0 ? "" : folderOf(path));
    if (folder < 0) {
      this.#problem(path, posixError(folder, "open", this.#show(path)));
      return node;
    }
    return this.#withXattrs(node, folder, row === 0 ? CURRENT : cNameOfLatin1(name), path);
  }

  /** A folder that the source lies in, or what leads to one, so many levels up: only its metadata is stored. */
  #nodeAbove(path: string, name: string, levels: number): TreeNode {
    const folder = this.#posix.openRoot(cName(path));
    // Who may only pass through it sees it from below.
    if (folder === -EACCES) {
      const up = cName(Array(levels).fill("..").join("/"));
      return this.#nodeAt(this.#root, up, path, name);
    }
    if (folder < 0) throw posixError(folder, "open", path);
    try {
      return this.#nodeAt(folder, CURRENT, path, name);
    } finally {
      this.#posix.closeDirectory(folder);
    }
  }

  #nodeAt(at: DirectoryHandle, raw: Uint8Array, path: string, name: string): TreeNode {
    const result = this.#posix.statAt(at, raw, this.#stat);
    if (result < 0) throw posixError(result, "look at", path);
    const node = this.#nodes.make(name, this.#stat);
    return this.#withXattrs(node, at, raw, utf8ByteString(path));
  }

  #open(
    at: DirectoryHandle,
    name: Uint8Array,
    path: string,
    file: FileToRead,
    { fail, changed }: { fail(error: BackupError): BackupError; changed(): void },
  ): FileContent {
    const posix = this.#posix;
    const fd = at < 0 ? at : posix.openRead(at, name);
    if (fd < 0) throw fail(posixError(fd, "open", this.#show(path)));
    const stat = newStat();
    posix.stat(fd, stat);
    let { sizeBytes: end } = stat;
    let done = 0;
    return {
      read: (into) => {
        // A file that grows as fast as it is read would have no end. The kernel's own always say that they are empty.
        if (end === 0 && posix.stat(fd, this.#stat) >= 0) end = this.#stat.sizeBytes;
        const room = end === 0 ? into : into.subarray(0, Math.max(0, end - done));
        const got = posix.read(fd, room);
        if (got < 0) throw fail(posixError(got, "read", this.#show(path)));
        done += got;
        return got;
      },
      close: () => {
        const result = posix.stat(fd, stat);
        posix.close(fd);
        // What is now as it was looked at was so all the time between.
        if (result < 0 || !isAsFound(stat, file)) changed();
      },
    };
  }

  #changed(path: string, attempts: number): void {
    const often = attempts > 1 ? `, ${attempts} times` : "";
    const shown = this.#show(path);
    const message = `${shown} changed while it was read${often}`;
    const error = new BackupError("changed_while_read", message, { path: shown });
    this.#problem(path, error, attempts);
  }

  #withXattrs(node: TreeNode, at: DirectoryHandle, name: Uint8Array, path: string): TreeNode {
    const names = this.#posix.listXattrs(at, name);
    // A file system without them, mostly.
    if (typeof names === "number" || names.length === 0) return node;
    const found: NodeXattr[] = [];
    for (const attribute of names) {
      const value = this.#posix.getXattr(at, name, attribute);
      if (typeof value !== "number") found.push({ name: attribute, value });
      else this.#problem(path, posixError(value, `read ${attribute} of`, this.#show(path)));
    }
    if (found.length > 0) node.xattrs = found;
    return node;
  }

  #problem(path: string, error: unknown, attempts = 1): void {
    this.#options.onProblem(this.#show(path), asBackupError(error), attempts);
  }

  /** For people; `path` is below the source, or absolute. */
  #show(path: string): string {
    if (path.startsWith("/")) return showBytes(path);
    const source = this.#options.isRoot === true || this.#path === "/" ? "" : this.#path;
    return path === "" && source !== "" ? source : `${source}/${showBytes(path)}`;
  }
}

const CURRENT = cName(".");

function isAsFound(stat: Stat, file: FileToRead): boolean {
  return stat.sizeBytes === file.sizeBytes &&
    stat.mtimeSec === file.mtimeSec && stat.mtimeNsec === file.mtimeNsec &&
    stat.inodeLow === file.inodeLow && stat.inodeHigh === file.inodeHigh;
}

function join(folder: string, name: string): string {
  return folder === "" ? name : name === "" ? folder : `${folder}/${name}`;
}

function folderOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}
