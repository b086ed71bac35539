/**
 * Walks absolute paths and gives what is there to a `SnapshotBuilder`. Rule: what cannot be read is told by name and left out;
 * nothing is followed, and nothing but regular files is opened.
 */
import { asBackupError, BackupError } from "../../../protocol/base/errors.ts";
import { ENOENT, posixError } from "../../platform/errno.ts";
import {
  cName,
  cNameOfLatin1,
  type DirectoryHandle,
  KIND_DIRECTORY,
  KIND_FILE,
  KIND_SOCKET,
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
  type Zone,
} from "../../repository/mod.ts";
import type { AccountNames } from "./account_names.ts";
import type { Encoders, FileToRead } from "./encoders.ts";
import { PathChain } from "../mirror/restore/path_chain.ts";
import { nodeOfStat } from "./node_of_stat.ts";
import { makeTargetTree, type TargetNode } from "./target_tree.ts";

export interface ArchiveOptions {
  posix: Posix;
  accounts: AccountNames;
  /** The folder that takes the place of `/`: its entries are those of the snapshot's root, as with restic's `backup .`. */
  base?: string;
  zone?: Zone;
  /** `path` is absolute, one byte a character. Not asked for the sources themselves. */
  isExcluded?(path: string, isDirectory: boolean): boolean;
  /** Read and encode files on other threads; without them it is done here, one after the other. Their base must be this one. */
  encoders?: Encoders;
  /** Files that changed while they were read are read again; absent: not even once. */
  again?: ReadingAgain;
  /** What could not be read, or changed while it was, how often it was tried. The rest goes on. */
  onProblem(path: string, error: BackupError, attempts: number): void;
  signal?: AbortSignal;
}

export interface ReadingAgain {
  /** How often a file is read at most. */
  attempts: number;
  /** After attempt number `attempt`, counted from 1. */
  pause(attempt: number): Promise<void>;
}

/** @throws {BackupError} what the repository says; what the source says goes to `onProblem` */
export async function archivePaths(
  builder: SnapshotBuilder,
  paths: readonly string[],
  options: ArchiveOptions,
): Promise<void> {
  const { posix, base = "/" } = options;
  const root = posix.openRoot(cName(base));
  if (root < 0) throw posixError(root, "open", base);
  try {
    await builder.begin();
    const archive = new Archive(builder, options);
    await archive.entries(root, "", makeTargetTree(paths));
    if (options.encoders !== undefined) await archive.settle(options.encoders, root);
  } finally {
    posix.closeDirectory(root);
  }
}

/** A file that changed while it was read, as it was read last. */
interface Unsettled {
  path: string;
  node: TreeNode;
  promised: PromisedFile;
  read: ReadContent;
}

const EVERYTHING: TargetNode = { isSource: true, children: new Map() };

class Archive {
  readonly #builder: SnapshotBuilder;
  readonly #options: ArchiveOptions;
  readonly #posix: Posix;
  readonly #zone: Zone;
  readonly #attempts: number;
  readonly #stat: Stat = newStat();
  #unsettled: Unsettled[] = [];

  constructor(builder: SnapshotBuilder, options: ArchiveOptions) {
    this.#builder = builder;
    this.#options = options;
    this.#posix = options.posix;
    this.#zone = options.zone ?? localZone;
    this.#attempts = options.again?.attempts ?? 1;
  }

  /** All that is wanted of an open folder. */
  async entries(folder: DirectoryHandle, path: string, wanted: TargetNode): Promise<void> {
    const names = wanted.isSource ? this.#posix.list(folder) : [...wanted.children.keys()];
    if (typeof names === "number") {
      return this.#problem(path, posixError(names, "list", show(path)));
    }
    for (const name of names.sort()) {
      this.#options.signal?.throwIfAborted();
      await this.#entry(folder, name, `${path}/${name}`, wanted);
    }
  }

  async #entry(
    folder: DirectoryHandle,
    name: string,
    path: string,
    within: TargetNode,
  ): Promise<void> {
    const named = within.children.get(name);
    const wanted = within.isSource ? EVERYTHING : named!;
    const raw = cNameOfLatin1(name);
    const result = this.#posix.statAt(folder, raw, this.#stat);
    // What went away between listing and looking was not there; a source that is missing is told.
    if (result === -ENOENT && named === undefined) return;
    if (result < 0) return this.#problem(path, posixError(result, "look at", show(path)));
    if (!within.isSource && this.#stat.kind === KIND_SYMLINK) {
      if (await this.#named(name, path, wanted)) return;
      this.#posix.statAt(folder, raw, this.#stat);
    }
    const isDirectory = this.#stat.kind === KIND_DIRECTORY;
    if (named === undefined && this.#options.isExcluded?.(path, isDirectory) === true) return;
    if (this.#stat.kind === KIND_SOCKET) return;
    const { kind } = this.#stat;
    const node = this.#node(folder, name, path);
    if (kind === KIND_DIRECTORY) return await this.#folder(folder, raw, path, node, wanted);
    if (kind === KIND_FILE && this.#options.encoders !== undefined) {
      return await this.#fileElsewhere(this.#options.encoders, path, node, this.#toRead(path));
    }
    if (kind === KIND_FILE) return await this.#file(folder, raw, path, node);
    if (kind === KIND_SYMLINK) {
      const target = this.#posix.readLink(folder, raw);
      if (typeof target === "number") {
        return this.#problem(path, posixError(target, "read the link", show(path)));
      }
      node.linkTarget = byteStringOf(target);
    }
    this.#builder.other(node);
  }

  async #folder(
    at: DirectoryHandle,
    name: Uint8Array,
    path: string,
    node: TreeNode,
    wanted: TargetNode,
  ): Promise<void> {
    const folder = this.#posix.openDirectory(at, name);
    if (folder < 0) return this.#problem(path, posixError(folder, "open", show(path)));
    try {
      await this.#builder.enter(node);
      await this.entries(folder, path, wanted);
      await this.#builder.leave();
    } finally {
      this.#posix.closeDirectory(folder);
    }
  }

  /**
   * A link in a path that a person named leads to the folder that they mean: as with mirrors, that folder is backed up under
   * this name. Only the link would hold nothing of it. False when it leads to no folder.
   */
  async #named(name: string, path: string, wanted: TargetNode): Promise<boolean> {
    const { base = "/" } = this.#options;
    const folder = this.#posix.openRoot(
      cNameOfLatin1(byteStringOf(cName(base)).replace(/\/?\0$/, "") + path),
    );
    if (folder < 0) return false;
    try {
      this.#posix.statDirectory(folder, this.#stat);
      const node = nodeOfStat(name, this.#stat, this.#options.accounts, this.#zone);
      const xattrs = this.#xattrs(folder, cName("."), path);
      if (xattrs.length > 0) node.xattrs = xattrs;
      await this.#builder.enter(node);
      await this.entries(folder, path, wanted);
      await this.#builder.leave();
      return true;
    } finally {
      this.#posix.closeDirectory(folder);
    }
  }

  async #file(
    at: DirectoryHandle,
    name: Uint8Array,
    path: string,
    node: TreeNode,
  ): Promise<void> {
    const promised = this.#builder.addFile(node);
    if (promised === undefined) return;
    let now = node;
    let read: ReadContent | undefined;
    for (let attempt = 1;; attempt++) {
      let failure: BackupError | undefined;
      let isChanged = false;
      try {
        read = await this.#builder.read(() =>
          this.#open(at, name, path, {
            fail: (error) => (failure = error),
            changed: () => (isChanged = true),
          })
        );
      } catch (error) {
        // What reading threw is the source's; everything else is the repository's.
        if (failure === undefined || error !== failure) throw error;
        if (read === undefined) {
          promised.leaveOut();
          return this.#problem(path, failure);
        }
      }
      const isSettled = failure === undefined && !isChanged;
      if (isSettled || failure !== undefined || attempt >= this.#attempts) {
        if (!isSettled) this.#changed(path, attempt);
        break;
      }
      await this.#options.again!.pause(attempt);
      const looked = this.#posix.statAt(at, name, this.#stat);
      if (looked >= 0 && this.#stat.kind === KIND_FILE) now = this.#node(at, node.name, path);
    }
    promised.addContent(read.content, read.bytes, now);
  }

  async #fileElsewhere(
    encoders: Encoders,
    path: string,
    node: TreeNode,
    file: FileToRead,
  ): Promise<void> {
    const promised = this.#builder.addFile(node);
    if (promised === undefined) return;
    await encoders.file(file, (outcome) => {
      if ("failed" in outcome) {
        promised.leaveOut();
        const { action, result } = outcome.failed;
        return this.#problem(path, posixError(result, action, show(path)));
      }
      const { content, bytes, isChanged } = outcome;
      if (isChanged) this.#unsettled.push({ path, node, promised, read: { content, bytes } });
      else promised.addContent(content, bytes);
    });
  }

  /**
   * Ends what encoders have in hand, and reads what had changed again: now that all else is read it had time to become what it
   * is to be. What changes at every attempt is stored as it was read last, and told.
   */
  async settle(encoders: Encoders, root: DirectoryHandle): Promise<void> {
    await encoders.settle();
    let attempt = 1;
    for (; attempt < this.#attempts && this.#unsettled.length > 0; attempt++) {
      await this.#options.again!.pause(attempt);
      const folders = new PathChain(this.#posix, root);
      try {
        for (const one of this.#unsettled.splice(0)) {
          this.#options.signal?.throwIfAborted();
          await this.#readAgain(encoders, folders, one, attempt + 1);
        }
      } finally {
        folders.close();
      }
      await encoders.settle();
    }
    for (const one of this.#unsettled.splice(0)) this.#giveUp(one, attempt);
  }

  async #readAgain(
    encoders: Encoders,
    folders: PathChain,
    one: Unsettled,
    attempt: number,
  ): Promise<void> {
    const { path, promised } = one;
    const { folder, name } = placeOf(path);
    const at = folders.folder(folder);
    const looked = at < 0 ? at : this.#posix.statAt(at, cNameOfLatin1(name), this.#stat);
    if (looked < 0 || this.#stat.kind !== KIND_FILE) return this.#giveUp(one, attempt - 1);
    const file = this.#toRead(path);
    const node = this.#node(at, name, path);
    await encoders.file(file, (outcome) => {
      if ("failed" in outcome) return this.#giveUp(one, attempt);
      const { content, bytes, isChanged } = outcome;
      if (isChanged) this.#unsettled.push({ path, node, promised, read: { content, bytes } });
      else promised.addContent(content, bytes, node);
    });
  }

  #giveUp({ path, node, promised, read }: Unsettled, attempts: number): void {
    promised.addContent(read.content, read.bytes, node);
    this.#changed(path, attempts);
  }

  /** Of what was looked at last. */
  #toRead(path: string): FileToRead {
    const { sizeBytes, mtimeSec, mtimeNsec, inodeLow, inodeHigh } = this.#stat;
    return { ...placeOf(path), sizeBytes, mtimeSec, mtimeNsec, inodeLow, inodeHigh };
  }

  /** Of what was looked at last. */
  #node(folder: DirectoryHandle, name: string, path: string): TreeNode {
    const node = nodeOfStat(name, this.#stat, this.#options.accounts, this.#zone);
    const xattrs = this.#xattrs(folder, cNameOfLatin1(name), path);
    if (xattrs.length > 0) node.xattrs = xattrs;
    return node;
  }

  #open(
    at: DirectoryHandle,
    name: Uint8Array,
    path: string,
    { fail, changed }: { fail(error: BackupError): BackupError; changed(): void },
  ): FileContent {
    const posix = this.#posix;
    const fd = posix.openRead(at, name);
    if (fd < 0) throw fail(posixError(fd, "open", show(path)));
    const before = newStat();
    posix.stat(fd, before);
    let { sizeBytes: end } = before;
    let done = 0;
    return {
      read: (into) => {
        // A file that grows as fast as it is read would have no end. The kernel's own always say that they are empty.
        if (end === 0 && posix.stat(fd, this.#stat) >= 0) end = this.#stat.sizeBytes;
        const room = end === 0 ? into : into.subarray(0, Math.max(0, end - done));
        const got = posix.read(fd, room);
        if (got < 0) throw fail(posixError(got, "read", show(path)));
        done += got;
        return got;
      },
      close: () => {
        const after = newStat();
        const result = posix.stat(fd, after);
        posix.close(fd);
        if (result >= 0 && isSameContent(before, after)) return;
        changed();
      },
    };
  }

  #changed(path: string, attempts: number): void {
    const often = attempts > 1 ? `, ${attempts} times` : "";
    const message = `${show(path)} changed while it was read${often}`;
    const error = new BackupError("changed_while_read", message, { path: show(path) });
    this.#problem(path, error, attempts);
  }

  #xattrs(at: DirectoryHandle, name: Uint8Array, path: string): NodeXattr[] {
    const names = this.#posix.listXattrs(at, name);
    // A file system without them, mostly.
    if (typeof names === "number") return [];
    const found: NodeXattr[] = [];
    for (const attribute of names) {
      const value = this.#posix.getXattr(at, name, attribute);
      if (typeof value !== "number") found.push({ name: attribute, value });
      else {
        this.#problem(path, posixError(value, `read ${attribute} of`, show(path)));
      }
    }
    return found;
  }

  #problem(path: string, error: unknown, attempts = 1): void {
    this.#options.onProblem(show(path), asBackupError(error), attempts);
  }
}

function isSameContent(a: Stat, b: Stat): boolean {
  return a.sizeBytes === b.sizeBytes && a.mtimeSec === b.mtimeSec &&
    a.mtimeNsec === b.mtimeNsec;
}

/** As encoders name it: without the first slash, and the last one with what follows. */
function placeOf(path: string): { folder: string; name: string } {
  const last = path.lastIndexOf("/");
  return { folder: path.slice(1, Math.max(1, last)), name: path.slice(last + 1) };
}

function show(path: string): string {
  return path === "" ? "/" : showBytes(path);
}
