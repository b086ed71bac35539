/**
 * Trees back to files. Rule: what a tree says is believed only after it was checked: no name leads out of its folder, no name
 * comes twice, nothing lies too deep, and no size is reserved on a node's word.
 */
import { BackupError, IntegrityError } from "../../protocol/base/errors.ts";
import type { TakeRoom } from "../kernels/mod.ts";
import type { BlobReader } from "./blob_reader.ts";
import { type ByteString, showBytes } from "./go_json.ts";
import { decodeTree, nameProblem, type NodeType, type TreeNode } from "./tree.ts";

/** Folders within folders; paths have at most 4096 bytes on the systems we know. */
export const DEPTH_MAX = 2048;
/** Larger blobs are rare, and memory for them is not kept. */
const ROOM_MAX_BYTES = 16 << 20;

/** One folder of the target; `Place` is what the target needs to link to a file later. */
export interface TargetFolder<Place> {
  /** Opens the folder, making it when it is not there. Never through a symbolic link. */
  folder(node: TreeNode): TargetFolder<Place>;
  /** Begins a file under a temporary name; undefined when what stands there shall stay. */
  file(node: TreeNode): TargetFile<Place> | undefined;
  /** Symbolic link, FIFO, device; undefined when what stands there shall stay. */
  other(node: TreeNode): Place | undefined;
  /** One more name of a file that was made before. */
  link(node: TreeNode, first: Place): void;
  /** Called last of all: the entries are complete. `names` are all that the tree has here. */
  finish(node: TreeNode | undefined, names: ReadonlySet<ByteString>): void;
  /** Frees what the folder holds, also after a failure. */
  close(): void;
}

export interface TargetFile<Place> {
  /** Done when it returns: the memory is the next blob's. */
  write(bytes: Uint8Array): void;
  /** Gives it its metadata and name. */
  finish(): Place;
  /** Removes what was written. */
  discard(): void;
}

export interface RestoreOptions {
  /** False leaves an entry out, with all below it. `path` begins with a slash. */
  select?(path: ByteString, type: NodeType): boolean;
  /** One entry could not be restored; the rest goes on. Without it the first failure is thrown. */
  onFailure?(path: string, error: BackupError): void;
  onFile?(path: ByteString, sizeBytes: number): void;
  signal?: AbortSignal;
}

export interface RestoreCounts {
  files: number;
  folders: number;
  others: number;
  bytes: number;
  /** Entries that stood there already and were left. */
  skipped: number;
}

/** Puts the tree into the target folder. */
export async function restoreTree<Place>(
  reader: BlobReader,
  tree: string,
  target: TargetFolder<Place>,
  options: RestoreOptions = {},
): Promise<RestoreCounts> {
  const restorer = new Restorer<Place>(reader, options);
  await restorer.folder(tree, undefined, target, "", 0);
  return restorer.counts;
}

class Restorer<Place> {
  readonly counts: RestoreCounts = { files: 0, folders: 0, others: 0, bytes: 0, skipped: 0 };
  readonly #reader: BlobReader;
  readonly #options: RestoreOptions;
  /** Where a blob lies until it is written. */
  readonly #takeRoom: TakeRoom = (bytes) => {
    if (bytes > ROOM_MAX_BYTES) return new Uint8Array(bytes);
    if (this.#room.length < bytes) this.#room = new Uint8Array(Math.ceil(bytes * 1.25));
    return this.#room;
  };
  #room = new Uint8Array(0);
  /** First names of files that have several, by device and inode. */
  readonly #linked = new Map<string, { place: Place; node: TreeNode }>();

  constructor(reader: BlobReader, options: RestoreOptions) {
    this.#reader = reader;
    this.#options = options;
  }

  async folder(
    tree: string,
    node: TreeNode | undefined,
    target: TargetFolder<Place>,
    path: ByteString,
    depth: number,
  ): Promise<void> {
    if (depth >= DEPTH_MAX) {
      throw new IntegrityError(`The folder ${show(path)} lies too deep`);
    }
    const nodes = decodeTree(await this.#reader.load("tree", tree), `The tree of ${show(path)}`);
    const names = new Set<ByteString>();
    for (const entry of nodes) {
      this.#options.signal?.throwIfAborted();
      const entryPath = `${path}/${entry.name}`;
      try {
        const problem = nameProblem(entry.name);
        if (problem !== undefined) {
          throw new IntegrityError(`${show(entryPath)} is no name to restore under: ${problem}`);
        }
        if (names.has(entry.name)) {
          throw new IntegrityError(`${show(entryPath)} is listed twice`);
        }
        names.add(entry.name);
        if (this.#options.select?.(entryPath, entry.type) === false) continue;
        await this.#entry(entry, target, entryPath, depth + 1);
      } catch (error) {
        if (!(error instanceof BackupError) || error.code === "cancelled") throw error;
        if (this.#options.onFailure === undefined || endsAll(error)) throw error;
        this.#options.onFailure(show(entryPath), error);
      }
    }
    target.finish(node, names);
    this.counts.folders++;
  }

  async #entry(
    node: TreeNode,
    target: TargetFolder<Place>,
    path: ByteString,
    depth: number,
  ): Promise<void> {
    switch (node.type) {
      case "dir": {
        if (node.subtree === undefined) throw new IntegrityError(`${show(path)} has no tree`);
        const folder = target.folder(node);
        try {
          await this.folder(node.subtree, node, folder, path, depth);
        } finally {
          folder.close();
        }
        return;
      }
      case "file":
        return await this.#file(node, target, path);
      case "symlink":
        if (!node.linkTarget || node.linkTarget.includes("\0")) {
          throw new IntegrityError(`${show(path)} is a link to nowhere`);
        }
        this.#other(node, target);
        break;
      case "fifo":
      case "dev":
      case "chardev":
        this.#other(node, target);
        break;
      case "socket":
      case "irregular":
        return;
    }
    this.counts.others++;
  }

  #other(node: TreeNode, target: TargetFolder<Place>): void {
    const key = linkKey(node);
    const first = key === undefined ? undefined : this.#linked.get(key);
    if (first !== undefined && first.node.type === node.type) target.link(node, first.place);
    else {
      const place = target.other(node);
      if (key !== undefined && place !== undefined) this.#linked.set(key, { place, node });
    }
  }

  async #file(node: TreeNode, target: TargetFolder<Place>, path: ByteString): Promise<void> {
    if (node.content === undefined) throw new IntegrityError(`${show(path)} has no content`);
    const key = linkKey(node);
    const first = key === undefined ? undefined : this.#linked.get(key);
    // A file that changed between two of its names was saved as it was at each.
    if (first !== undefined && isSameFile(first.node, node)) {
      target.link(node, first.place);
      this.counts.files++;
      return;
    }
    this.#requireSize(node, path);
    const file = target.file(node);
    if (file === undefined) {
      this.counts.skipped++;
      return;
    }
    let bytes = 0;
    let place: Place;
    try {
      for (const id of node.content) {
        this.#options.signal?.throwIfAborted();
        const blob = await this.#reader.load("data", id, this.#takeRoom);
        file.write(blob);
        bytes += blob.length;
      }
      place = file.finish();
    } catch (error) {
      file.discard();
      throw error;
    }
    if (key !== undefined) this.#linked.set(key, { place, node });
    this.counts.files++;
    this.counts.bytes += bytes;
    this.#options.onFile?.(path, bytes);
  }

  /** The index knows how long a file will be; a node that says otherwise is not written at all. */
  #requireSize(node: TreeNode, path: ByteString): void {
    let sizeBytes = 0;
    for (const id of node.content!) {
      const blobBytes = this.#reader.sizeOf("data", id);
      if (blobBytes === undefined) {
        throw new IntegrityError(`${show(path)}: its blob ${id} is in no index`);
      }
      sizeBytes += blobBytes;
    }
    if (sizeBytes !== (node.sizeBytes ?? 0)) {
      throw new IntegrityError(
        `${show(path)} says it has ${node.sizeBytes ?? 0} bytes, its blobs have ${sizeBytes}`,
      );
    }
  }
}

/** No other entry can go better. */
function endsAll(error: BackupError): boolean {
  return error.code === "no_space" || error.code === "read_only" ||
    error.code === "destination_lost";
}

/** What all names of one file have in common; undefined when it has no other name. */
function linkKey(node: TreeNode): string | undefined {
  return Number(node.links ?? 0) > 1 ? `${node.deviceId ?? 0}/${node.inode ?? 0}` : undefined;
}

function isSameFile(a: TreeNode, b: TreeNode): boolean {
  const [x, y] = [a.content ?? [], b.content ?? []];
  return a.type === b.type && x.length === y.length && x.every((id, i) => id === y[i]);
}

function show(path: ByteString): string {
  return path === "" ? "/" : showBytes(path);
}
