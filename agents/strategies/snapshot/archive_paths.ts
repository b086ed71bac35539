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
  showBytes,
  type SnapshotBuilder,
  type TreeNode,
  type Zone,
} from "../../repository/mod.ts";
import type { AccountNames } from "./account_names.ts";
import type { Encoders, FileToRead } from "./encoders.ts";
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
  /** What could not be read, or changed while it was. The rest goes on. */
  onProblem(path: string, error: BackupError): void;
  signal?: AbortSignal;
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
    await new Archive(builder, options).entries(root, "", makeTargetTree(paths));
    await options.encoders?.settle();
  } finally {
    posix.closeDirectory(root);
  }
}

const EVERYTHING: TargetNode = { isSource: true, children: new Map() };

class Archive {
  readonly #builder: SnapshotBuilder;
  readonly #options: ArchiveOptions;
  readonly #posix: Posix;
  readonly #zone: Zone;
  readonly #stat: Stat = newStat();

  constructor(builder: SnapshotBuilder, options: ArchiveOptions) {
    this.#builder = builder;
    this.#options = options;
    this.#posix = options.posix;
    this.#zone = options.zone ?? localZone;
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
    const node = nodeOfStat(name, this.#stat, this.#options.accounts, this.#zone);
    const { kind, sizeBytes, mtimeSec, mtimeNsec, inodeLow, inodeHigh } = this.#stat;
    const xattrs = this.#xattrs(folder, raw, path);
    if (xattrs.length > 0) node.xattrs = xattrs;
    if (kind === KIND_DIRECTORY) return await this.#folder(folder, raw, path, node, wanted);
    if (kind === KIND_FILE && this.#options.encoders !== undefined) {
      // Without the first slash, and the last one with what follows.
      const within = path.slice(1, Math.max(1, path.length - name.length - 1));
      const file = { folder: within, name, sizeBytes, mtimeSec, mtimeNsec, inodeLow, inodeHigh };
      return await this.#fileElsewhere(this.#options.encoders, path, node, file);
    }
    if (kind === KIND_FILE) return await this.#file(folder, raw, path, node, sizeBytes);
    if (kind === KIND_SYMLINK) {
      const target = this.#posix.readLink(folder, raw);
      if (typeof target === "number") {
        return this.#problem(path, posixError(target, "read the link", show(path)));
      }
      node.linkTarget = byteStringOf(target);
    }
    await this.#builder.other(node);
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
    sizeBytes: number,
  ): Promise<void> {
    let failure: BackupError | undefined;
    const fail = (error: BackupError): BackupError => (failure = error);
    try {
      await this.#builder.file(node, sizeBytes, () => this.#open(at, name, path, fail));
    } catch (error) {
      // What reading threw is the source's; everything else is the repository's.
      if (failure === undefined || error !== failure) throw error;
      this.#problem(path, failure);
    }
  }

  async #fileElsewhere(
    encoders: Encoders,
    path: string,
    node: TreeNode,
    file: FileToRead,
  ): Promise<void> {
    const known = await this.#builder.unchanged(node, file.sizeBytes);
    if (known !== undefined) {
      return this.#builder.addFile(node, known, file.sizeBytes, "unmodified");
    }
    const promised = await this.#builder.promise(node);
    await encoders.file(file, (outcome) => {
      if ("failed" in outcome) {
        promised.leaveOut();
        const { action, result } = outcome.failed;
        return this.#problem(path, posixError(result, action, show(path)));
      }
      promised.addContent(outcome.content, outcome.bytes);
      if (outcome.isChanged) this.#changed(path);
    });
  }

  #open(
    at: DirectoryHandle,
    name: Uint8Array,
    path: string,
    fail: (error: BackupError) => BackupError,
  ): FileContent {
    const posix = this.#posix;
    const fd = posix.openRead(at, name);
    if (fd < 0) throw fail(posixError(fd, "open", show(path)));
    const before = newStat();
    posix.stat(fd, before);
    return {
      read: (into) => {
        const got = posix.read(fd, into);
        if (got < 0) throw fail(posixError(got, "read", show(path)));
        return got;
      },
      close: () => {
        const after = newStat();
        const result = posix.stat(fd, after);
        posix.close(fd);
        if (result >= 0 && isSameContent(before, after)) return;
        this.#changed(path);
      },
    };
  }

  #changed(path: string): void {
    const message = `${show(path)} changed while it was read`;
    this.#problem(path, new BackupError("changed_while_read", message, { path: show(path) }));
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

  #problem(path: string, error: unknown): void {
    this.#options.onProblem(show(path), asBackupError(error));
  }
}

function isSameContent(a: Stat, b: Stat): boolean {
  return a.sizeBytes === b.sizeBytes && a.mtimeSec === b.mtimeSec &&
    a.mtimeNsec === b.mtimeNsec;
}

function show(path: string): string {
  return path === "" ? "/" : showBytes(path);
}
