/**
 * The methods of our extension: what agents, coordinator and commands ask of each other beside A2A's own. Rule: each
 * may be sent twice; what a second one changes is said at its definition.
 */
import * as v from "valibot";
import { defineMethod, defineStreamMethod } from "../rpc/method.ts";
import { AgentFacts, Load } from "./agent_facts.ts";
import { JobSpec, RunState, SourceSpec, TaskState } from "./job.ts";
import { RunProgress, RunReport } from "./run.ts";
import { PartSpec } from "./task.ts";

const id = v.pipe(v.string(), v.minLength(1), v.maxLength(200));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const epoch = v.pipe(v.number(), v.integer(), v.minValue(1));
const durationMs = v.pipe(v.number(), v.minValue(1));
const text = v.pipe(v.string(), v.maxLength(10_000));

/** Yes, or no with a reason for people. */
export const Acceptance = v.object({ accepted: v.boolean(), reason: v.exactOptional(v.string()) });
export type Acceptance = v.InferOutput<typeof Acceptance>;

/** Agent → coordinator, at its start and whenever a heartbeat is answered with `known: false`. Again: replaces. */
export const RegisterAgent = defineMethod({
  name: "mesh.RegisterAgent",
  params: v.object({
    name: v.pipe(v.string(), v.minLength(1), v.maxLength(200)),
    version: v.pipe(v.string(), v.maxLength(100)),
    /** Where the coordinator reaches it; its card must be served there with the same agent id. */
    url: v.pipe(v.string(), v.url(), v.maxLength(2_000)),
    facts: AgentFacts,
  }),
  result: v.object({ heartbeatMs: durationMs, deadAfterMs: durationMs, leaseMs: durationMs }),
});

export const HeldTask = v.object({ taskId: id, epoch });
export type HeldTask = v.InferOutput<typeof HeldTask>;

/** A run that an agent takes part in, with the run epoch in which it was prepared or joined there. */
export const HeldRun = v.object({ runId: id, runEpoch: epoch });
export type HeldRun = v.InferOutput<typeof HeldRun>;

/** What an agent may use of a run's destinations, beside those who work there too. Whole numbers, so it may come twice. */
export const RunShare = v.object({
  runId: id,
  runEpoch: epoch,
  workersMax: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(8)),
  /** Of destinations that have a limit, by key. */
  limits: v.array(v.object({
    destination: v.string(),
    bytesPerSecond: v.pipe(v.number(), v.minValue(1)),
  })),
});
export type RunShare = v.InferOutput<typeof RunShare>;

/** Agent → coordinator, every `heartbeatMs`. An older `seq` of the same boot changes nothing. */
export const Heartbeat = defineMethod({
  name: "mesh.Heartbeat",
  params: v.object({
    agentId: id,
    bootId: id,
    /** Grows by one with each heartbeat of a boot. */
    seq: count,
    load: Load,
    state: v.picklist(["ready", "draining"]),
    /** The attempts it works on. */
    tasks: v.pipe(v.array(HeldTask), v.maxLength(10_000)),
    /** What it holds locks and threads for. */
    runs: v.exactOptional(v.pipe(v.array(HeldRun), v.maxLength(10_000))),
    /** Bytes written and files verified since its boot, and tasks ended. */
    totals: v.object({ bytes: count, files: count, tasks: count }),
  }),
  result: v.object({
    /** False: the coordinator has never heard of it (or forgot it), so it registers. */
    known: v.boolean(),
    /** Attempts whose lease runs `leaseMs` anew, counted from the moment the heartbeat was sent. */
    renewed: v.array(HeldTask),
    leaseMs: durationMs,
    /** Attempts that are somebody else's by now: stop at once. */
    revoked: v.array(HeldTask),
    /** Runs that have ended, or gone on without it: it gives back what it holds of these epochs. */
    ended: v.exactOptional(v.array(HeldRun)),
    /** Of those that go on, since others come and go. */
    shares: v.exactOptional(v.array(RunShare)),
    /** The coordinator wants it to take nothing more. */
    drain: v.boolean(),
  }),
});

/** Of one job: what is asked of each source is asked often, and every agent has threads for each destination. */
export const SOURCES_MAX = 10_000;
export const DESTINATIONS_MAX = 100;

const SubmittedJob = v.pipe(
  JobSpec,
  v.check((job) => job.sources.length <= SOURCES_MAX, `More than ${SOURCES_MAX} sources`),
  v.check(
    (job) => job.destinations.length <= DESTINATIONS_MAX,
    `More than ${DESTINATIONS_MAX} destinations`,
  ),
);

/** Command → coordinator. The same key again gives the same run. */
export const SubmitJob = defineMethod({
  name: "mesh.SubmitJob",
  params: v.object({ job: SubmittedJob, idempotencyKey: v.exactOptional(id) }),
  result: v.object({ runId: id }),
});

export const TaskInfo = v.object({
  taskId: id,
  source: SourceSpec,
  part: v.exactOptional(PartSpec),
  state: TaskState,
  /** Number of the current or last attempt; 0 before the first. */
  epoch: count,
  /** Id and name of the agent that has it, or had it last. */
  agent: v.nullable(v.string()),
  agentName: v.nullable(v.string()),
  requires: v.array(v.string()),
  files: count,
  sizeBytes: count,
  /** Why it waits or failed, for people. */
  reason: v.nullable(v.string()),
});
export type TaskInfo = v.InferOutput<typeof TaskInfo>;

export const RunInfo = v.object({
  runId: id,
  state: RunState,
  createdAtMs: count,
  endedAtMs: v.nullable(count),
  sources: v.array(SourceSpec),
  /** Keys. */
  destinations: v.array(v.string()),
  /** Set at the end. */
  exitCode: v.nullable(v.number()),
  /** What a person should know, e.g. that the coordinator does the work itself. */
  notes: v.array(v.string()),
});
export type RunInfo = v.InferOutput<typeof RunInfo>;

export const RunDetail = v.object({
  ...RunInfo.entries,
  spec: JobSpec,
  tasks: v.array(TaskInfo),
  /** The latest word while it runs, or the last one. Null when this coordinator has not heard any yet. */
  progress: v.nullable(RunProgress),
  report: v.nullable(RunReport),
});
export type RunDetail = v.InferOutput<typeof RunDetail>;

/** The newest first. */
export const ListRuns = defineMethod({
  name: "mesh.ListRuns",
  params: v.object({
    limit: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1_000))),
  }),
  result: v.object({ runs: v.array(RunInfo) }),
});

/** @throws -32602 with the id when no such run is stored. */
export const GetRun = defineMethod({
  name: "mesh.GetRun",
  params: v.object({ runId: id }),
  result: RunDetail,
});

export const RunEvent = v.variant("kind", [
  /** First, and again whenever the reader was too slow to be told everything. */
  v.object({ kind: v.literal("snapshot"), seq: count, run: RunDetail }),
  v.object({ kind: v.literal("progress"), seq: count, progress: RunProgress }),
  v.object({ kind: v.literal("task"), seq: count, task: TaskInfo }),
  v.object({
    kind: v.literal("destination"),
    seq: count,
    destination: v.string(),
    state: v.picklist(["verified", "failed", "cancelled", "planned"]),
    elapsedMs: v.number(),
  }),
  v.object({ kind: v.literal("note"), seq: count, text: v.string() }),
  /** The last one. `report` is null when the run could not be carried out at all; `error` then says why. */
  v.object({
    kind: v.literal("end"),
    seq: count,
    state: RunState,
    report: v.nullable(RunReport),
    error: v.exactOptional(v.object({
      code: v.string(),
      message: v.string(),
      hint: v.exactOptional(v.string()),
    })),
  }),
]);
export type RunEvent = v.InferOutput<typeof RunEvent>;

/** A snapshot, then what happens, to the run's end. `seq` grows by one; any number of readers may follow. */
export const FollowRun = defineStreamMethod({
  name: "mesh.FollowRun",
  params: v.object({ runId: id }),
  event: RunEvent,
});

/** Ends a run, or one destination of it. A second time, or after the end, changes nothing. */
export const CancelRun = defineMethod({
  name: "mesh.CancelRun",
  params: v.object({ runId: id, destination: v.exactOptional(v.string()) }),
  result: v.object({ state: RunState }),
});

export const AgentInfo = v.object({
  agentId: id,
  name: v.string(),
  url: v.string(),
  version: v.string(),
  hostId: v.string(),
  capabilities: v.array(v.string()),
  roots: v.array(v.string()),
  slots: count,
  load: v.number(),
  /** `foreign`: found, and of another mesh; never used. */
  state: v.picklist(["alive", "suspect", "dead", "draining", "foreign"]),
  heartbeatAgeMs: v.nullable(count),
  tasks: v.array(HeldTask),
  totals: v.object({ bytes: count, files: count, tasks: count }),
  /** Why it is not used, for people. */
  reason: v.exactOptional(v.string()),
});
export type AgentInfo = v.InferOutput<typeof AgentInfo>;

export const ListAgents = defineMethod({
  name: "mesh.ListAgents",
  params: v.object({}),
  result: v.object({ agents: v.array(AgentInfo) }),
});

/** Nothing more for this agent, and what it has goes to others; `undo` takes it back into use. */
export const DrainAgent = defineMethod({
  name: "mesh.DrainAgent",
  params: v.object({ agentId: id, undo: v.exactOptional(v.boolean()) }),
  result: Acceptance,
});

/** Forgets an agent that is dead or drained; one that lives registers again. */
export const RemoveAgent = defineMethod({
  name: "mesh.RemoveAgent",
  params: v.object({ agentId: id }),
  result: Acceptance,
});

/**
 * Gives a task to another agent. Of a coordinator it asks the agent that has the task; of an agent it offers the task
 * to `target_agent` itself and moves the lease when that accepts. The names are those people know the call by.
 */
export const HandoffTask = defineMethod({
  name: "handoff_task",
  params: v.object({
    task_id: id,
    /** Id, or name where that is unique. */
    target_agent: id,
    /** The attempt that is meant; absent: the current one. A late call for an older one changes nothing. */
    epoch: v.exactOptional(epoch),
    task_data: v.exactOptional(v.object({
      directory_path: v.exactOptional(text),
      capability: v.exactOptional(text),
    })),
  }),
  result: v.object({ ...Acceptance.entries, epoch: v.exactOptional(epoch) }),
});

/** Agent → agent: would you take this task? Promises nothing: the lease moves only by `MoveLease`. */
export const OfferTask = defineMethod({
  name: "mesh.OfferTask",
  params: v.object({
    taskId: id,
    epoch,
    runId: id,
    fromAgent: id,
    source: SourceSpec,
    requires: v.array(v.string()),
    sizeBytes: count,
  }),
  result: Acceptance,
});

/**
 * Agent → coordinator, after its offer was accepted: from attempt `epoch` on `fromAgent` to the next attempt on
 * `toAgent`, or nothing when that attempt is over. The same call again answers as the first.
 */
export const MoveLease = defineMethod({
  name: "mesh.MoveLease",
  params: v.object({ taskId: id, epoch, fromAgent: id, toAgent: id }),
  result: v.object({ ...Acceptance.entries, epoch: v.exactOptional(epoch) }),
});

/**
 * Coordinator → agent that it has found and that has proven to know the token: register here. Again: harmless. An
 * agent that has another coordinator refuses.
 */
export const InviteAgent = defineMethod({
  name: "mesh.InviteAgent",
  params: v.object({ coordinatorUrl: v.pipe(v.string(), v.url(), v.maxLength(2_000)) }),
  result: Acceptance,
});
