/**
 * What a restore has to do, in its order, found out ahead of doing it: trees are read and checked while files are still written.
 * Rule: what a tree says is believed only after it was checked, and no more steps wait than a named number.
 */
import { BackupError, IntegrityError } from "../../protocol/base/errors.ts";
import type { BlobSource, WantedBlobs, WantedTree } from "./blob_source.ts";
import { type ByteString, showBytes } from "./go_json.ts";
import { keptRoom } from "./load_index.ts";
import { decodeTree, nameProblem, type NodeType, type TreeNode } from "./tree.ts";

/** Folders within folders; paths have at most 4096 bytes on the systems we know. */
export const DEPTH_MAX = 2048;
/** More are made until there are so many, a few MB of nodes, and again once so many are left. */
const STEPS_MAX = 1024;
const STEPS_FEW = 512;
/** Of folders in one folder, whose trees are loaded before their turn has come. */
const TREES_AHEAD = 6;
/** Larger trees are rare, and memory for them is not kept. */
const ROOM_MAX_BYTES = 16 << 20;

/** A folder on the way. */
export interface PlannedFolder {
  path: ByteString;
  /** Absent of the first. */
  node?: TreeNode;
  above?: PlannedFolder;
  /** It could not be made: nothing in it need be planned any more. */
  isGivenUp: boolean;
}

export type RestoreStep =
  & { folder: PlannedFolder }
  & (
    | { kind: "enter" }
    /** `names` are all that the tree has. */
    | { kind: "leave"; names: ReadonlySet<ByteString> }
    /** Its tree could not be read; nothing else is told of it. */
    | { kind: "lost"; error: BackupError }
    /** An entry that is none. */
    | { kind: "refused"; path: ByteString; error: BackupError }
    | {
      kind: "entry";
      path: ByteString;
      node: TreeNode;
      /** Of a file: why its content is not to be written. */
      problem?: BackupError;
      /** Of a file whose content is being loaded. */
      wanted?: WantedBlobs;
    }
  );

export interface PlanOptions {
  select?(path: ByteString, type: NodeType): boolean;
  signal?: AbortSignal;
}

/** One whose entries are being planned. */
interface OpenFolder {
  folder: PlannedFolder;
  nodes: readonly TreeNode[];
  /** Of the nodes, those that were planned. */
  planned: number;
  names: Set<ByteString>;
  trees: TreesAhead;
}

export class RestorePlan {
  readonly #source: BlobSource;
  readonly #options: PlanOptions;
  /** Those that wait, and how many of them were taken. */
  #steps: RestoreStep[] = [];
  #taken = 0;
  #isFilling = true;
  /** The way to where the plan is. */
  readonly #open: OpenFolder[] = [];
  /** The next one to open, whose tree is awaited. */
  #next: { folder: PlannedFolder; tree: WantedTree } | undefined;
  readonly #room = keptRoom(ROOM_MAX_BYTES);
  /** Files of several names whose content comes with the first of them. */
  readonly #linked = new Set<string>();
  #loadsAhead = true;

  constructor(source: BlobSource, tree: string, options: PlanOptions) {
    this.#source = source;
    this.#options = options;
    this.#enter({ path: "", isGivenUp: false }, unwanted(source, tree));
  }

  /** The next step; undefined after the last. */
  async take(): Promise<RestoreStep | undefined> {
    for (;;) {
      this.#options.signal?.throwIfAborted();
      this.#goOn();
      const step = this.#steps[this.#taken];
      if (step !== undefined) {
        this.#taken++;
        return step;
      }
      if (this.#next === undefined) return undefined;
      await this.#openNext(this.#next);
    }
  }

  /** Whether a file that was begun needed its content: where files are left as they stand none is loaded in advance. */
  learn(isNeeded: boolean): void {
    this.#loadsAhead = isNeeded;
  }

  /** As far as trees are there, in bursts: who loads what is wanted then does not wake for each of them. */
  #goOn(): void {
    const left = this.#steps.length - this.#taken;
    if (left <= STEPS_FEW && !this.#isFilling) {
      this.#isFilling = true;
      this.#steps = this.#steps.slice(this.#taken);
      this.#taken = 0;
    }
    while (this.#isFilling) {
      if (this.#next !== undefined) {
        const { tree, folder } = this.#next;
        const json = tree.now?.(this.#room);
        if (json === undefined) return;
        this.#opened(folder, tree, () => json);
        continue;
      }
      const top = this.#open.at(-1);
      if (top === undefined) return;
      this.#planOne(top);
      if (this.#steps.length - this.#taken >= STEPS_MAX) this.#isFilling = false;
    }
  }

  #planOne(top: OpenFolder): void {
    const { folder, nodes, names, trees } = top;
    const node = nodes[top.planned];
    if (node === undefined || isGivenUp(folder)) {
      this.#steps.push({ kind: "leave", folder, names });
      this.#open.pop();
      return trees.drop();
    }
    const at = top.planned++;
    const path = `${folder.path}/${node.name}`;
    const error = nameError(node, path, names);
    if (error !== undefined) return void this.#steps.push({ kind: "refused", folder, path, error });
    names.add(node.name);
    if (this.#options.select?.(path, node.type) === false) return;
    if (node.type !== "dir") return void this.#steps.push(this.#entryStep(node, folder, path));
    if (node.subtree === undefined) {
      const error = new IntegrityError(`${showPath(path)} has no tree`);
      return void this.#steps.push({ kind: "refused", folder, path, error });
    }
    this.#enter({ path, node, above: folder, isGivenUp: false }, trees.take(at, node.subtree));
  }

  #enter(folder: PlannedFolder, tree: WantedTree): void {
    this.#steps.push({ kind: "enter", folder });
    this.#next = { folder, tree };
  }

  async #openNext({ folder, tree }: { folder: PlannedFolder; tree: WantedTree }): Promise<void> {
    let read: () => Uint8Array;
    try {
      const json = await tree.load(this.#room);
      read = () => json;
    } catch (error) {
      read = () => {
        throw error;
      };
    }
    this.#opened(folder, tree, read);
  }

  #opened(folder: PlannedFolder, tree: WantedTree, read: () => Uint8Array): void {
    this.#next = undefined;
    const shown = showPath(folder.path);
    try {
      if (this.#open.length >= DEPTH_MAX) {
        throw new IntegrityError(`The folder ${shown} lies too deep`);
      }
      const nodes = decodeTree(read(), `The tree of ${shown}`);
      const trees = new TreesAhead(
        this.#source,
        nodes,
        ({ name }) => this.#options.select?.(`${folder.path}/${name}`, "dir") !== false,
      );
      this.#open.push({ folder, nodes, planned: 0, names: new Set(), trees });
    } catch (error) {
      if (!(error instanceof BackupError) || error.code === "cancelled") throw error;
      this.#steps.push({ kind: "lost", folder, error });
    } finally {
      tree.drop();
    }
  }

  #entryStep(node: TreeNode, folder: PlannedFolder, path: ByteString): RestoreStep {
    const step: RestoreStep = { kind: "entry", folder, path, node };
    if (node.type !== "file") return step;
    const problem = this.#sizeProblem(node, path);
    if (problem !== undefined) return { ...step, problem };
    if (!this.#loadsAhead || this.#source.want === undefined) return step;
    const key = linkKey(node);
    if (key !== undefined) {
      if (this.#linked.has(key)) return step;
      this.#linked.add(key);
    }
    return { ...step, wanted: this.#source.want(node.content!) };
  }

  /** The index knows how long a file will be; a node that says otherwise is not written at all. */
  #sizeProblem(node: TreeNode, path: ByteString): BackupError | undefined {
    const { content, sizeBytes: toldBytes = 0 } = node;
    if (content === undefined) return new IntegrityError(`${showPath(path)} has no content`);
    let sizeBytes = 0;
    for (const id of content) {
      const blobBytes = this.#source.sizeOf("data", id);
      if (blobBytes === undefined) {
        return new IntegrityError(`${showPath(path)}: its blob ${id} is in no index`);
      }
      sizeBytes += blobBytes;
    }
    if (sizeBytes === toldBytes) return undefined;
    return new IntegrityError(
      `${showPath(path)} says it has ${toldBytes} bytes, its blobs have ${sizeBytes}`,
    );
  }
}

/** The trees of one folder's folders, a few of them on their way. */
class TreesAhead {
  readonly #source: BlobSource;
  readonly #nodes: readonly TreeNode[];
  readonly #isWanted: (node: TreeNode) => boolean;
  /** What was looked at. */
  #looked = 0;
  /** By the place of the node. */
  readonly #wanted = new Map<number, WantedTree>();

  constructor(
    source: BlobSource,
    nodes: readonly TreeNode[],
    isWanted: (node: TreeNode) => boolean,
  ) {
    this.#source = source;
    this.#nodes = nodes;
    this.#isWanted = isWanted;
    this.#wantMore();
  }

  /** That of the node at a place, whose turn has come. */
  take(at: number, id: string): WantedTree {
    const wanted = this.#wanted.get(at) ?? this.#source.wantTree?.(id, true);
    this.#wanted.delete(at);
    this.#looked = Math.max(this.#looked, at + 1);
    this.#wantMore();
    return wanted ?? unwanted(this.#source, id);
  }

  drop(): void {
    for (const wanted of this.#wanted.values()) wanted.drop();
  }

  #wantMore(): void {
    if (this.#source.wantTree === undefined) return;
    for (; this.#wanted.size < TREES_AHEAD && this.#looked < this.#nodes.length; this.#looked++) {
      const node = this.#nodes[this.#looked]!;
      if (node.type !== "dir" || node.subtree === undefined || !this.#isWanted(node)) continue;
      const wanted = this.#source.wantTree(node.subtree, false);
      if (wanted === undefined) return;
      this.#wanted.set(this.#looked, wanted);
    }
  }
}

/** A tree that is loaded when it is needed. */
function unwanted(source: BlobSource, id: string): WantedTree {
  return { load: (room) => source.load("tree", id, room), drop() {} };
}

/** Whether the folder or one above it could not be made. */
export function isGivenUp(folder: PlannedFolder): boolean {
  for (let at: PlannedFolder | undefined = folder; at !== undefined; at = at.above) {
    if (at.isGivenUp) return true;
  }
  return false;
}

/** What all names of one file have in common; undefined when it has no other name. */
export function linkKey(node: TreeNode): string | undefined {
  return Number(node.links ?? 0) > 1 ? `${node.deviceId ?? 0}/${node.inode ?? 0}` : undefined;
}

export function showPath(path: ByteString): string {
  return path === "" ? "/" : showBytes(path);
}

/** `names` are those that were there before it. */
function nameError(
  node: TreeNode,
  path: ByteString,
  names: ReadonlySet<ByteString>,
): BackupError | undefined {
  const problem = nameProblem(node.name);
  if (problem !== undefined) {
    return new IntegrityError(`${showPath(path)} is no name to restore under: ${problem}`);
  }
  if (names.has(node.name)) return new IntegrityError(`${showPath(path)} is listed twice`);
  return undefined;
}
