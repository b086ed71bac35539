/**
 * The thread that writes what is restored from repositories. Rule: it alone touches the target, and never a repository, so that it
 * can be told which of them hangs; blobs come from the loader.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import type { WireError } from "../../protocol/mesh/task.ts";
import { toWireError } from "../../protocol/mesh/task_mapping.ts";
import { confine } from "../platform/confined_posix.ts";
import type { Posix } from "../platform/posix.ts";
import type { ProcessFacts } from "../platform/process_identity.ts";
import {
  BlobIndex,
  type BlobSource,
  type ByteString,
  type RestoreCounts,
  restoreTree,
  type SharedIndex,
  showBytes,
  type TargetFolder,
} from "../repository/mod.ts";
import { openRestoreTarget, type Overwrite, temporariesOf } from "../strategies/snapshot/mod.ts";
import { countingPosix } from "../threads/counting_posix.ts";
import type { Ask, Methods, ThreadCells } from "../threads/thread_rpc.ts";
import { type DryCounts, openDryTarget } from "./dry_target.ts";
import { lazyTarget } from "./lazy_target.ts";
import { makeTarget } from "./make_target.ts";
import { BlobsAhead } from "./restore_ahead.ts";
import { RestoreMemory, type SharedRestoreMemory } from "./restore_memory.ts";
import { Selection, type SelectionOptions } from "./selection.ts";
import { treeOfFolder } from "./snapshot_choice.ts";
import { verifyRestored } from "./verify_restored.ts";
import { walkSnapshot } from "./walk_snapshot.ts";

export interface RestoreThreadStart {
  /** Where the target may lie; empty: anywhere. */
  roots: readonly string[];
  /** Whose restore it is; its name is in what it is writing. */
  process: ProcessFacts;
  /** What the loader has opened, and where it puts what it loads. */
  index: SharedIndex;
  memory: SharedRestoreMemory;
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
  | { kind: "verifying" }
  /** Told now and then while nothing moves: who is waited for, and how long by now. */
  | { kind: "waiting"; place: string; forMs: number };

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
  const posix = countingPosix(confine(raw, start.roots), cells, () => {
    look();
    if (Atomics.load(cells.fenced, 0) !== 0) throw new BackupError("cancelled", "Given up");
  });
  // Waiting for the loader is no standing still: that is watched too.
  const stopTicking = clock.every(TICK_MS, () => {
    Atomics.add(cells.operations, 0, 1);
    look();
  });
  const tell = (event: RestoreEvent): void => void ask("tell", event).catch(() => {});
  const { signal } = cancel;
  const blobs = new BlobsAhead(
    new RestoreMemory(start.memory),
    BlobIndex.of(start.index),
    (request) => ask<Uint8Array>("load", request),
    signal,
  );
  const tools: Tools = { posix, clock, blobs, tell, signal };
  return {
    restore: (request: RestoreRequest) => new TreeRestore(tools, start, request).run(),
    close: () => stopTicking(),
  };
}

interface Tools {
  posix: Posix;
  clock: Clock;
  blobs: BlobSource;
  tell(event: RestoreEvent): void;
  signal: AbortSignal;
}

class TreeRestore {
  readonly #tools: Tools;
  readonly #start: RestoreThreadStart;
  readonly #request: RestoreRequest;
  readonly #selection: Selection;
  readonly #progress: Float64Array;
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #deleted = 0;

  constructor(tools: Tools, start: RestoreThreadStart, request: RestoreRequest) {
    this.#tools = tools;
    this.#start = start;
    this.#request = request;
    this.#selection = new Selection(request.selection);
    this.#progress = new Float64Array(request.progress);
  }

  async run(): Promise<RestoreDone> {
    const { tree: whole, folder, counts, dryRun, verify } = this.#request;
    const tree = await treeOfFolder(this.#tools.blobs, whole, folder);
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
    const walk = walkSnapshot(this.#tools.blobs, tree, {
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
    const walk = walkSnapshot(this.#tools.blobs, tree, {
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
      // No content is wanted.
      const { blobs } = this.#tools;
      const trees: BlobSource = {
        sizeOf: (type, id) => blobs.sizeOf(type, id),
        load: (type, id, room) => blobs.load(type, id, room),
      };
      await restoreTree(trees, tree, target, this.#options());
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
      return await restoreTree(this.#tools.blobs, tree, target, this.#options());
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
      reader: this.#tools.blobs,
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
      select: (path: ByteString, type: string): boolean =>
        this.#selection.looksAt(path, type === "dir"),
      onBegin: (path: ByteString) => this.#begin(path),
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
