/**
 * Counters that agents report and the coordinator adds up. Rule: counters only, never percentages; within a phase
 * 0 ≤ done ≤ total and nothing goes back.
 */
import * as v from "valibot";
import { FileFailure } from "./job.ts";
import { LaneReport } from "./lane_report.ts";

/** The phases of one destination, in order. */
export const PHASES = ["analyze", "manifest", "copy", "flush", "verify"] as const;
export const Phase = v.picklist(PHASES);
export type Phase = v.InferOutput<typeof Phase>;

/** Where one lane (a task at one destination) stands: in a phase, or at its end. */
export const LaneState = v.picklist([...PHASES, "verified", "failed", "cancelled"]);
export type LaneState = v.InferOutput<typeof LaneState>;

const count = v.pipe(v.number(), v.minValue(0));

/** What a walk has found so far. */
export const ScanCounters = v.object({
  files: count,
  directories: count,
  others: count,
  bytes: count,
  unreadable: count,
  excluded: count,
});
export type ScanCounters = v.InferOutput<typeof ScanCounters>;

/**
 * One task at one destination. Totals cover every file of the task, changed or not; an unchanged file is done as
 * soon as the manifest says so. The verify totals are what will be read back and are known before verify starts.
 */
export const LaneCounters = v.object({
  filesTotal: count,
  bytesTotal: count,
  filesDone: count,
  bytesDone: count,
  filesUnchanged: count,
  bytesUnchanged: count,
  filesFailed: count,
  verifyFilesTotal: count,
  verifyBytesTotal: count,
  verifyFilesDone: count,
  verifyBytesDone: count,
});
export type LaneCounters = v.InferOutput<typeof LaneCounters>;

/** How a destination is doing right now on one agent; gauges, so never added over time. */
export const LaneGauges = v.object({
  workers: count,
  workersTarget: count,
  bytesPerSecond: count,
  queueDepth: count,
  /** 0 while bytes move; otherwise how long nothing has. */
  stalledForMs: count,
  /** At most 8, cleared when idle. */
  currentFiles: v.array(v.string()),
});
export type LaneGauges = v.InferOutput<typeof LaneGauges>;

/** A file that ended a step since the last word of its lane; the latest of them only. */
export const LaneFile = v.object({
  path: v.string(),
  sizeBytes: count,
  mark: v.picklist(["copied", "verified", "failed"]),
});
export type LaneFile = v.InferOutput<typeof LaneFile>;

export const LaneProgress = v.object({
  destination: v.string(),
  state: LaneState,
  counters: LaneCounters,
  gauges: LaneGauges,
  /** At most 15, the oldest first. */
  recentFiles: v.exactOptional(v.array(LaneFile)),
});
export type LaneProgress = v.InferOutput<typeof LaneProgress>;

/** How far a restore is. */
export const RestoreCounters = v.object({
  filesDone: count,
  filesTotal: count,
  bytesDone: count,
  bytesTotal: count,
});
export type RestoreCounters = v.InferOutput<typeof RestoreCounters>;

/** Files and folders of a source that an attempt could not read: some by name, and how many. */
export const Unreadable = v.object({ named: v.array(FileFailure), count });
export type Unreadable = v.InferOutput<typeof Unreadable>;

/** What a task says while it works: at most 4 a second, and always once at its end. `seq` grows by one. */
export const TaskProgress = v.object({
  seq: count,
  scan: v.exactOptional(ScanCounters),
  restore: v.exactOptional(RestoreCounters),
  lanes: v.array(LaneProgress),
  /** Reports of lanes that are verified while others go on, those that are short; the result has all. */
  verified: v.exactOptional(v.array(LaneReport)),
  /** Goes with `verified`: those lanes do not have it, and the attempt may not live to report it. */
  unreadable: v.exactOptional(Unreadable),
});
export type TaskProgress = v.InferOutput<typeof TaskProgress>;

export const ZERO_SCAN: ScanCounters = {
  files: 0,
  directories: 0,
  others: 0,
  bytes: 0,
  unreadable: 0,
  excluded: 0,
};

export const ZERO_COUNTERS: LaneCounters = {
  filesTotal: 0,
  bytesTotal: 0,
  filesDone: 0,
  bytesDone: 0,
  filesUnchanged: 0,
  bytesUnchanged: 0,
  filesFailed: 0,
  verifyFilesTotal: 0,
  verifyBytesTotal: 0,
  verifyFilesDone: 0,
  verifyBytesDone: 0,
};

export const ZERO_GAUGES: LaneGauges = {
  workers: 0,
  workersTarget: 0,
  bytesPerSecond: 0,
  queueDepth: 0,
  stalledForMs: 0,
  currentFiles: [],
};
