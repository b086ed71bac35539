/**
 * Makes one snapshot out of a walk that its caller does. Rule: a folder's tree is stored after all that is in it, the snapshot
 * after everything; a file counts as unchanged only as restic says, and only when all its blobs are there.
 *
 * `enter` and `leave` bracket a folder; entries come in the order of their names within it. The root has no entry of its own:
 * what is entered first is what the snapshot's root tree lists. A file may be promised and its content come later, also after
 * its folder was left: the folder's tree is stored when the last of them is there.
 */
import { BackupError, IntegrityError } from "../../protocol/base/errors.ts";
import type { BlobReader } from "./blob_reader.ts";
import type { BlobWriter } from "./blob_writer.ts";
import type { Chunker, ReadBytes } from "./chunker.ts";
import { parseTime } from "./go_time.ts";
import { ParentTree } from "./parent_tree.ts";
import { decodeNode, encodeHead, encodeTail, type TreeNode } from "./tree.ts";
import { TreeEntries, TreeJoiner } from "./tree_entries.ts";

/** A file's metadata without its content. */
export type FileNode = Omit<TreeNode, "content" | "subtree">;

export interface FileContent {
  read: ReadBytes;
  close(): void;
}

export interface ChangeRules {
  /** Another change time alone is no change. */
  ignoreCtime?: boolean;
  /** Neither inode nor change time count. */
  ignoreInode?: boolean;
}

export interface BuilderOptions extends ChangeRules {
  /** The parent's root tree, and what reads it. */
  parent?: { tree: string; reader: BlobReader };
  /** A tree of the parent cannot be read: its folder is backed up as if it were new. */
  onParentDamage?(error: BackupError): void;
}

export interface BuilderCounts {
  filesNew: number;
  filesChanged: number;
  filesUnmodified: number;
  dirsNew: number;
  dirsChanged: number;
  dirsUnmodified: number;
  files: number;
  bytes: number;
  /** Of these, in files that were not read. */
  bytesUnmodified: number;
}

/** Of a file that was read and saved. */
export interface ReadContent {
  content: readonly string[];
  bytes: number;
}

/** A file whose content is being read elsewhere. Exactly one of the two is called; `node` takes the place of the one promised. */
export interface PromisedFile {
  addContent(content: readonly string[], sizeBytes: number, node?: FileNode): void;
  /** It could not be read and is left out. */
  leaveOut(): void;
}

interface Folder {
  above: Folder | undefined;
  /** Its number among the entries of the folder above. */
  entry: number;
  entries: TreeEntries;
  /** Folders within that are not stored yet, by the number of their entries. */
  open: Map<number, Folder>;
  /** Promised files, and folders within that are not stored yet. */
  promised: number;
  /** Called when nothing is promised any more, once it was left. */
  complete: (() => void) | undefined;
  previous: Previous | undefined;
  previousTree: string | undefined;
}

/** A folder as the parent has it, and the memory that its tree may lie in. */
interface Previous {
  tree: ParentTree;
  room: Uint8Array | undefined;
}

/** A folder at the moment of a checkpoint. */
interface PartialTree {
  /** What its own entry begins with; nothing for the root. */
  head: Uint8Array;
  /** Entries, and folders that are not stored yet, in order. */
  parts: (Uint8Array | PartialTree)[];
}

/** Memory of stored folders that is kept for the next ones. */
const ENTRIES_KEPT = 64;
const KEPT_BYTES = 4 << 20;
/** The same of trees of the parent. */
const ROOMS_KEPT = 8;
/** The next tree may be a little larger. */
const ROOM_SPARE = 1.25;

export class SnapshotBuilder {
  readonly counts: BuilderCounts = {
    filesNew: 0,
    filesChanged: 0,
    filesUnmodified: 0,
    dirsNew: 0,
    dirsChanged: 0,
    dirsUnmodified: 0,
    files: 0,
    bytes: 0,
    bytesUnmodified: 0,
  };
  readonly #writer: BlobWriter;
  readonly #chunker: Chunker;
  readonly #options: BuilderOptions;
  readonly #stack: Folder[] = [];
  /** Trees of folders that were left before all was there. */
  readonly #late = new Set<Promise<void>>();
  readonly #joiner = new TreeJoiner();
  readonly #spare: TreeEntries[] = [];
  readonly #rooms: Uint8Array[] = [];
  readonly #has = (id: Uint8Array) => this.#writer.hasData(id);
  readonly #fulfil: Fulfil = (promised, read) => this.#keep(promised, read);
  #failure: { error: unknown } | undefined;

  constructor(writer: BlobWriter, chunker: Chunker, options: BuilderOptions = {}) {
    this.#writer = writer;
    this.#chunker = chunker;
    this.#options = options;
  }

  /** Opens the root. Whoever enters a folder, or adds a file by `file`, need not. */
  async begin(): Promise<void> {
    if (this.#stack.length > 0) return;
    const previousTree = this.#options.parent?.tree;
    this.#stack.push(this.#folder(undefined, 0, previousTree, await this.#load(previousTree)));
  }

  async enter(node: TreeNode): Promise<void> {
    this.#requireHealthy();
    await this.begin();
    const above = this.#top();
    const entry = above.entries.begin(node.name, encodeHead(node));
    const previousTree = this.#before(above, node)?.subtree;
    const folder = this.#folder(above, entry, previousTree, await this.#load(previousTree));
    above.open.set(entry, folder);
    this.#stack.push(folder);
  }

  /** Ends the folder entered last. */
  async leave(): Promise<void> {
    this.#requireHealthy();
    const folder = this.#stack.pop();
    if (folder?.above === undefined) throw new RangeError("No folder to leave");
    // Nobody compares with it any more.
    const { room } = folder.previous ?? {};
    const isKept = this.#rooms.length < ROOMS_KEPT && (room?.length ?? 0) <= KEPT_BYTES;
    if (room !== undefined && isKept) this.#rooms.push(room);
    folder.previous = undefined;
    if (folder.promised === 0) return await this.#store(folder);
    folder.above.promised++;
    const late = new Promise<void>((resolve) => folder.complete = resolve)
      .then(() => this.#store(folder))
      .then(() => this.#kept(folder.above!))
      .catch((error) => void (this.#failure ??= { error }))
      .finally(() => this.#late.delete(late));
    this.#late.add(late);
  }

  /**
   * Adds a file to the folder at hand. Undefined when it is as it was before and all its blobs are there; otherwise it has a
   * place there and has to be read.
   */
  addFile(node: FileNode): PromisedFile | undefined {
    const folder = this.#top();
    const { entries } = folder;
    const entry = entries.begin(node.name, encodeHead(node));
    const isKnown = this.#find(folder, node);
    const tail = isKnown ? this.#unchanged(folder, entry, node) : undefined;
    const sizeBytes = node.sizeBytes ?? 0;
    if (tail !== undefined) {
      entries.end(entry, tail);
      this.#count(sizeBytes, "filesUnmodified");
      this.counts.bytesUnmodified += sizeBytes;
      return undefined;
    }
    folder.promised++;
    return new Promised(this.#fulfil, { folder, entry, sizeBytes, isKnown });
  }

  /**
   * Adds a regular file; `open` is called only when it must be read. What reading throws is thrown, and the file is not added:
   * the caller goes on or does not.
   */
  async file(
    node: FileNode,
    sizeBytes: number,
    open: () => FileContent | Promise<FileContent>,
  ): Promise<void> {
    await this.begin();
    const promised = this.addFile({ ...node, sizeBytes });
    if (promised === undefined) return;
    try {
      const { content, bytes } = await this.read(open);
      promised.addContent(content, bytes);
    } catch (thrown) {
      promised.leaveOut();
      throw thrown;
    }
  }

  /** Cuts and saves what one file holds, and adds nothing. */
  async read(open: () => FileContent | Promise<FileContent>): Promise<ReadContent> {
    const source = await open();
    const content: string[] = [];
    let bytes = 0;
    try {
      this.#chunker.begin(source.read);
      for (let chunk; (chunk = await this.#chunker.next()) !== undefined;) {
        content.push((await this.#writer.save("data", chunk)).id);
        bytes += chunk.length;
      }
    } finally {
      source.close();
    }
    return { content, bytes };
  }

  /** Adds what has no content: links, FIFOs, devices. */
  other(node: TreeNode): void {
    const folder = this.#top();
    // What stood here before is passed, so that a checkpoint does not have it as well.
    this.#find(folder, node);
    folder.entries.end(folder.entries.begin(node.name, encodeHead(node)), encodeTail(node));
  }

  /** Stores the root tree; its id. All folders must have been left, and all that was promised must be there. */
  async finish(): Promise<string> {
    await this.begin();
    const root = this.#top();
    if (this.#stack.length !== 1) throw new RangeError("A folder has not been left");
    while (this.#late.size > 0 && this.#failure === undefined) await Promise.race(this.#late);
    this.#requireHealthy();
    if (root.promised > 0) throw new RangeError("A file that was promised did not come");
    this.#stack.pop();
    return await this.#saveTree(root);
  }

  /**
   * Stores trees of what is there so far, with the parent's entries where the walk has not been yet; the id of the root, for
   * a later backup to compare with should this one be interrupted. What was promised and has not come is left out. The walk may
   * go on meanwhile.
   */
  async checkpoint(): Promise<string | undefined> {
    const root = this.#stack[0];
    return root === undefined
      ? undefined
      : await this.#savePartial(partialOf(root, new Uint8Array(0)));
  }

  async #savePartial({ parts }: PartialTree): Promise<string> {
    const joiner = new TreeJoiner();
    for (const part of parts) {
      if (part instanceof Uint8Array) joiner.add(part, true);
      else {
        joiner.add(part.head, true);
        joiner.add(subtreeTail(await this.#savePartial(part)), false);
      }
    }
    return (await this.#writer.save("tree", joiner.finish())).id;
  }

  /** Stores a folder that is complete, and ends its entry in the one above. */
  async #store(folder: Folder): Promise<void> {
    const tree = await this.#saveTree(folder);
    if (folder.previousTree === undefined) this.counts.dirsNew++;
    else if (folder.previousTree === tree) this.counts.dirsUnmodified++;
    else this.counts.dirsChanged++;
    const { above, entry } = folder;
    above!.entries.end(entry, subtreeTail(tree));
    above!.open.delete(entry);
  }

  async #saveTree({ entries }: Folder): Promise<string> {
    const joiner = this.#joiner;
    for (let entry = 0; entry < entries.count; entry++) entries.copy(entry, joiner);
    const { id } = await this.#writer.save("tree", joiner.finish());
    // Only now: a checkpoint meanwhile finds the folder among those that are not stored yet.
    entries.clear();
    if (this.#spare.length < ENTRIES_KEPT && entries.roomBytes <= KEPT_BYTES) {
      this.#spare.push(entries);
    }
    return id;
  }

  /** A promised file was read; undefined: it is left out. */
  #keep({ folder, entry, sizeBytes, isKnown }: Promised, read: Fulfilled | undefined): void {
    if (read !== undefined) {
      const { content, bytes, node } = read;
      const { entries } = folder;
      if (node !== undefined || bytes !== sizeBytes) {
        const now = node ?? decodeNode(concat(entries.head(entry), NO_CONTENT));
        entries.setHead(entry, encodeHead({ ...now, sizeBytes: bytes }));
      }
      entries.end(entry, encodeTail({ type: "file", content }));
      this.#count(bytes, isKnown ? "filesChanged" : "filesNew");
    }
    this.#kept(folder);
  }

  /** Something that was promised to a folder is there. */
  #kept(folder: Folder): void {
    if (--folder.promised === 0) folder.complete?.();
  }

  #count(bytes: number, state: "filesNew" | "filesChanged" | "filesUnmodified"): void {
    this.counts.files++;
    this.counts.bytes += bytes;
    this.counts[state]++;
  }

  #requireHealthy(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #top(): Folder {
    const top = this.#stack.at(-1);
    if (top === undefined) throw new RangeError("Nothing was begun");
    return top;
  }

  #folder(
    above: Folder | undefined,
    entry: number,
    previousTree: string | undefined,
    previous: Previous | undefined,
  ): Folder {
    return {
      above,
      entry,
      entries: this.#spare.pop() ?? new TreeEntries(),
      open: new Map(),
      promised: 0,
      complete: undefined,
      previous,
      previousTree,
    };
  }

  async #load(tree: string | undefined): Promise<Previous | undefined> {
    const reader = this.#options.parent?.reader;
    if (tree === undefined || reader === undefined) return undefined;
    let room: Uint8Array | undefined;
    try {
      const json = await reader.load("tree", tree, (bytes) => {
        room = this.#rooms.pop();
        if (room === undefined || room.length < bytes) {
          room = new Uint8Array(Math.ceil(bytes * ROOM_SPARE));
        }
        return room;
      });
      return { tree: new ParentTree(json, `tree ${tree}`), room };
    } catch (error) {
      return this.#damaged(error);
    }
  }

  /** Whether the folder had an entry of this name before. */
  #find({ previous }: Folder, { name }: TreeNode): boolean {
    try {
      return previous?.tree.find(name) === true;
    } catch (error) {
      this.#damaged(error);
      return false;
    }
  }

  #before(folder: Folder, node: TreeNode): TreeNode | undefined {
    if (!this.#find(folder, node)) return undefined;
    try {
      return folder.previous!.tree.node();
    } catch (error) {
      return this.#damaged(error);
    }
  }

  /** Of the entry that was found last, what follows its beginning, when nothing that counts has changed. */
  #unchanged({ entries, previous }: Folder, entry: number, node: FileNode): Tail | undefined {
    const same = previous!.tree.tailAfter(entries.head(entry), this.#has);
    if (same !== undefined) return same;
    try {
      const before = previous!.tree.node();
      if (!isUnchanged(before, node, node.sizeBytes ?? 0, this.#options)) return undefined;
      const { content = [] } = before;
      const isThere = content.every((id) => this.#writer.has("data", id));
      return isThere ? encodeTail({ type: "file", content }) : undefined;
    } catch (error) {
      return this.#damaged(error);
    }
  }

  /** Tells that something of the parent cannot be read; anything else is thrown. */
  #damaged(error: unknown): undefined {
    const isDamage = error instanceof IntegrityError ||
      (error instanceof BackupError && error.code === "not_found");
    if (!isDamage) throw error;
    this.#options.onParentDamage?.(error);
  }
}

type Tail = string | Uint8Array;

interface Fulfilled extends ReadContent {
  node: FileNode | undefined;
}

type Fulfil = (promised: Promised, read: Fulfilled | undefined) => void;

/** One small object: thousands are in hand at once. */
class Promised implements PromisedFile {
  readonly folder: Folder;
  readonly entry: number;
  readonly sizeBytes: number;
  /** The parent has a file of this name. */
  readonly isKnown: boolean;
  readonly #fulfil: Fulfil;

  constructor(
    fulfil: Fulfil,
    { folder, entry, sizeBytes, isKnown }: Pick<
      Promised,
      "folder" | "entry" | "sizeBytes" | "isKnown"
    >,
  ) {
    this.#fulfil = fulfil;
    this.folder = folder;
    this.entry = entry;
    this.sizeBytes = sizeBytes;
    this.isKnown = isKnown;
  }

  addContent(content: readonly string[], bytes: number, node?: FileNode): void {
    this.#fulfil(this, { content, bytes, node });
  }

  leaveOut(): void {
    this.#fulfil(this, undefined);
  }
}

const NO_CONTENT = new TextEncoder().encode("[]}");

function subtreeTail(subtree: string): Uint8Array {
  return new TextEncoder().encode(encodeTail({ type: "dir", subtree }));
}

/** All of it is copied at once: the walk goes on, and what is stored is used again. */
function partialOf(folder: Folder, head: Uint8Array): PartialTree {
  const { entries, open, previous } = folder;
  const parts: PartialTree["parts"] = [];
  let joiner = new TreeJoiner();
  for (let entry = 0; entry < entries.count; entry++) {
    const within = open.get(entry);
    if (within === undefined) entries.copy(entry, joiner);
    else {
      parts.push(joiner.entries(), partialOf(within, entries.head(entry).slice()));
      joiner = new TreeJoiner();
    }
  }
  previous?.tree.copyRest(joiner);
  parts.push(joiner.entries());
  return { head, parts: parts.filter((part) => "head" in part || part.length > 0) };
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}

/** Size, modification and change time, and inode are the same, as far as they count. */
export function isUnchanged(
  before: TreeNode,
  now: FileNode,
  sizeBytes: number,
  { ignoreCtime = false, ignoreInode = false }: ChangeRules,
): boolean {
  if (before.type !== "file" || now.type !== "file") return false;
  if ((before.sizeBytes ?? 0) !== sizeBytes || !isSameTime(before.mtime, now.mtime)) return false;
  if (!ignoreCtime && !ignoreInode && !isSameTime(before.ctime, now.ctime)) return false;
  return ignoreInode || BigInt(before.inode ?? 0) === BigInt(now.inode ?? 0);
}

/** The same instant, in whatever zone it is written. */
function isSameTime(a: string, b: string): boolean {
  if (a === b) return true;
  const [x, y] = [parseTime(a), parseTime(b)];
  return x !== undefined && y !== undefined && x.sec === y.sec && x.nsec === y.nsec;
}
