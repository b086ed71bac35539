/**
 * Trees back to files, one step of the plan after the other. Rule: no name leads out of its folder, no name comes twice, nothing
 * lies too deep, and no size is reserved on a node's word.
 */
import { BackupError, IntegrityError } from "../../protocol/base/errors.ts";
import type { BlobSource, WantedBlobs } from "./blob_source.ts";
import type { ByteString } from "./go_json.ts";
import { keptRoom } from "./load_index.ts";
import {
  isGivenUp,
  linkKey,
  type PlannedFolder,
  RestorePlan,
  type RestoreStep,
  showPath,
} from "./restore_plan.ts";
import type { NodeType, TreeNode } from "./tree.ts";

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
  /** False leaves an entry out, with all below it. `path` begins with a slash. Asked long before its turn has come. */
  select?(path: ByteString, type: NodeType): boolean;
  /** A file's turn has come. */
  onBegin?(path: ByteString): void;
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
  source: BlobSource,
  tree: string,
  target: TargetFolder<Place>,
  options: RestoreOptions = {},
): Promise<RestoreCounts> {
  const plan = new RestorePlan(source, tree, options);
  const restorer = new Restorer<Place>(source, plan, target, options);
  try {
    await restorer.run();
  } finally {
    restorer.close();
  }
  return restorer.counts;
}

class Restorer<Place> {
  readonly counts: RestoreCounts = { files: 0, folders: 0, others: 0, bytes: 0, skipped: 0 };
  readonly #source: BlobSource;
  readonly #plan: RestorePlan;
  readonly #root: TargetFolder<Place>;
  readonly #options: RestoreOptions;
  /** Where a blob lies until it is written. */
  readonly #room = keptRoom(ROOM_MAX_BYTES);
  /** Those on the way to where the plan is; the last is the one it is in. */
  readonly #open: TargetFolder<Place>[] = [];
  /** First names of files that have several, by device and inode. */
  readonly #linked = new Map<string, { place: Place; node: TreeNode }>();

  constructor(
    source: BlobSource,
    plan: RestorePlan,
    root: TargetFolder<Place>,
    options: RestoreOptions,
  ) {
    this.#source = source;
    this.#plan = plan;
    this.#root = root;
    this.#options = options;
  }

  async run(): Promise<void> {
    for (;;) {
      const step = await this.#plan.take();
      if (step === undefined) return;
      const wanted = step.kind === "entry" ? step.wanted : undefined;
      try {
        if (!isGivenUp(step.folder)) await this.#do(step);
      } finally {
        wanted?.drop();
      }
    }
  }

  /** Frees the folders that a failure has left open. */
  close(): void {
    while (this.#open.length > 0) this.#leave();
  }

  async #do(step: RestoreStep): Promise<void> {
    const { folder } = step;
    switch (step.kind) {
      case "enter":
        return this.#enter(folder);
      case "lost":
        this.#leave();
        return this.#failed(folder, folder.path, step.error);
      case "leave":
        return this.#finish(folder, step.names);
      case "refused":
        return this.#failed(folder, step.path, step.error);
      case "entry":
        try {
          await this.#entry(step);
        } catch (error) {
          this.#failed(folder, step.path, error);
        }
    }
  }

  #enter(folder: PlannedFolder): void {
    const { node } = folder;
    if (node === undefined) return void this.#open.push(this.#root);
    try {
      this.#open.push(this.#open.at(-1)!.folder(node));
    } catch (error) {
      folder.isGivenUp = true;
      this.#failed(folder, folder.path, error);
    }
  }

  #finish(folder: PlannedFolder, names: ReadonlySet<ByteString>): void {
    try {
      this.#open.at(-1)!.finish(folder.node, names);
      this.counts.folders++;
    } catch (error) {
      this.#failed(folder, folder.path, error);
    } finally {
      this.#leave();
    }
  }

  /** The first one is its opener's to close. */
  #leave(): void {
    const folder = this.#open.pop();
    if (folder !== this.#root) folder?.close();
  }

  /** One entry less, unless nothing else can go better. */
  #failed(folder: PlannedFolder, path: ByteString, error: unknown): void {
    if (!(error instanceof BackupError) || error.code === "cancelled") throw error;
    const isAll = path === "" && folder.above === undefined;
    if (this.#options.onFailure === undefined || isAll || endsAll(error)) throw error;
    this.#options.onFailure(showPath(path), error);
  }

  async #entry(step: RestoreStep & { kind: "entry" }): Promise<void> {
    const { node, path } = step;
    const target = this.#open.at(-1)!;
    switch (node.type) {
      case "file":
        return await this.#file(step, target);
      case "symlink":
        if (!node.linkTarget || node.linkTarget.includes("\0")) {
          throw new IntegrityError(`${showPath(path)} is a link to nowhere`);
        }
        break;
      case "fifo":
      case "dev":
      case "chardev":
        break;
      default:
        return;
    }
    this.#other(node, target);
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

  async #file(
    { node, path, problem, wanted }: RestoreStep & { kind: "entry" },
    target: TargetFolder<Place>,
  ): Promise<void> {
    this.#options.onBegin?.(path);
    const key = linkKey(node);
    const first = key === undefined ? undefined : this.#linked.get(key);
    // A file that changed between two of its names was saved as it was at each.
    if (first !== undefined && isSameFile(first.node, node)) {
      target.link(node, first.place);
      this.counts.files++;
      return;
    }
    if (problem !== undefined) throw problem;
    const file = target.file(node);
    this.#plan.learn(file !== undefined);
    if (file === undefined) {
      this.counts.skipped++;
      return;
    }
    let bytes = 0;
    let place: Place;
    try {
      const blobs = wanted ?? this.#blobsOf(node);
      for (let i = 0; i < node.content!.length; i++) {
        this.#options.signal?.throwIfAborted();
        const blob = await blobs.next();
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

  /** Loaded when they are taken. */
  #blobsOf({ content }: TreeNode): Pick<WantedBlobs, "next"> {
    let next = 0;
    return { next: () => this.#source.load("data", content![next++]!, this.#room) };
  }
}

/** No other entry can go better. */
function endsAll(error: BackupError): boolean {
  return error.code === "no_space" || error.code === "read_only" ||
    error.code === "destination_lost";
}

function isSameFile(a: TreeNode, b: TreeNode): boolean {
  const [x, y] = [a.content ?? [], b.content ?? []];
  return a.type === b.type && x.length === y.length && x.every((id, i) => id === y[i]);
}
