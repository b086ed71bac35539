/**
 * What a coordinator asks an agent to do and what it gets back. Rule: one variant on `op`; an agent that does not
 * know an op rejects the task, it never guesses.
 */
import * as v from "valibot";
import { DestinationSpec, FileFailure, MirrorOptions, SourceSpec } from "./job.ts";
import { ScanCounters } from "./progress.ts";

const id = v.pipe(v.string(), v.minLength(1), v.maxLength(200));
const count = v.pipe(v.number(), v.minValue(0));

/**
 * Opens and locks the destinations of a run and compares them with each other and with the sources, before anything
 * is written. Run once, first. The lock is held until `finish` of that destination or `release`.
 */
export const PrepareTask = v.object({
  op: v.literal("prepare"),
  runId: id,
  sources: v.array(SourceSpec),
  destinations: v.array(DestinationSpec),
  options: MirrorOptions,
});

/** Walks one source and keeps the list for the `mirror` task of the same source. */
export const ScanTask = v.object({
  op: v.literal("scan"),
  runId: id,
  source: SourceSpec,
  options: MirrorOptions,
});

/** Copies one source to every prepared destination of the run and verifies it there. */
export const MirrorTask = v.object({
  op: v.literal("mirror"),
  runId: id,
  taskId: id,
  epoch: v.pipe(v.number(), v.integer(), v.minValue(1)),
  source: SourceSpec,
  /** Keys of prepared destinations that accepted this run. */
  destinations: v.array(v.string()),
  options: MirrorOptions,
});

/** Closes one destination after all its tasks: SHA256SUMS, marker, lock. Sent also when tasks failed there. */
export const FinishTask = v.object({
  op: v.literal("finish"),
  runId: id,
  destination: v.string(),
});

/** Gives back everything the agent still holds for a run: locks, threads, scans. Idempotent. */
export const ReleaseTask = v.object({ op: v.literal("release"), runId: id });

export const TaskSpec = v.variant("op", [
  PrepareTask,
  ScanTask,
  MirrorTask,
  FinishTask,
  ReleaseTask,
]);
export type TaskSpec = v.InferOutput<typeof TaskSpec>;
export type PrepareTask = v.InferOutput<typeof PrepareTask>;
export type ScanTask = v.InferOutput<typeof ScanTask>;
export type MirrorTask = v.InferOutput<typeof MirrorTask>;
export type FinishTask = v.InferOutput<typeof FinishTask>;

/** An expected failure as it travels. */
export const WireError = v.object({
  code: v.string(),
  message: v.string(),
  path: v.exactOptional(v.string()),
  hint: v.exactOptional(v.string()),
  retry: v.picklist(["no", "later", "elsewhere"]),
});
export type WireError = v.InferOutput<typeof WireError>;

export const PreparedDestination = v.object({
  destination: v.string(),
  /** Set when this destination cannot take part; the others go on. */
  error: v.exactOptional(WireError),
  destinationId: v.exactOptional(v.string()),
  freeBytes: v.exactOptional(count),
  warnings: v.array(v.string()),
});
export type PreparedDestination = v.InferOutput<typeof PreparedDestination>;

export const ExcludedByRule = v.object({
  rule: v.string(),
  files: count,
  directories: count,
  bytes: count,
});
export type ExcludedByRule = v.InferOutput<typeof ExcludedByRule>;

/** The plan of one destination under `--dry-run`. */
export const LanePlan = v.object({
  filesToCopy: count,
  bytesToCopy: count,
  filesUnchanged: count,
  filesGone: count,
  /** With `--delete`: what would be removed there, and the first names. */
  filesToDelete: v.exactOptional(count),
  entriesToDelete: v.exactOptional(count),
  deletionNames: v.exactOptional(v.array(v.string())),
});

export const VerificationKind = v.picklist(["disk", "cache", "mixed", "none"]);
export type VerificationKind = v.InferOutput<typeof VerificationKind>;

/** Entries that a destination cannot hold: only its manifest has them, and a restore makes them. */
export const RecordedOnly = v.object({ symlinks: count, fifos: count, devices: count });
export type RecordedOnly = v.InferOutput<typeof RecordedOnly>;
export type LanePlan = v.InferOutput<typeof LanePlan>;

/** What a run did to the past of one source at one destination. */
export const LaneHistory = v.object({
  /** Files, links and the like that were removed from the copy, and folders. */
  entriesDeleted: count,
  foldersDeleted: count,
  /** Earlier versions that were added and, being more than `keepVersions`, removed. */
  versionsKept: count,
  versionsRemoved: count,
  /** Why `--delete` deleted nothing and wants to be told again; everything else is as its numbers say. */
  refused: v.exactOptional(v.string()),
});
export type LaneHistory = v.InferOutput<typeof LaneHistory>;

/** How one source ended at one destination. `verified` only when every file of it is, with zero failures. */
export const LaneReport = v.object({
  destination: v.string(),
  state: v.picklist(["verified", "failed", "cancelled", "planned"]),
  error: v.exactOptional(WireError),
  filesTotal: count,
  filesCopied: count,
  bytesCopied: count,
  filesUnchanged: count,
  filesVerified: count,
  bytesVerified: count,
  /** Whether read-back came from the disk, proven, or may have come from the page cache. */
  verification: VerificationKind,
  /** When the least recently verified current file was last verified; absent when there is none. */
  oldestVerifiedAtMs: v.exactOptional(count),
  /** By name, each once, at its last attempt; the first 10,000, `failureCount` counts all. */
  failures: v.array(FileFailure),
  failureCount: count,
  /** Files whose first read-back differed and that were written again successfully. */
  rewritten: v.array(v.string()),
  /** Absent when everything stands there. */
  recordedOnly: v.exactOptional(RecordedOnly),
  warnings: v.array(v.string()),
  plan: v.exactOptional(LanePlan),
  /** Present when the run deletes or keeps versions. */
  history: v.exactOptional(LaneHistory),
});
export type LaneReport = v.InferOutput<typeof LaneReport>;

export const PrepareResult = v.object({
  op: v.literal("prepare"),
  destinations: v.array(PreparedDestination),
});
export const ScanResult = v.object({
  op: v.literal("scan"),
  counters: ScanCounters,
  excluded: v.array(ExcludedByRule),
  /** What could not be read, by name; at most 10,000, `counters.unreadable` counts all. */
  unreadable: v.array(FileFailure),
  /** Things to know that lose nothing, such as an ignore rule that can never match. */
  warnings: v.array(v.string()),
});
export const MirrorResult = v.object({
  op: v.literal("mirror"),
  lanes: v.array(LaneReport),
  /** Source files that could not be read, or changed under every attempt; the same for all destinations. */
  unreadable: v.array(FileFailure),
  unreadableCount: count,
});
export const FinishResult = v.object({
  op: v.literal("finish"),
  error: v.exactOptional(WireError),
});
export const ReleaseResult = v.object({ op: v.literal("release") });

export const TaskResult = v.variant("op", [
  PrepareResult,
  ScanResult,
  MirrorResult,
  FinishResult,
  ReleaseResult,
]);
export type TaskResult = v.InferOutput<typeof TaskResult>;
export type PrepareResult = v.InferOutput<typeof PrepareResult>;
export type ScanResult = v.InferOutput<typeof ScanResult>;
export type MirrorResult = v.InferOutput<typeof MirrorResult>;
export type FinishResult = v.InferOutput<typeof FinishResult>;
export type ResultOf<T extends TaskSpec> = Extract<TaskResult, { op: T["op"] }>;
