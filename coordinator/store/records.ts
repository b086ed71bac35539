/** What the store keeps: runs, tasks and numbered events. Rule: each is a schema, and rows pass it on the way out. */
import * as v from "valibot";
import { JobSpec, RunState, SourceSpec, TaskState } from "../../protocol/mesh/job.ts";
import { RunReport } from "../../protocol/mesh/run.ts";
import { WireError } from "../../protocol/mesh/task.ts";

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

export const StoredRun = v.object({
  runId: v.string(),
  hostId: v.string(),
  state: RunState,
  spec: JobSpec,
  createdAtMs: v.number(),
  endedAtMs: v.nullable(v.number()),
  report: v.nullable(RunReport),
});
export type StoredRun = v.InferOutput<typeof StoredRun>;

export const StoredTask = v.object({
  taskId: v.string(),
  runId: v.string(),
  source: SourceSpec,
  requires: v.array(v.string()),
  sizeBytes: count,
  state: TaskState,
  /** Number of the current or last attempt; 0 before the first. Fences late results of older ones. */
  epoch: count,
  agentId: v.nullable(v.string()),
  /** Why it waits or failed, for people. */
  reason: v.nullable(v.string()),
});
export type StoredTask = v.InferOutput<typeof StoredTask>;

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
]);
export type JobEvent = v.InferOutput<typeof JobEvent>;

/** `seq` grows with every event of the store, also across runs and restarts. */
export interface StoredEvent {
  readonly seq: number;
  readonly atMs: number;
  readonly event: JobEvent;
}
