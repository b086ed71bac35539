/**
 * The thread that restores from repositories. Rule: it alone touches the target, so that a disk that hangs holds up nobody else.
 * One repository it reads itself; of several it asks its owner, so that one that hangs is passed over for another.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import type { WireError } from "../../protocol/mesh/task.ts";
import { toWireError } from "../../protocol/mesh/task_mapping.ts";
import { openLocalObjectStore } from "../destinations/local_object_store.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import { createKernels } from "../kernels/mod.ts";
import { confine } from "../platform/confined_posix.ts";
import { Garbage } from "../platform/garbage.ts";
import type { Posix } from "../platform/posix.ts";
import type { ProcessFacts } from "../platform/process_identity.ts";
import {
  type ByteString,
  type OpenedKey,
  Repository,
  type RepositoryConfig,
  type RestoreCounts,
  restoreTree,
  showBytes,
  type TargetFolder,
} from "../repository/mod.ts";
import {
  askedObjectStore,
  openRestoreTarget,
  type Overwrite,
  temporariesOf,
} from "../strategies/snapshot/mod.ts";
import { countingPosix } from "../threads/counting_posix.ts";
import type { Ask, Methods, ThreadCells } from "../threads/thread_rpc.ts";
import { type BlobGroup, openBlobGroup } from "./blob_group.ts";
import { type DryCounts, openDryTarget } from "./dry_target.ts";
import { lazyTarget } from "./lazy_target.ts";
import { makeTarget } from "./make_target.ts";
import { Selection, type SelectionOptions } from "./selection.ts";
import { treeOfFolder } from "./snapshot_choice.ts";
import { verifyRestored } from "./verify_restored.ts";
import { walkSnapshot } from "./walk_snapshot.ts";

export interface RestoreThreadStart {
  /** Where the target may lie; empty: anywhere. */
  roots: readonly string[];
  /** Where repositories may lie that it opens itself; empty: anywhere. */
  repositoryRoots: readonly string[];
  /** Whose restore it is; its name is in what it is writing. */
  process: ProcessFacts;
  replicas: RestoreReplica[];
}

/** One repository, with what opens it. Secret. */
export interface RestoreReplica {
  /** What the owner is asked by. */
  key: string;
  display: string;
  /** Where it opens the repository for itself. */
  folder?: string;
  config: RepositoryConfig;
  opened: OpenedKey;
}

export interface RestoreRequest {
  tree: string;
  /** Of the tree: the folder that is restored. */
  folder: string;
  /** Of the whole tree, where they are known. */
  totals?: { files: number; bytes: number };
  /** Somebody looks: what is not known is counted before. */
  counts: boolean;
  /** Absolute. */
  target: string;
  selection: SelectionOptions;
  overwrite: Overwrite;
  delete: boolean;
  sparse: boolean;
  verify: boolean;
  dryRun: boolean;
  progress: SharedArrayBuffer;
}

/** What happens on the way. */
export type RestoreEvent =
  | { kind: "warning"; message: string }
  | { kind: "totals"; files: number; bytes: number }
  | { kind: "at"; path: ByteString }
  | { kind: "failed" | "metadata"; path: string; error: WireError }
  | { kind: "rehearsed"; action: string; path: string }
  | { kind: "verifying" };

export interface RestoreDone {
  /** Absent of a dry run. */
  counts?: RestoreCounts;
  dry?: DryCounts;
  /** Files read again and right. */
  verified?: number;
  deleted: number;
}

/** Files that were begun, and bytes of those that are done. */
export const RESTORE_PROGRESS_BYTES = 16;
const TICK_MS = 200;
const TELL_EVERY_MS = 100;

export function openRestoreThread(
  raw: Posix,
  start: RestoreThreadStart,
  cells: ThreadCells,
  ask: Ask,
  clock: Clock,
): Methods {
  const cancel = new AbortController();
  const look = () => {
    if (Atomics.load(cells.cancelled, 0) !== 0) {
      cancel.abort(new BackupError("cancelled", "Cancelled"));
    }
  };
  const within = (roots: readonly string[]): Posix =>
    countingPosix(confine(raw, roots), cells, () => {
      look();
      if (Atomics.load(cells.fenced, 0) !== 0) throw new BackupError("cancelled", "Given up");
    });
  const posix = within(start.roots);
  // Waiting for a repository is no standing still: that has a deadline of its own.
  const stopTicking = clock.every(TICK_MS, () => {
    Atomics.add(cells.operations, 0, 1);
    look();
  });
  const tell = (event: RestoreEvent): void => void ask("tell", event).catch(() => {});
  let group: Promise<BlobGroup> | undefined;
  const stores: ObjectStore[] = [];
  // deno-lint-ignore require-await -- what it throws is the promise's
  const openGroup = async (): Promise<BlobGroup> => {
    const kernels = createKernels();
    const storeOf = ({ key, display, folder }: RestoreReplica): ObjectStore => {
      if (folder === undefined) return frugal(askedObjectStore(ask, key, display));
      const store = openLocalObjectStore(within(start.repositoryRoots), folder);
      stores.push(store);
      return frugal(store);
    };
    const repositories = start.replicas.map((replica) => ({
      address: { key: replica.display, path: replica.display },
      repository: new Repository(storeOf(replica), kernels, replica.config, replica.opened),
    }));
    return openBlobGroup(repositories, clock, (message) => tell({ kind: "warning", message }));
  };
  return {
    async restore(request: RestoreRequest): Promise<RestoreDone> {
      group ??= openGroup();
      const { signal } = cancel;
      return await new TreeRestore({ posix, clock, tell, signal }, start, request, await group)
        .run();
    },
    close(): void {
      stopTicking();
      for (const store of stores) store.close();
    },
  };
}

/** Of what is read into memory that is used again: for the hashes of the blobs in it. */
const GARBAGE_SHARE = 8;

/** What is read lies outside the heap, where nobody but a collection frees it. */
function frugal(store: ObjectStore): ObjectStore {
  const garbage = new Garbage();
  const { display } = store;
  return {
    display,
    put: (name, parts, options) => store.put(name, parts, options),
    get: (name, maxBytes) => store.get(name, maxBytes),
    async getRange(name, offset, lengthBytes, room) {
      const bytes = await store.getRange(name, offset, lengthBytes, room);
      const isRoom = bytes.buffer === room?.buffer;
      garbage.made(isRoom ? lengthBytes / GARBAGE_SHARE : lengthBytes);
      return bytes;
    },
    readBack: (name, maxBytes, room) => store.readBack(name, maxBytes, room),
    stat: (name) => store.stat(name),
    list: (folder) => store.list(folder),
    leftovers: (folder) => store.leftovers(folder),
    remove: (name) => store.remove(name),
    close: () => store.close(),
  };
}

interface Tools {
  posix: Posix;
  clock: Clock;
  tell(event: RestoreEvent): void;
  signal: AbortSignal;
}

class TreeRestore {
  readonly #tools: Tools;
  readonly #start: RestoreThreadStart;
  readonly #request: RestoreRequest;
  readonly #group: BlobGroup;
  readonly #selection: Selection;
  readonly #progress: Float64Array;
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #deleted = 0;

  constructor(tools: Tools, start: RestoreThreadStart, request: RestoreRequest, group: BlobGroup) {
    this.#tools = tools;
    this.#start = start;
    this.#request = request;
    this.#group = group;
    this.#selection = new Selection(request.selection);
    this.#progress = new Float64Array(request.progress);
  }

  async run(): Promise<RestoreDone> {
    const { tree: whole, folder, counts, dryRun, verify } = this.#request;
    const tree = await treeOfFolder(this.#group.reader, whole, folder);
    await this.#findPaths(tree);
    if (counts) await this.#count(tree);
    if (dryRun) return { dry: await this.#rehearse(tree), deleted: 0 };
    const done: RestoreDone = { counts: await this.#restore(tree), deleted: this.#deleted };
    if (verify) done.verified = await this.#verify(tree);
    return done;
  }

  /** Before anything is written: a path that was mistyped must not look like one of which all is restored. */
  async #findPaths(tree: string): Promise<void> {
    const missing = new Set(this.#selection.paths);
    if (missing.size === 0) return;
    let isWhole = true;
    const walk = walkSnapshot(this.#group.reader, tree, {
      enters: (path) => this.#selection.leadsTo(path),
      // What is in a tree that cannot be read nobody knows; the restore itself will tell.
      onFailure: () => void (isWhole = false),
      skipsBadNames: true,
      signal: this.#tools.signal,
    });
    for await (const { path } of walk) missing.delete(path);
    const [first] = missing;
    if (first === undefined || !isWhole) return;
    throw new BackupError("usage", `The snapshot has no ${showBytes(first)}`, {
      hint:
        "Name paths as ls restic:PATH prints them; with --snapshot ID:/folder, below that folder",
    });
  }

  /** From the snapshot's own summary where everything is wanted, else by a walk over its trees. */
  async #count(tree: string): Promise<void> {
    const { totals, folder } = this.#request;
    const selection = this.#selection;
    if (totals !== undefined && selection.isWhole && folder === "") {
      return this.#tools.tell({ kind: "totals", ...totals });
    }
    let [files, bytes] = [0, 0];
    const walk = walkSnapshot(this.#group.reader, tree, {
      enters: (path) => selection.looksAt(path, true),
      // The restore itself will tell.
      onFailure() {},
      skipsBadNames: true,
      signal: this.#tools.signal,
    });
    for await (const { path, node } of walk) {
      if (node.type !== "file" || !selection.asksFor(path, false)) continue;
      files++;
      bytes += node.sizeBytes ?? 0;
    }
    this.#tools.tell({ kind: "totals", files, bytes });
  }

  async #rehearse(tree: string): Promise<DryCounts> {
    const { overwrite, delete: deletes, target: path } = this.#request;
    const { target, counts } = openDryTarget(path, {
      posix: this.#tools.posix,
      overwrite,
      delete: deletes,
      isAsked: (place, isFolder) => this.#selection.asksFor(place, isFolder),
      onAction: (action, path) => this.#tools.tell({ kind: "rehearsed", action, path }),
    });
    try {
      await restoreTree(this.#group.reader, tree, target, this.#options());
    } finally {
      target.close();
    }
    return counts;
  }

  async #restore(tree: string): Promise<RestoreCounts> {
    const { target: path, overwrite, sparse, delete: deletes } = this.#request;
    const { posix, tell } = this.#tools;
    makeTarget(posix, path);
    const real = openRestoreTarget(path, {
      posix,
      overwrite,
      sparse,
      delete: deletes,
      temporaries: temporariesOf(this.#start.process),
      isAsked: (place, isFolder) => this.#selection.asksFor(place, isFolder),
      onDelete: () => this.#deleted++,
      onProblem: (place, error) =>
        tell({ kind: "metadata", path: place, error: toWireError(error) }),
    });
    try {
      const target: TargetFolder<readonly string[]> = this.#selection.isSparse
        ? lazyTarget(real, (place) => this.#selection.asksFor(place, true))
        : real;
      return await restoreTree(this.#group.reader, tree, target, this.#options());
    } finally {
      real.close();
    }
  }

  async #verify(tree: string): Promise<number> {
    const { target, overwrite } = this.#request;
    const { posix, tell, signal } = this.#tools;
    tell({ kind: "verifying" });
    return await verifyRestored({
      posix,
      reader: this.#group.reader,
      tree,
      target,
      selection: this.#selection,
      overwrite,
      onFailure: (path, error) => tell({ kind: "failed", path, error: toWireError(error) }),
      signal,
    });
  }

  #options() {
    const { tell, signal } = this.#tools;
    return {
      select: (path: ByteString, type: string): boolean => {
        const isWanted = this.#selection.looksAt(path, type === "dir");
        if (isWanted && type === "file") this.#begin(path);
        return isWanted;
      },
      onFailure: (path: string, error: BackupError) =>
        tell({ kind: "failed", path, error: toWireError(error) }),
      onFile: (_: ByteString, sizeBytes: number) => void (this.#progress[1]! += sizeBytes),
      signal,
    };
  }

  #begin(path: ByteString): void {
    this.#progress[0]!++;
    const nowMs = this.#tools.clock.monotonicMs();
    if (nowMs - this.#toldAtMs < TELL_EVERY_MS) return;
    this.#toldAtMs = nowMs;
    this.#tools.tell({ kind: "at", path });
  }
}
