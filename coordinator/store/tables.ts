/**
 * What a storage engine must offer to hold the job store: rows in, rows out, one transaction. Rule: engines know
 * nothing of states; `createJobStore` is the only caller.
 */
import type { JobEvent, StoredEvent, StoredRun, StoredTask } from "./records.ts";

export interface Tables {
  /** Runs `work` in one exclusive transaction, undone when it throws. */
  transact<T>(work: () => T): T;
  getRun(runId: string): StoredRun | undefined;
  listRuns(limit: number): StoredRun[];
  putRun(run: StoredRun): void;
  /** Removes ended runs, with their tasks and events, but the newest `keep`. */
  dropEndedRuns(keep: number): void;
  getTask(taskId: string): StoredTask | undefined;
  listTasks(runId: string): StoredTask[];
  putTask(task: StoredTask): void;
  appendEvent(event: JobEvent, atMs: number): void;
  eventsAfter(seq: number, limit: number, runId: string | undefined): StoredEvent[];
  close(): void;
}
