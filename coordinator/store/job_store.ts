/**
 * The port to what a coordinator must not forget. Rule: a state changes only inside `transact`, over the tables of
 * `moveRun` and `moveTask`, and each change leaves a numbered event in the same transaction.
 */
import type { JobSpec, RunState, TaskState } from "../../protocol/mesh/job.ts";
import type { RunReport } from "../../protocol/mesh/run.ts";
import type { JobEvent, StoredEvent, StoredRun, StoredTask } from "./records.ts";

/** Ended runs kept for the history; older ones go, with their tasks and events, when a new run comes. */
export const ENDED_RUNS_KEPT = 1000;

export interface StoreReader {
  run(runId: string): StoredRun | undefined;
  /** The newest first. */
  runs(limit: number): StoredRun[];
  task(taskId: string): StoredTask | undefined;
  /** In the order they were inserted. */
  tasks(runId: string): StoredTask[];
  /** Events with a number above `seq`, in order; of all runs unless one is named. */
  eventsAfter(seq: number, limit: number, runId?: string): StoredEvent[];
}

export interface StoreChanges extends StoreReader {
  /** @throws {BackupError} `rejected` when the id is taken. */
  insertRun(run: { runId: string; hostId: string; spec: JobSpec }): StoredRun;
  /** @throws {RangeError} when the table has no such step. */
  moveRun(runId: string, to: RunState, report?: RunReport): StoredRun;
  /** A queued task at epoch 0. @throws {BackupError} `rejected` when the id is taken or the run unknown. */
  insertTask(
    task: Pick<StoredTask, "taskId" | "runId" | "source" | "requires" | "sizeBytes">,
  ): StoredTask;
  /** Queued → assigned with the next epoch. */
  assignTask(taskId: string, agentId: string): StoredTask;
  /**
   * One step of the attempt with number `epoch`; back to `queued` takes the agent away.
   * @throws {BackupError} `superseded` when a newer attempt exists; {RangeError} when there is no such step.
   */
  moveTask(taskId: string, epoch: number, to: TaskState, reason?: string): StoredTask;
  /** Says why a queued task waits. The same reason twice is one event. */
  explainTask(taskId: string, reason: string): void;
  /** Records a fact that changes no state. */
  note(
    event: Extract<JobEvent, { kind: "source_failed" | "destination_ended" | "run_error" }>,
  ): void;
}

export interface JobStore extends StoreReader {
  /** All or nothing, and alone: `work` is synchronous. When it throws, nothing of it stays. Not reentrant. */
  transact<T>(work: (changes: StoreChanges) => T): T;
  /** Gives the files back. Idempotent; every later call throws. */
  close(): void;
}
