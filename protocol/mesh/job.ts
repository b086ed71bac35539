/**
 * What a person asks for (`JobSpec`) and what one execution of it is (`run`, `task`). Rule: a state changes only
 * through `moveRun` or `moveTask`, over the one table each.
 */
import * as v from "valibot";

const nonEmpty = v.pipe(v.string(), v.minLength(1));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** How files are stored, when not as they are: compressed by zstd, encrypted by age. */
export const Encoding = v.object({
  codec: v.picklist(["zst", "age", "zst.age"]),
  /** Public keys, `age1…`, of everyone who may read the copies, beside whoever has the passphrase. */
  recipients: v.array(nonEmpty),
});
export type Encoding = v.InferOutput<typeof Encoding>;

/** A secret that the agent knows by this name from its own configuration. */
const secretName = v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,63}$/));

/** What opens encrypted copies and lists. Names only: an agent that does not know one refuses the task. */
export const KeyNames = v.object({
  /** Wraps the identity of each destination, to which files are encrypted too. */
  passphrase: v.exactOptional(secretName),
  /** Files of secret keys. */
  identities: v.exactOptional(v.array(secretName)),
  /** Opens all repositories of the job that have none of their own. */
  repositoryPassword: v.exactOptional(secretName),
  /** The beginning of the id of the key to try it on first; no secret. */
  repositoryKeyHint: v.exactOptional(nonEmpty),
  /** Of single repositories, and wins over what is for all. */
  repositories: v.exactOptional(v.array(v.object({
    /** `restic:PATH`, absolute. */
    repository: v.pipe(v.string(), v.startsWith("restic:/")),
    password: v.exactOptional(secretName),
    keyHint: v.exactOptional(nonEmpty),
  }))),
});
export type KeyNames = v.InferOutput<typeof KeyNames>;

/**
 * One directory to keep copies of. `path` is absolute on the host that owns it, or relative to the agent's root with
 * the label `root`; `name` is its top name at a destination.
 */
export const SourceSpec = v.object({
  path: nonEmpty,
  name: v.pipe(nonEmpty, v.check((n) => !n.includes("/") && n !== "." && n !== "..")),
  /** The host whose directory it is; absent in a run that never leaves one process. */
  hostId: v.exactOptional(nonEmpty),
  /** The label of a root of an agent, on whatever host it is; wins over `hostId`. */
  root: v.exactOptional(nonEmpty),
  /** Capability ids beyond those of the whole job, e.g. `backup.sequential`: one agent, one file at a time. */
  requires: v.exactOptional(v.array(nonEmpty)),
  /** Names of sources of the same job that must have ended, well or not, before this one starts. */
  after: v.exactOptional(v.array(nonEmpty)),
  /** Instead of the job's encoding, for this source alone. */
  encoding: v.exactOptional(Encoding),
});
export type SourceSpec = v.InferOutput<typeof SourceSpec>;

/** A folder of plain copies, or a repository in restic's format. */
export const DestinationKind = v.picklist(["local", "restic"]);
export type DestinationKind = v.InferOutput<typeof DestinationKind>;

/**
 * One place for copies. `key` is how people see and name it everywhere (the path as they typed it); `path` is
 * absolute. `isNew` is `--init`: accept that the marker this user knew is gone.
 */
export const DestinationSpec = v.object({
  key: nonEmpty,
  kind: DestinationKind,
  path: nonEmpty,
  /** Cap on bytes written plus bytes read back per second. */
  limitBytesPerSecond: v.exactOptional(v.pipe(v.number(), v.minValue(1))),
  isNew: v.boolean(),
});
export type DestinationSpec = v.InferOutput<typeof DestinationSpec>;

/** File task priorities; the numbers are part of the score. */
export const PRIORITY_LEVELS = { low: 0, normal: 1, high: 2, critical: 3 } as const;
export const PriorityLevel = v.picklist(["low", "normal", "high", "critical"]);
export type PriorityLevel = v.InferOutput<typeof PriorityLevel>;

/** One exclude line with where it came from (`--exclude`, or the file and line number), for the report. */
export const ExcludeRule = v.object({ pattern: nonEmpty, origin: nonEmpty });
export type ExcludeRule = v.InferOutput<typeof ExcludeRule>;

/** What snapshots in repositories are given. */
export const SnapshotOptions = v.object({
  compression: v.picklist(["auto", "off", "max"]),
  tags: v.array(nonEmpty),
  /** Noted instead of the name of the machine. */
  host: v.exactOptional(nonEmpty),
  /** Noted instead of the time of the backup. */
  timeMs: v.exactOptional(v.pipe(v.number(), v.integer())),
});
export type SnapshotOptions = v.InferOutput<typeof SnapshotOptions>;

export const MirrorOptions = v.object({
  verify: v.picklist(["new", "all"]),
  /** An ASC MHL generation is added to each copy that is verified as a whole. */
  mhl: v.exactOptional(v.boolean()),
  order: v.picklist(["priority", "fifo"]),
  /** gitignore-style patterns; the last one that matches a path gives its level, otherwise normal. */
  priorities: v.array(v.object({ pattern: nonEmpty, level: PriorityLevel })),
  excludes: v.array(ExcludeRule),
  /** Honour `.backupignore` files found in the source. */
  ignoreFiles: v.boolean(),
  excludeCaches: v.boolean(),
  oneFileSystem: v.boolean(),
  encoding: v.exactOptional(Encoding),
  keys: v.exactOptional(KeyNames),
  /** Present when a destination is a repository. */
  repository: v.exactOptional(SnapshotOptions),
  /** Files that are encrypted for other recipients are stored again. Absent: no. */
  reencrypt: v.exactOptional(v.boolean()),
  dryRun: v.boolean(),
  /** Remove from a destination, after its verification, what the source does not have any more. Absent: no. */
  deleteGone: v.exactOptional(v.boolean()),
  /** … even from an empty source, or more than half of what is recorded. */
  deleteAnyway: v.exactOptional(v.boolean()),
  /** Earlier versions of a file that are kept; 0 or absent: none are added, and those there are stay. */
  keepVersions: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(10_000))),
  /** Attempts in all for one file on one destination, 1–10. */
  attemptsMax: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10)),
  /** Threads serving one destination, 1–8. */
  workersMin: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(8)),
  workersMax: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(8)),
  /** A disk operation that takes longer than this is given up and its thread abandoned. */
  operationTimeoutMs: v.pipe(v.number(), v.minValue(100)),
  /** How long to wait for a destination that another run is using; 0 = fail at once. */
  waitMs: v.pipe(v.number(), v.minValue(0)),
  /** Shared byte budget for data between source and destinations. */
  bufferBytes: v.pipe(v.number(), v.integer(), v.minValue(16 << 20)),
});
export type MirrorOptions = v.InferOutput<typeof MirrorOptions>;

export const JobSpec = v.object({
  sources: v.pipe(v.array(SourceSpec), v.minLength(1)),
  destinations: v.pipe(v.array(DestinationSpec), v.minLength(1)),
  strategy: v.literal("mirror"),
  options: MirrorOptions,
  requiredCapabilities: v.array(v.string()),
});
export type JobSpec = v.InferOutput<typeof JobSpec>;

export const RUN_STATES = [
  "queued",
  "planning",
  "running",
  "completed",
  "partial",
  "failed",
  "cancelled",
] as const;
export const RunState = v.picklist(RUN_STATES);
export type RunState = v.InferOutput<typeof RunState>;

/** The whole machine of a run. A pair not listed here cannot happen. */
export const NEXT_RUN_STATES = {
  queued: ["planning", "failed", "cancelled"],
  planning: ["running", "completed", "failed", "cancelled"],
  running: ["completed", "partial", "failed", "cancelled"],
  completed: [],
  partial: [],
  failed: [],
  cancelled: [],
} as const satisfies Record<RunState, readonly RunState[]>;

export const TASK_STATES = [
  "queued",
  "assigned",
  "running",
  "succeeded",
  "failed",
  "cancelled",
] as const;
export const TaskState = v.picklist(TASK_STATES);
export type TaskState = v.InferOutput<typeof TaskState>;

/** The whole machine of a task. Back to `queued` means: its lease was lost or its attempt failed retryably. */
export const NEXT_TASK_STATES = {
  queued: ["assigned", "failed", "cancelled"],
  assigned: ["running", "queued", "failed", "cancelled"],
  running: ["succeeded", "failed", "queued", "cancelled"],
  succeeded: [],
  failed: [],
  cancelled: [],
} as const satisfies Record<TaskState, readonly TaskState[]>;

/** Checks one step of a run. @throws {RangeError} when the table has no such step. */
export function moveRun(from: RunState, to: RunState): RunState {
  return move(NEXT_RUN_STATES, from, to);
}

/** Checks one step of a task. @throws {RangeError} when the table has no such step. */
export function moveTask(from: TaskState, to: TaskState): TaskState {
  return move(NEXT_TASK_STATES, from, to);
}

function move<S extends string>(table: Record<S, readonly S[]>, from: S, to: S): S {
  if (!table[from].includes(to)) {
    throw new RangeError(`Cannot move from ${from} to ${to}: the table has no such step`);
  }
  return to;
}

/** A file that could not be copied, read or verified. `path` is `name/relative/path` as people read it. */
export const FileFailure = v.object({
  path: v.string(),
  code: v.string(),
  message: v.string(),
  attempts: count,
});
export type FileFailure = v.InferOutput<typeof FileFailure>;
