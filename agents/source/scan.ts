/** A walk as a thread runs it: counters shared while it goes on, the table shared when it ends. */
import type { ScanCounters } from "../../protocol/mesh/progress.ts";
import type { ExcludedByRule } from "../../protocol/mesh/task.ts";
import type { FileFailure } from "../../protocol/mesh/job.ts";
import type { Posix } from "../platform/posix.ts";
import type { ThreadCells } from "../threads/thread_rpc.ts";
import type { EntryTableShare } from "./entry_table.ts";
import type { Stretch } from "./stretch.ts";
import { walk, walkCancelled, type WalkOptions } from "./walk.ts";

export interface ScanRequest {
  path: string;
  name: string;
  options: WalkOptions;
  /** Six numbers in the order of `scanCountersOf`. */
  counters: SharedArrayBuffer;
  /** Only this part of the source; see `walk`. */
  stretch?: Stretch | undefined;
  /** One number that ends this walk, and nothing else of its thread, when it is set. */
  stop?: SharedArrayBuffer;
}

export interface Scanned {
  table: EntryTableShare;
  counters: ScanCounters;
  excluded: ExcludedByRule[];
  unreadable: FileFailure[];
  warnings: string[];
}

export const SCAN_COUNTERS_BYTES = 48;

export function scanSource(posix: Posix, request: ScanRequest, cells: ThreadCells): Scanned {
  const shared = new Float64Array(request.counters);
  const stop = request.stop === undefined ? undefined : new Int32Array(request.stop);
  const onProgress = (counters: ScanCounters) => {
    Atomics.add(cells.operations, 0, 1);
    const isStopped = stop !== undefined && Atomics.load(stop, 0) !== 0;
    if (isStopped || Atomics.load(cells.cancelled, 0) !== 0) throw walkCancelled();
    shared[0] = counters.files;
    shared[1] = counters.directories;
    shared[2] = counters.others;
    shared[3] = counters.bytes;
    shared[4] = counters.unreadable;
    shared[5] = counters.excluded;
  };
  const { path, name, options, stretch } = request;
  const result = walk(posix, path, name, options, onProgress, stretch);
  return {
    table: result.table.freeze(),
    counters: result.counters,
    excluded: result.excluded,
    unreadable: result.unreadable,
    warnings: result.warnings,
  };
}

export function scanCountersOf(shared: SharedArrayBuffer): ScanCounters {
  const c = new Float64Array(shared);
  return {
    files: c[0]!,
    directories: c[1]!,
    others: c[2]!,
    bytes: c[3]!,
    unreadable: c[4]!,
    excluded: c[5]!,
  };
}
