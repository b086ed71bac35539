/**
 * Makes one snapshot out of a walk that its caller does. Rule: a folder's tree is stored after all that is in it, the snapshot
 * after everything; a file counts as unchanged only as restic says, and only when all its blobs are there.
 *
 * `enter` and `leave` bracket a folder; entries come in any order within it. The root has no entry of its own: what is
 * entered first is what the snapshot's root tree lists. A file may be promised and its content come later, also after its
 * folder was left: the folder's tree is stored when the last of them is there.
 */
import { BackupError, IntegrityError } from "../../protocol/base/errors.ts";
import type { BlobReader } from "./blob_reader.ts";
import type { BlobWriter } from "./blob_writer.ts";
import type { Chunker, ReadBytes } from "./chunker.ts";
import type { ByteString } from "./go_json.ts";
import { parseTime } from "./go_time.ts";
import { byName, decodeTree, encodeTree, type TreeNode } from "./tree.ts";

/** A file's metadata without what its content decides. */
export type FileNode = Omit<TreeNode, "content" | "subtree" | "sizeBytes">;

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
  content: string[];
  bytes: number;
}

/** A file whose content is being read elsewhere. Exactly one of the two is called; `node` takes the place of the one promised. */
export interface PromisedFile {
  addContent(content: readonly string[], sizeBytes: number, node?: FileNode): void;
  /** It could not be read and is left out. */
  leaveOut(): void;
}

interface Folder {
  /** Undefined for the root. */
  node: TreeNode | undefined;
  above: Folder | undefined;
  nodes: TreeNode[];
  /** Folders within that are not stored yet. */
  open: Set<Folder>;
  /** Promised files, and folders within that are not stored yet. */
  promised: number;
  /** Called when nothing is promised any more, once it was left. */
  complete: (() => void) | undefined;
  previous: ReadonlyMap<ByteString, TreeNode> | undefined;
  previousTree: string | undefined;
}

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
  #failure: { error: unknown } | undefined;

  constructor(writer: BlobWriter, chunker: Chunker, options: BuilderOptions = {}) {
    this.#writer = writer;
    this.#chunker = chunker;
    this.#options = options;
  }

  async enter(node: TreeNode): Promise<void> {
    this.#requireHealthy();
    const parent = await this.#top();
    const previousTree = parent.previous?.get(node.name)?.subtree;
    const folder = await this.#open(node, parent, previousTree);
    parent.open.add(folder);
    this.#stack.push(folder);
  }

  /** Ends the folder entered last. */
  async leave(): Promise<void> {
    this.#requireHealthy();
    const folder = this.#stack.pop();
    if (folder?.node === undefined) throw new RangeError("No folder to leave");
    if (folder.promised === 0) return await this.#store(folder);
    folder.above!.promised++;
    const late = new Promise<void>((resolve) => folder.complete = resolve)
      .then(() => this.#store(folder))
      .then(() => this.#kept(folder.above!))
      .catch((error) => void (this.#failure ??= { error }))
      .finally(() => this.#late.delete(late));
    this.#late.add(late);
  }

  /** The content of an unchanged file as it was; undefined when the file has to be read. */
  async unchanged(node: FileNode, sizeBytes: number): Promise<readonly string[] | undefined> {
    const before = (await this.#top()).previous?.get(node.name);
    if (before === undefined || !isUnchanged(before, node, sizeBytes, this.#options)) {
      return undefined;
    }
    const content = before.content ?? [];
    return content.every((id) => this.#writer.has("data", id)) ? content : undefined;
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
    const known = await this.unchanged(node, sizeBytes);
    if (known !== undefined) {
      this.addFile(node, known, sizeBytes, "unmodified");
      return;
    }
    const read = await this.read(open);
    (await this.promise(node)).addContent(read.content, read.bytes);
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

  /** Adds a file whose blobs were saved already, by whoever chunks elsewhere. */
  addFile(
    node: FileNode,
    content: readonly string[],
    sizeBytes: number,
    state: "new" | "changed" | "unmodified",
  ): void {
    this.#addFile(this.#current(), node, content, sizeBytes, state);
  }

  #addFile(
    folder: Folder,
    node: FileNode,
    content: readonly string[],
    sizeBytes: number,
    state: "new" | "changed" | "unmodified",
  ): void {
    folder.nodes.push({ ...node, sizeBytes, content });
    this.counts.files++;
    this.counts.bytes += sizeBytes;
    if (state === "new") this.counts.filesNew++;
    else if (state === "changed") this.counts.filesChanged++;
    else {
      this.counts.filesUnmodified++;
      this.counts.bytesUnmodified += sizeBytes;
    }
  }

  /** Keeps a place in the folder at hand for a file that has to be read. */
  async promise(node: FileNode): Promise<PromisedFile> {
    const folder = await this.#top();
    const state = folder.previous?.has(node.name) === true ? "changed" : "new";
    folder.promised++;
    return {
      addContent: (content, sizeBytes, now = node) => {
        this.#addFile(folder, now, content, sizeBytes, state);
        this.#kept(folder);
      },
      leaveOut: () => this.#kept(folder),
    };
  }

  /** Adds what has no content: links, FIFOs, devices. */
  async other(node: TreeNode): Promise<void> {
    (await this.#top()).nodes.push(node);
  }

  /** Stores the root tree; its id. All folders must have been left, and all that was promised must be there. */
  async finish(): Promise<string> {
    const root = await this.#top();
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
    return root === undefined ? undefined : await this.#savePartial(root);
  }

  async #savePartial({ nodes, open, previous }: Folder): Promise<string> {
    // Both at this moment: a folder that is stored meanwhile is in one of them.
    const partial = [...nodes];
    const within = [...open];
    for (const folder of within) {
      partial.push({ ...folder.node!, subtree: await this.#savePartial(folder) });
    }
    const names = new Set(partial.map(({ name }) => name));
    for (const [name, node] of previous ?? []) if (!names.has(name)) partial.push(node);
    partial.sort(byName);
    return (await this.#writer.save("tree", encodeTree(partial))).id;
  }

  /** Stores a folder that is complete, and puts it into the one above. */
  async #store(folder: Folder): Promise<void> {
    const tree = await this.#saveTree(folder);
    if (folder.previousTree === undefined) this.counts.dirsNew++;
    else if (folder.previousTree === tree) this.counts.dirsUnmodified++;
    else this.counts.dirsChanged++;
    folder.above!.nodes.push({ ...folder.node!, subtree: tree });
    folder.above!.open.delete(folder);
  }

  /** Something that was promised to a folder is there. */
  #kept(folder: Folder): void {
    if (--folder.promised === 0) folder.complete?.();
  }

  #requireHealthy(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #saveTree({ nodes }: Folder): Promise<string> {
    nodes.sort(byName);
    for (let i = 1; i < nodes.length; i++) {
      if (nodes[i]!.name === nodes[i - 1]!.name) {
        throw new BackupError("changed_while_read", `A folder lists ${nodes[i]!.name} twice`);
      }
    }
    return (await this.#writer.save("tree", encodeTree(nodes))).id;
  }

  #current(): Folder {
    const top = this.#stack.at(-1);
    if (top === undefined) throw new RangeError("No folder has been entered");
    return top;
  }

  async #top(): Promise<Folder> {
    if (this.#stack.length === 0) {
      this.#stack.push(await this.#open(undefined, undefined, this.#options.parent?.tree));
    }
    return this.#stack.at(-1)!;
  }

  async #open(
    node: TreeNode | undefined,
    above: Folder | undefined,
    previousTree: string | undefined,
  ): Promise<Folder> {
    const previous = await this.#previous(previousTree);
    return {
      node,
      above,
      nodes: [],
      open: new Set(),
      promised: 0,
      complete: undefined,
      previous,
      previousTree,
    };
  }

  async #previous(
    tree: string | undefined,
  ): Promise<ReadonlyMap<ByteString, TreeNode> | undefined> {
    const reader = this.#options.parent?.reader;
    if (tree === undefined || reader === undefined) return undefined;
    try {
      const nodes = decodeTree(await reader.load("tree", tree), `tree ${tree}`);
      return new Map(nodes.map((node) => [node.name, node]));
    } catch (error) {
      const isDamage = error instanceof IntegrityError ||
        (error instanceof BackupError && error.code === "not_found");
      if (!isDamage) throw error;
      this.#options.onParentDamage?.(error);
      return undefined;
    }
  }
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
