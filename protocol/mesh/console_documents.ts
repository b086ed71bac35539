/**
 * What people keep at a coordinator beside runs: places, profiles, schedules, selections, settings, restores. Rule: each is one
 * document of its kind, stored as its schema has it.
 */
import * as v from "valibot";
import { DestinationSpec, Encoding, KeyNames, MirrorOptions } from "./job.ts";

const nonEmpty = v.pipe(v.string(), v.minLength(1), v.maxLength(4_096));
const label = v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(200));
const id = v.pipe(v.string(), v.minLength(1), v.maxLength(200));
const timeMs = v.number();
const count = v.pipe(v.number(), v.minValue(0));
/** A path from its root on, so that it means one place on one machine. */
export const AbsolutePath = v.pipe(
  nonEmpty,
  v.check((path) => path.startsWith("/") && !path.includes("\0"), "Give an absolute path"),
);

/** A folder, or `restic:` and the path of a repository's, as the commands have it. */
export const PlacePath = v.pipe(
  nonEmpty,
  v.check(
    (path) => path.replace(/^restic:/, "").startsWith("/") && !path.includes("\0"),
    "Give an absolute path, or restic: and one",
  ),
);

/** Where copies go, for a person to choose from. */
export const StoredPlace = v.object({
  placeId: id,
  /** As people name it. */
  label,
  path: PlacePath,
  /** The machine whose path it is. */
  hostId: id,
  limitBytesPerSecond: v.exactOptional(v.pipe(v.number(), v.minValue(1))),
  addedAtMs: timeMs,
});
export type StoredPlace = v.InferOutput<typeof StoredPlace>;

/** A directory that was chosen for copying. */
export const SelectedDirectory = v.object({
  directoryId: id,
  path: AbsolutePath,
  hostId: id,
  /** Name at the destinations, when not the directory's own. */
  name: v.exactOptional(label),
  addedAtMs: timeMs,
});
export type SelectedDirectory = v.InferOutput<typeof SelectedDirectory>;

/** A job as a person asks for it: what is left out is filled in by the coordinator. */
export const JobRequest = v.strictObject({
  /** Absent: what is selected. */
  sources: v.exactOptional(v.pipe(
    v.array(v.strictObject({
      /** Absolute, or below `root`. */
      path: nonEmpty,
      name: v.exactOptional(label),
      hostId: v.exactOptional(id),
      root: v.exactOptional(id),
      requires: v.exactOptional(v.array(nonEmpty)),
      after: v.exactOptional(v.array(nonEmpty)),
    })),
    v.minLength(1),
    v.maxLength(10_000),
  )),
  /** Absent: every place that is known. */
  destinations: v.exactOptional(v.pipe(
    v.array(v.strictObject({
      path: PlacePath,
      /** How it is called everywhere; absent: its label where it is known, else its path. */
      key: v.exactOptional(label),
      limitBytesPerSecond: v.exactOptional(DestinationSpec.entries.limitBytesPerSecond.wrapped),
      /** Take a known destination whose marker is gone as a new one. */
      isNew: v.exactOptional(v.boolean()),
    })),
    v.minLength(1),
    v.maxLength(100),
  )),
  options: v.exactOptional(v.partial(v.strictObject({
    ...v.omit(MirrorOptions, ["encoding", "keys", "dryRun"]).entries,
  }))),
  encoding: v.exactOptional(Encoding),
  keys: v.exactOptional(KeyNames),
  requires: v.exactOptional(v.array(nonEmpty)),
});
export type JobRequest = v.InferOutput<typeof JobRequest>;

/** A job under a name. */
export const Profile = v.object({ name: label, job: JobRequest, changedAtMs: timeMs });
export type Profile = v.InferOutput<typeof Profile>;

export const ScheduleTimes = v.variant("kind", [
  v.object({
    kind: v.literal("cron"),
    /** Five fields, such as `0 3 * * *`. */
    expression: v.pipe(v.string(), v.minLength(1), v.maxLength(200)),
    /** Such as `Europe/Berlin`; absent: the coordinator's own. */
    timeZone: v.exactOptional(v.pipe(v.string(), v.maxLength(100))),
  }),
  v.object({
    kind: v.literal("interval"),
    everyMs: v.pipe(v.number(), v.integer(), v.minValue(60_000), v.maxValue(366 * 86_400_000)),
  }),
]);
export type ScheduleTimes = v.InferOutput<typeof ScheduleTimes>;

const scheduled = {
  name: label,
  times: ScheduleTimes,
  /** Exactly one of the two. */
  profile: v.exactOptional(label),
  job: v.exactOptional(JobRequest),
  isOn: v.boolean(),
  /** A time that was missed, as the machine slept, is made up for once. Otherwise it is left out. */
  catchesUp: v.boolean(),
};

export const NewSchedule = v.strictObject({
  ...scheduled,
  isOn: v.exactOptional(v.boolean()),
  catchesUp: v.exactOptional(v.boolean()),
});
export type NewSchedule = v.InferOutput<typeof NewSchedule>;

export const Schedule = v.object({
  ...scheduled,
  scheduleId: id,
  createdAtMs: timeMs,
  /** Times up to this one have been seen to, one way or the other. */
  seenToMs: timeMs,
  lastRunId: v.nullable(v.string()),
  lastStartedAtMs: v.nullable(timeMs),
  /** Why the last time came to nothing, for people. */
  lastProblem: v.nullable(v.string()),
});
export type Schedule = v.InferOutput<typeof Schedule>;

/** How new jobs are made when nothing else is said. */
export const Settings = v.object({
  /** Over the program's own defaults. */
  options: v.partial(v.object(v.omit(MirrorOptions, ["encoding", "keys", "dryRun"]).entries)),
  /** Where looking for directories begins; null: the home folder of the agent that is asked. */
  discoverFrom: v.nullable(AbsolutePath),
});
export type Settings = v.InferOutput<typeof Settings>;
export const DEFAULT_SETTINGS: Settings = { options: {}, discoverFrom: null };

export const RESTORE_STATES = [
  "running",
  "completed",
  "failed",
  "cancelled",
  /** The coordinator ended in the middle of it, and nobody knows how far it has come. */
  "interrupted",
] as const;

/** One restore, from its start on. */
export const RestoreCard = v.object({
  restoreId: id,
  state: v.picklist(RESTORE_STATES),
  destination: v.string(),
  target: v.string(),
  paths: v.array(v.string()),
  startedAtMs: timeMs,
  /** Of an interrupted one: when that was found. */
  endedAtMs: v.nullable(timeMs),
  filesDone: count,
  filesTotal: count,
  bytesDone: count,
  bytesTotal: count,
  /** Files that could not be restored, the first of them. */
  failures: v.array(v.object({ path: v.string(), message: v.string() })),
  failureCount: count,
  error: v.nullable(v.string()),
});
export type RestoreCard = v.InferOutput<typeof RestoreCard>;

/** The kinds of documents and what each must be. */
export const DOCUMENT_KINDS = {
  place: StoredPlace,
  directory: SelectedDirectory,
  profile: Profile,
  schedule: Schedule,
  settings: Settings,
  restore: RestoreCard,
} as const;
export type DocumentKind = keyof typeof DOCUMENT_KINDS;
export type DocumentOf<K extends DocumentKind> = v.InferOutput<(typeof DOCUMENT_KINDS)[K]>;
