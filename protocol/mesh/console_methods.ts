/**
 * What a dashboard asks of its coordinator, beside what every agent and command may ask. Rule: plain questions and wishes;
 * whatever is shown or done in a browser goes through one of these.
 */
import * as v from "valibot";
import { defineMethod, defineStreamMethod } from "../rpc/method.ts";
import {
  AbsolutePath,
  JobRequest,
  NewSchedule,
  PlacePath,
  Profile,
  SelectedDirectory,
  Settings,
  StoredPlace,
} from "./console_documents.ts";
import {
  ConsoleEvent,
  ConsoleState,
  PlaceCard,
  PublicStatus,
  RestoreCard,
  RunCard,
  ScheduleCard,
  TaskCard,
  Verdict,
} from "./console_state.ts";
import { KeyNames } from "./job.ts";
import {
  FileRow,
  InspectPlace,
  ListDirectories,
  ListStored,
  PAGE_MAX,
  ReadStored,
} from "./place_methods.ts";
import { RecentFile } from "./run.ts";

const id = v.pipe(v.string(), v.minLength(1), v.maxLength(200));
const text = v.pipe(v.string(), v.maxLength(10_000));
const count = v.pipe(v.number(), v.minValue(0));
const whole = v.pipe(v.number(), v.integer(), v.minValue(0));
const limit = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(PAGE_MAX));
const nothing = v.object({});
/** An id of a known place, or an absolute path on the coordinator's machine. */
const place = v.pipe(v.string(), v.minLength(1), v.maxLength(4_096));

export const GetConsole = defineMethod({
  name: "mesh.GetConsole",
  params: nothing,
  result: v.object({ atMs: v.number(), state: ConsoleState }),
});

/** A snapshot, then changes, at most four a second and none while nothing happens. */
export const FollowConsole = defineStreamMethod({
  name: "mesh.FollowConsole",
  params: nothing,
  event: ConsoleEvent,
});

export const GetPublicStatus = defineMethod({
  name: "mesh.GetPublicStatus",
  params: nothing,
  result: PublicStatus,
});

// -- runs

/** A run of a job, of a profile, or of what is selected. */
export const StartRun = defineMethod({
  name: "mesh.StartRun",
  params: v.object({
    job: v.exactOptional(JobRequest),
    profile: v.exactOptional(id),
    isDryRun: v.exactOptional(v.boolean()),
    idempotencyKey: v.exactOptional(id),
  }),
  result: v.object({ runId: id }),
});

/** Nothing new is begun, also after a restart; files in hand are copied to their end. `undo` goes on. */
export const PauseRun = defineMethod({
  name: "mesh.PauseRun",
  params: v.object({ runId: id, undo: v.exactOptional(v.boolean()) }),
  result: v.object({ isPaused: v.boolean() }),
});

/** A new run for what an ended one did not get through: its failed destinations, and sources that could not be read. */
export const RetryRun = defineMethod({
  name: "mesh.RetryRun",
  params: v.object({ runId: id }),
  result: v.object({ runId: id }),
});

export const RunFailure = v.object({
  /** Null: the source could not be read. */
  destination: v.nullable(v.string()),
  source: v.string(),
  path: v.string(),
  code: v.string(),
  message: v.string(),
  attempts: count,
});
export type RunFailure = v.InferOutput<typeof RunFailure>;

export const ListRunFailures = defineMethod({
  name: "mesh.ListRunFailures",
  params: v.object({ runId: id, offset: whole, limit }),
  result: v.object({ failures: v.array(RunFailure), total: count }),
});

/** Every file of a run at every destination: live from the agents, afterwards from the lists at the destinations. */
export const ListRunFiles = defineMethod({
  name: "mesh.ListRunFiles",
  params: v.object({ runId: id, offset: whole, limit }),
  result: v.object({
    destinations: v.array(v.string()),
    rows: v.array(FileRow),
    /** How many can be listed now; `offset` counts among these. */
    total: count,
    /** Files of the run beside them: of tasks that nobody has in hand. None once it is over. */
    unlisted: count,
    /** From agents that work on it; otherwise as it is recorded. */
    isLive: v.boolean(),
    /** What is not among the rows, and why. */
    notes: v.array(v.string()),
  }),
});

export const ListTasks = defineMethod({
  name: "mesh.ListTasks",
  params: v.object({ runId: v.exactOptional(id), limit }),
  result: v.object({ tasks: v.array(TaskCard) }),
});

export const HistoryEntry = v.object({ ...RunCard.entries, elapsedMs: count, verdict: Verdict });
export type HistoryEntry = v.InferOutput<typeof HistoryEntry>;

export const GetHistory = defineMethod({
  name: "mesh.GetHistory",
  params: v.object({ limit }),
  result: v.object({
    /** The newest first. */
    runs: v.array(HistoryEntry),
    lastSuccessAtMs: v.nullable(v.number()),
    /** By destination: when everything there was verified last. */
    lastVerifiedAtMs: v.record(v.string(), v.number()),
  }),
});

export const GetRecentFiles = defineMethod({
  name: "mesh.GetRecentFiles",
  params: v.object({ runId: v.exactOptional(id) }),
  result: v.object({ runId: v.nullable(id), files: v.array(RecentFile) }),
});

// -- places and directories

export const ListPlaces = defineMethod({
  name: "mesh.ListPlaces",
  params: nothing,
  result: v.object({ places: v.array(PlaceCard) }),
});

export const AddPlace = defineMethod({
  name: "mesh.AddPlace",
  params: v.strictObject({
    path: PlacePath,
    label: v.exactOptional(StoredPlace.entries.label),
    hostId: v.exactOptional(id),
    limitBytesPerSecond: v.exactOptional(v.pipe(v.number(), v.minValue(1))),
  }),
  result: v.object({ place: PlaceCard }),
});

/** `writes`: tries it, by a small file; otherwise only looks. */
export const TestPlace = defineMethod({
  name: "mesh.TestPlace",
  params: v.object({ place, writes: v.boolean() }),
  result: v.object({ found: InspectPlace.result, agentName: v.string() }),
});

/** Nothing at the place itself is touched. */
export const ForgetPlace = defineMethod({
  name: "mesh.ForgetPlace",
  params: v.object({ placeId: id }),
  result: v.object({ forgotten: v.boolean() }),
});

export const DiscoverDirectories = defineMethod({
  name: "mesh.DiscoverDirectories",
  params: v.object({
    ...ListDirectories.params.entries,
    /** Id of the agent that looks; absent: one of the coordinator's machine. */
    agentId: v.exactOptional(id),
  }),
  result: v.object({
    ...ListDirectories.result.entries,
    agentId: v.string(),
    agentName: v.string(),
    hostId: v.string(),
    selected: v.array(SelectedDirectory),
  }),
});

export const ListSelection = defineMethod({
  name: "mesh.ListSelection",
  params: nothing,
  result: v.object({ directories: v.array(SelectedDirectory) }),
});

/** Again: the same one. */
export const SelectDirectory = defineMethod({
  name: "mesh.SelectDirectory",
  params: v.strictObject({
    path: AbsolutePath,
    hostId: v.exactOptional(id),
    name: v.exactOptional(StoredPlace.entries.label),
  }),
  result: v.object({ directory: SelectedDirectory }),
});

export const DeselectDirectory = defineMethod({
  name: "mesh.DeselectDirectory",
  params: v.object({ directoryId: id }),
  result: v.object({ deselected: v.boolean() }),
});

// -- profiles, schedules, settings

export const ListProfiles = defineMethod({
  name: "mesh.ListProfiles",
  params: nothing,
  result: v.object({ profiles: v.array(Profile) }),
});

export const PutProfile = defineMethod({
  name: "mesh.PutProfile",
  params: v.object({ name: Profile.entries.name, job: JobRequest }),
  result: v.object({ profile: Profile }),
});

export const DropProfile = defineMethod({
  name: "mesh.DropProfile",
  params: v.object({ name: id }),
  result: v.object({ dropped: v.boolean() }),
});

export const ListSchedules = defineMethod({
  name: "mesh.ListSchedules",
  params: nothing,
  result: v.object({ schedules: v.array(ScheduleCard) }),
});

/** A new one, or with an id that one anew. */
export const PutSchedule = defineMethod({
  name: "mesh.PutSchedule",
  params: v.object({ scheduleId: v.exactOptional(id), schedule: NewSchedule }),
  result: v.object({ schedule: ScheduleCard }),
});

export const DropSchedule = defineMethod({
  name: "mesh.DropSchedule",
  params: v.object({ scheduleId: id }),
  result: v.object({ dropped: v.boolean() }),
});

/** Now, whatever its times are. */
export const StartSchedule = defineMethod({
  name: "mesh.StartSchedule",
  params: v.object({ scheduleId: id }),
  result: v.object({ runId: id }),
});

export const GetSettings = defineMethod({
  name: "mesh.GetSettings",
  params: nothing,
  result: v.object({ settings: Settings }),
});

/** What is given replaces what was; the rest stays. */
export const ChangeSettings = defineMethod({
  name: "mesh.ChangeSettings",
  params: v.partial(v.strictObject(Settings.entries)),
  result: v.object({ settings: Settings }),
});

// -- logs and the machine

export const LogLevelName = v.picklist(["debug", "info", "warn", "error"]);

/** The latest lines of the coordinator, the newest last. */
export const TailLog = defineMethod({
  name: "mesh.TailLog",
  params: v.object({
    limit,
    /** This one and worse. */
    level: v.exactOptional(LogLevelName),
    /** In any part of the line, capital or small. */
    contains: v.exactOptional(text),
    runId: v.exactOptional(id),
  }),
  result: v.object({
    lines: v.array(v.looseObject({ time: v.string(), level: LogLevelName, message: v.string() })),
  }),
});

export const ListLogs = defineMethod({
  name: "mesh.ListLogs",
  params: nothing,
  result: v.object({
    logs: v.array(v.object({ name: v.string(), sizeBytes: count, changedAtMs: v.number() })),
  }),
});

/** A log's text in pieces. @throws `not_found` for a name that `ListLogs` does not list */
export const ReadLog = defineMethod({
  name: "mesh.ReadLog",
  params: v.object({ name: text, offset: whole }),
  result: v.object({ base64: v.string(), nextOffset: v.nullable(whole) }),
});

export const GetMachine = defineMethod({
  name: "mesh.GetMachine",
  params: nothing,
  result: v.object({
    hostName: v.string(),
    system: v.string(),
    processors: count,
    /** Of all processors, 0–1, over the last minute. */
    load: count,
    memoryTotalBytes: count,
    memoryFreeBytes: count,
    processMemoryBytes: count,
    uptimeMs: count,
  }),
});

// -- copies

export const BrowseCopies = defineMethod({
  name: "mesh.BrowseCopies",
  params: v.object({ ...v.omit(ListStored.params, ["path"]).entries, place }),
  result: ListStored.result,
});

export const DownloadFile = defineStreamMethod({
  name: "mesh.DownloadFile",
  params: v.object({ ...v.omit(ReadStored.params, ["path"]).entries, place }),
  event: ReadStored.event,
});

export const StartRestore = defineMethod({
  name: "mesh.StartRestore",
  params: v.strictObject({
    place,
    /** A folder of the same machine as the place. */
    target: AbsolutePath,
    /**
     * Each a copy or what is in one; empty: everything. Of a repository each begins with a snapshot's id, as it is listed;
     * empty: all of the newest.
     */
    paths: v.pipe(v.array(text), v.maxLength(10_000)),
    overwrite: v.exactOptional(v.boolean()),
    keys: v.exactOptional(KeyNames),
  }),
  result: v.object({ restore: RestoreCard }),
});

export const ListRestores = defineMethod({
  name: "mesh.ListRestores",
  params: nothing,
  result: v.object({ restores: v.array(RestoreCard) }),
});

export const CancelRestore = defineMethod({
  name: "mesh.CancelRestore",
  params: v.object({ restoreId: id }),
  result: v.object({ restore: RestoreCard }),
});
