/** What the store keeps: runs, tasks, agents and numbered events. Rule: each is a schema, and rows pass it on the way out. */
import * as v from "valibot";
import { AgentFacts } from "../../protocol/mesh/agent_facts.ts";
import { JobSpec, RunState, SourceSpec, TaskState } from "../../protocol/mesh/job.ts";
import { RunReport } from "../../protocol/mesh/run.ts";
import { PartSpec, ScanResult, WireError } from "../../protocol/mesh/task.ts";

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** Who sees a run to its end: the command that made it, with its process, or a coordinator, also after a restart. */
export const RunOwner = v.picklist(["command", "mesh"]);
export type RunOwner = v.InferOutput<typeof RunOwner>;

export const StoredRun = v.object({
  runId: v.string(),
  hostId: v.string(),
  owner: RunOwner,
  /** What whoever submitted it called it; the same key never makes a second run. */
  idempotencyKey: v.nullable(v.string()),
  state: RunState,
  spec: JobSpec,
  createdAtMs: v.number(),
  endedAtMs: v.nullable(v.number()),
  report: v.nullable(RunReport),
  /** How often it has been prepared; 0 before the first time. */
  runEpoch: count,
  /** The agent that prepared it last. */
  homeAgentId: v.nullable(v.string()),
  isPaused: v.boolean(),
  /** What a person should know, each once. */
  notes: v.array(v.string()),
});
export type StoredRun = v.InferOutput<typeof StoredRun>;

export const StoredTask = v.object({
  taskId: v.string(),
  runId: v.string(),
  source: SourceSpec,
  /** Null: the whole source. */
  part: v.nullable(PartSpec),
  requires: v.array(v.string()),
  files: count,
  sizeBytes: count,
  state: TaskState,
  /** Number of the current or last attempt; 0 before the first. Fences late results of older ones. */
  epoch: count,
  agentId: v.nullable(v.string()),
  /** Why it waits or failed, for people. */
  reason: v.nullable(v.string()),
});
export type StoredTask = v.InferOutput<typeof StoredTask>;

/** What the walk of one source of a run has found, or why it could not be read. */
export const ScanOutcome = v.variant("kind", [
  v.object({ kind: v.literal("scanned"), scan: ScanResult }),
  v.object({ kind: v.literal("failed"), error: WireError }),
]);
export type ScanOutcome = v.InferOutput<typeof ScanOutcome>;

/** How far one destination of a run is, beyond what its tasks say. */
export const StoredDestination = v.object({
  destination: v.string(),
  /** A person has ended it, alone. */
  isCancelled: v.boolean(),
  /** Of its marker, once prepared: under the same path another host may have another disk. */
  destinationId: v.nullable(v.string()),
  warnings: v.array(v.string()),
  end: v.nullable(v.object({
    destination: v.string(),
    state: v.picklist(["verified", "failed", "cancelled", "planned"]),
    elapsedMs: v.number(),
    error: v.exactOptional(WireError),
  })),
});
export type StoredDestination = v.InferOutput<typeof StoredDestination>;

/** What was found under a path of a host last, in whatever run. */
export const KnownDestination = v.object({
  hostId: v.string(),
  path: v.string(),
  destinationId: v.string(),
});
export type KnownDestination = v.InferOutput<typeof KnownDestination>;

export const StoredAgent = v.object({
  agentId: v.string(),
  name: v.string(),
  url: v.string(),
  version: v.string(),
  facts: AgentFacts,
  /** The coordinator gives it nothing more. */
  isDraining: v.boolean(),
});
export type StoredAgent = v.InferOutput<typeof StoredAgent>;

export const JobEvent = v.variant("kind", [
  v.object({
    kind: v.literal("run_state"),
    runId: v.string(),
    from: v.nullable(RunState),
    to: RunState,
  }),
  v.object({
    kind: v.literal("task_state"),
    runId: v.string(),
    taskId: v.string(),
    from: v.nullable(TaskState),
    to: TaskState,
    epoch: count,
    agentId: v.nullable(v.string()),
    reason: v.nullable(v.string()),
  }),
  v.object({
    kind: v.literal("task_waits"),
    runId: v.string(),
    taskId: v.string(),
    reason: v.string(),
  }),
  v.object({
    kind: v.literal("source_failed"),
    runId: v.string(),
    source: v.string(),
    error: WireError,
  }),
  v.object({
    kind: v.literal("destination_ended"),
    runId: v.string(),
    destination: v.string(),
    state: v.picklist(["verified", "failed", "cancelled", "planned"]),
    elapsedMs: v.number(),
    error: v.exactOptional(WireError),
  }),
  v.object({ kind: v.literal("run_error"), runId: v.string(), error: WireError }),
  /** From here on the run is at another agent, or at the same one anew. */
  v.object({
    kind: v.literal("run_home"),
    runId: v.string(),
    runEpoch: count,
    agentId: v.string(),
  }),
  /** The agent is asked to take part, and may hold something from now on. */
  v.object({ kind: v.literal("run_joined"), runId: v.string(), agentId: v.string() }),
  v.object({ kind: v.literal("note"), runId: v.string(), text: v.string() }),
]);
export type JobEvent = v.InferOutput<typeof JobEvent>;

/** `seq` grows with every event of the store, also across runs and restarts. */
export interface StoredEvent {
  readonly seq: number;
  readonly atMs: number;
  readonly event: JobEvent;
}
