/**
 * What a coordinator asks an agent to do and what it gets back. Rule: one variant on `op`; an agent that does not
 * know an op rejects the task, it never guesses.
 */
import * as v from "valibot";
import { DestinationSpec, FileFailure, KeyNames, MirrorOptions, SourceSpec } from "./job.ts";
import { LaneReport, WireError } from "./lane_report.ts";
import { ScanCounters } from "./progress.ts";

export {
  LaneHistory,
  LanePlan,
  LaneReport,
  RecordedOnly,
  SnapshotReport,
  VerificationKind,
  WireError,
} from "./lane_report.ts";

const id = v.pipe(v.string(), v.minLength(1), v.maxLength(200));
const count = v.pipe(v.number(), v.minValue(0));

/**
 * Opens and locks the destinations of a run and compares them with each other and with the sources, before anything
 * is written. Run once, first. The lock is held until `finish` of that destination or `release`.
 */
export const PrepareTask = v.object({
  op: v.literal("prepare"),
  runId: id,
  /**
   * Grows each time the run is prepared anew, after a crash of its coordinator or the loss of the agent that prepared
   * it. From the second on, what an earlier one of the same run has published stays and is adopted. Absent: 1.
   */
  runEpoch: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  sources: v.array(SourceSpec),
  destinations: v.array(DestinationSpec),
  /** By key, the ids that the run has found at an earlier home: elsewhere the same path may be another disk. */
  expectedIds: v.exactOptional(v.record(v.string(), id)),
  /**
   * By key, what the coordinator knows of the path: the id that was found there on this host last, or null where only
   * other hosts have a destination under it. Nothing is made new where something is known, unless it is said to be new.
   */
  knownIds: v.exactOptional(v.record(v.string(), v.nullable(id))),
  options: MirrorOptions,
});

/**
 * Makes a further agent part of a run that another has prepared: it opens the destinations beside that agent and
 * shares the run's lock. Once per agent and run, before its first `mirror`; a second time changes nothing.
 */
export const JoinTask = v.object({
  op: v.literal("join"),
  runId: id,
  runEpoch: v.pipe(v.number(), v.integer(), v.minValue(1)),
  sources: v.array(SourceSpec),
  /** Those that take part, with the id each marker must have: elsewhere the same path may be another disk. */
  destinations: v.array(v.object({ spec: DestinationSpec, destinationId: id })),
  options: MirrorOptions,
});

/**
 * A stretch of one source in walk order, from `from` up to and not including `to`; absent means the source's begin or
 * end. The parts of a source cover it without gap or overlap, whatever appears in it later. `from` and `to` are raw
 * path bytes below the source, in base64; only agents look into them.
 */
export const PartSpec = v.object({
  /** Unique within the source and run, and a plain name: stage folder and list of the part are named for it. */
  key: v.pipe(v.string(), v.regex(/^p[0-9]{1,6}$/)),
  from: v.exactOptional(v.string()),
  to: v.exactOptional(v.string()),
  /** For people: the directories it is about, such as `photos/2024 … photos/2026`. */
  label: v.string(),
});
export type PartSpec = v.InferOutput<typeof PartSpec>;

/** Walks one source and keeps the list for a `mirror` task of the whole source on the same agent. */
export const ScanTask = v.object({
  op: v.literal("scan"),
  runId: id,
  source: SourceSpec,
  options: MirrorOptions,
  /** Says in the result how the source could be divided among agents, in at most so many parts. */
  partsMax: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10_000))),
});

/**
 * Copies one source, or a part of it, to prepared or joined destinations of the run and verifies it there. An agent
 * that has not scanned the source walks it first.
 */
export const MirrorTask = v.object({
  op: v.literal("mirror"),
  runId: id,
  taskId: id,
  epoch: v.pipe(v.number(), v.integer(), v.minValue(1)),
  source: SourceSpec,
  /** Absent: the whole source. */
  part: v.exactOptional(PartSpec),
  /** Keys of prepared destinations that accepted this run. */
  destinations: v.array(v.string()),
  options: MirrorOptions,
  /** The agent stops the attempt when so long has passed without its lease being renewed. Absent: no lease. */
  leaseMs: v.exactOptional(v.pipe(v.number(), v.minValue(1))),
});

/**
 * Closes one destination after all its tasks, at the agent that prepared it: the lists of parts become one, times of
 * folders, SHA256SUMS, marker, lock. Sent also when tasks failed there.
 */
export const FinishTask = v.object({
  op: v.literal("finish"),
  runId: id,
  destination: v.string(),
});

/** Ends the work of a run at one destination, on one agent; the others go on. Idempotent. */
export const DropTask = v.object({
  op: v.literal("drop"),
  runId: id,
  destination: v.string(),
  /** All of the run is at its end there; otherwise what works there is cancelled first. Either way it is given back. */
  isDone: v.exactOptional(v.boolean()),
});

/** Brings back what is stored at destinations, on the agent's machine. Its progress is in `restore`. */
export const RestoreTask = v.object({
  op: v.literal("restore"),
  /** Of the restore; it has no run. */
  runId: id,
  /** Later ones give what is damaged or missing at those before. Folders of copies, or `restic:PATH` each. */
  destinations: v.pipe(v.array(v.string()), v.minLength(1)),
  target: v.string(),
  /** Copies, or what is in them; none: everything. Of repositories: a snapshot's id and what is in it; none: the newest. */
  paths: v.array(v.string()),
  overwrite: v.boolean(),
  keys: v.exactOptional(KeyNames),
});
export type RestoreTask = v.InferOutput<typeof RestoreTask>;

/** The agent begins no further file of a run until it is told otherwise; files in hand are copied to their end. Idempotent. */
export const PauseTask = v.object({ op: v.literal("pause"), runId: id, isPaused: v.boolean() });

/** Gives back everything the agent still holds for a run: locks, threads, scans. Idempotent. */
export const ReleaseTask = v.object({ op: v.literal("release"), runId: id });

export const TaskSpec = v.variant("op", [
  PrepareTask,
  JoinTask,
  ScanTask,
  MirrorTask,
  FinishTask,
  DropTask,
  PauseTask,
  ReleaseTask,
  RestoreTask,
]);
export type TaskSpec = v.InferOutput<typeof TaskSpec>;
export type PrepareTask = v.InferOutput<typeof PrepareTask>;
export type JoinTask = v.InferOutput<typeof JoinTask>;
export type ScanTask = v.InferOutput<typeof ScanTask>;
export type MirrorTask = v.InferOutput<typeof MirrorTask>;
export type FinishTask = v.InferOutput<typeof FinishTask>;
export type DropTask = v.InferOutput<typeof DropTask>;

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

export const PrepareResult = v.object({
  op: v.literal("prepare"),
  destinations: v.array(PreparedDestination),
});
export const JoinResult = v.object({
  op: v.literal("join"),
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
  /** With `partsMax`: how to divide it, in walk order; one part when it is small or cannot be divided. */
  parts: v.exactOptional(v.array(v.object({ part: PartSpec, counters: ScanCounters }))),
});
export const MirrorResult = v.object({
  op: v.literal("mirror"),
  lanes: v.array(LaneReport),
  /** Source files that could not be read, or changed under every attempt; the same for all destinations. */
  unreadable: v.array(FileFailure),
  unreadableCount: count,
  /**
   * When the agent listed the source, or its part, for this task: what it found, and what it could not list. A scan that
   * another agent made may have named some of it already, by the same paths.
   */
  walked: v.exactOptional(v.object({
    counters: ScanCounters,
    unreadable: v.array(FileFailure),
  })),
});
export const FinishResult = v.object({
  op: v.literal("finish"),
  error: v.exactOptional(WireError),
});
export const DropResult = v.object({ op: v.literal("drop") });
export const PauseResult = v.object({ op: v.literal("pause") });
export const RestoreResult = v.object({
  op: v.literal("restore"),
  files: count,
  bytes: count,
  /** What stood there already as it is recorded. */
  alreadyThere: count,
  /** By name, the first 1,000; `failureCount` counts all. */
  failures: v.array(FileFailure),
  failureCount: count,
  /** Not replaced, as `overwrite` was not asked for. */
  kept: count,
  warnings: v.array(v.string()),
});
export type RestoreResult = v.InferOutput<typeof RestoreResult>;
export const ReleaseResult = v.object({ op: v.literal("release") });

export const TaskResult = v.variant("op", [
  PrepareResult,
  JoinResult,
  ScanResult,
  MirrorResult,
  FinishResult,
  DropResult,
  PauseResult,
  ReleaseResult,
  RestoreResult,
]);
export type TaskResult = v.InferOutput<typeof TaskResult>;
export type PrepareResult = v.InferOutput<typeof PrepareResult>;
export type JoinResult = v.InferOutput<typeof JoinResult>;
export type ScanResult = v.InferOutput<typeof ScanResult>;
export type MirrorResult = v.InferOutput<typeof MirrorResult>;
export type FinishResult = v.InferOutput<typeof FinishResult>;
export type ResultOf<T extends TaskSpec> = Extract<TaskResult, { op: T["op"] }>;
