/**
 * What a person sees of a coordinator, as a whole and in changes. Rule: plain keyed facts; a change replaces what is under
 * its key, so a reader needs no knowledge of what happened in between.
 */
import * as v from "valibot";
import { AgentInfo, TaskInfo } from "./methods.ts";
import { RunState } from "./job.ts";
import { Phase } from "./progress.ts";
import { RecentFile, RunProgress } from "./run.ts";
import { RestoreCard, Schedule, StoredPlace } from "./console_documents.ts";

export { RestoreCard };

const count = v.pipe(v.number(), v.minValue(0));
const timeMs = v.number();

/** What the one sentence about a run is made of; `text` is that sentence. */
export const Verdict = v.object({
  text: v.string(),
  verified: count,
  total: count,
  /** Destinations that have not ended, the slowest last. */
  open: v.array(v.object({ destination: v.string(), phase: Phase, percent: count })),
  /** For all that is left, verifying too; null while it cannot be known. */
  leftMs: v.nullable(v.object({ low: count, high: count })),
  tone: v.picklist(["good", "working", "paused", "bad"]),
});
export type Verdict = v.InferOutput<typeof Verdict>;

/** One directory, that is one task, in the past, now or next. */
export const DirectoryCard = v.object({
  taskId: v.string(),
  /** As people read it: the source's path, with the part where it is one. */
  label: v.string(),
  files: count,
  sizeBytes: count,
  /** `sizeBytes` is what the scan found, and the copying may find more or less. */
  isEstimate: v.boolean(),
  startedAtMs: v.nullable(timeMs),
  endedAtMs: v.nullable(timeMs),
  durationMs: v.nullable(count),
  bytesPerSecond: v.nullable(count),
  agentName: v.nullable(v.string()),
});
export type DirectoryCard = v.InferOutput<typeof DirectoryCard>;

/** The standing facts of a run. */
export const RunCard = v.object({
  runId: v.string(),
  state: RunState,
  isPaused: v.boolean(),
  isDryRun: v.boolean(),
  createdAtMs: timeMs,
  endedAtMs: v.nullable(timeMs),
  exitCode: v.nullable(v.number()),
  sources: v.array(v.object({ name: v.string(), path: v.string() })),
  destinations: v.array(v.object({ key: v.string(), path: v.string() })),
  notes: v.array(v.string()),
  tasks: v.object({
    queued: count,
    assigned: count,
    running: count,
    succeeded: count,
    failed: count,
    cancelled: count,
  }),
  failureCount: count,
});
export type RunCard = v.InferOutput<typeof RunCard>;

/** What changes all the time while a run works. */
export const RunLive = v.object({
  verdict: Verdict,
  /** Null before the first word of the run. */
  progress: v.nullable(RunProgress),
  directories: v.object({
    lastCompleted: v.nullable(DirectoryCard),
    now: v.array(DirectoryCard),
    next: v.nullable(DirectoryCard),
  }),
  /** The newest first, at most 15, with where each file is at every destination. */
  recentFiles: v.array(RecentFile),
});
export type RunLive = v.InferOutput<typeof RunLive>;

export const AgentCardView = v.object({
  ...v.omit(AgentInfo, ["heartbeatAgeMs"]).entries,
  /** By the coordinator's clock; changes with every heartbeat. Null: it was never heard. */
  heardAtMs: v.nullable(timeMs),
  /** Set for the coordinator's own agent. */
  isOwn: v.boolean(),
});
export type AgentCardView = v.InferOutput<typeof AgentCardView>;

export const TaskCard = v.object({ ...TaskInfo.entries, runId: v.string() });
export type TaskCard = v.InferOutput<typeof TaskCard>;

export const ScheduleCard = v.object({
  ...Schedule.entries,
  /** Null: it is off, or will never be due. */
  nextAtMs: v.nullable(timeMs),
});
export type ScheduleCard = v.InferOutput<typeof ScheduleCard>;

export const PlaceCard = v.object({
  ...StoredPlace.entries,
  freeBytes: v.nullable(count),
  totalBytes: v.nullable(count),
  /** Since when it is known to be so. */
  lookedAtMs: v.nullable(timeMs),
  /** When a run last ended with every file verified there, and whether the last one did. */
  lastVerifiedAtMs: v.nullable(timeMs),
  lastState: v.nullable(v.string()),
});
export type PlaceCard = v.InferOutput<typeof PlaceCard>;

export const CoordinatorCard = v.object({
  name: v.string(),
  version: v.string(),
  hostId: v.string(),
  startedAtMs: timeMs,
  /** Of the newest run that works, else of the newest one. */
  verdict: v.nullable(Verdict),
  activeRunIds: v.array(v.string()),
});
export type CoordinatorCard = v.InferOutput<typeof CoordinatorCard>;

/** The collections, each by id. */
export const CONSOLE_COLLECTIONS = {
  runs: RunCard,
  live: RunLive,
  agents: AgentCardView,
  tasks: TaskCard,
  places: PlaceCard,
  schedules: ScheduleCard,
  restores: RestoreCard,
} as const;
export type ConsoleCollection = keyof typeof CONSOLE_COLLECTIONS;
export const CONSOLE_COLLECTION_NAMES = Object.keys(CONSOLE_COLLECTIONS) as ConsoleCollection[];

const entries = {
  runs: v.record(v.string(), RunCard),
  live: v.record(v.string(), RunLive),
  agents: v.record(v.string(), AgentCardView),
  tasks: v.record(v.string(), TaskCard),
  places: v.record(v.string(), PlaceCard),
  schedules: v.record(v.string(), ScheduleCard),
  restores: v.record(v.string(), RestoreCard),
};

/** Everything, at one moment. */
export const ConsoleState = v.object({ coordinator: CoordinatorCard, ...entries });
export type ConsoleState = v.InferOutput<typeof ConsoleState>;

/** What to put in place and what to take away. */
export const ConsoleChange = v.object({
  coordinator: v.exactOptional(CoordinatorCard),
  put: v.partial(v.object(entries)),
  /** Ids that are gone, by collection. */
  gone: v.record(v.string(), v.array(v.string())),
});
export type ConsoleChange = v.InferOutput<typeof ConsoleChange>;

/** `seq` grows by one with each event of a stream; a snapshot may come again at any time and stands for all before it. */
export const ConsoleEvent = v.variant("kind", [
  v.object({
    kind: v.literal("snapshot"),
    seq: count,
    atMs: timeMs,
    state: ConsoleState,
  }),
  v.object({
    kind: v.literal("change"),
    seq: count,
    atMs: timeMs,
    change: ConsoleChange,
  }),
]);
export type ConsoleEvent = v.InferOutput<typeof ConsoleEvent>;

/** What everybody may know: no path, no name of a file, no host. */
export const PublicStatus = v.object({
  status: v.literal("ok"),
  version: v.string(),
  atMs: timeMs,
  agents: v.object({ alive: count, total: count }),
  runs: v.array(v.object({
    runId: v.string(),
    state: RunState,
    isPaused: v.boolean(),
    copies: v.object({ verified: count, total: count }),
    percent: count,
    leftMs: v.nullable(v.object({ low: count, high: count })),
  })),
});
export type PublicStatus = v.InferOutput<typeof PublicStatus>;
