/**
 * What a storage engine must offer to hold the job store: rows in, rows out, one transaction. Rule: engines know
 * nothing of states; `createJobStore` is the only caller.
 */
import type { DocumentKind } from "../../protocol/mesh/console_documents.ts";
import type { TaskState } from "../../protocol/mesh/job.ts";
import type { MirrorResult } from "../../protocol/mesh/task.ts";
import type {
  JobEvent,
  KnownDestination,
  RunOwner,
  ScanOutcome,
  StoredAgent,
  StoredDestination,
  StoredEvent,
  StoredRun,
  StoredTask,
} from "./records.ts";

export interface Tables {
  /** Runs `work` in one exclusive transaction, undone when it throws. */
  transact<T>(work: () => T): T;
  getRun(runId: string): StoredRun | undefined;
  getRunByKey(idempotencyKey: string): StoredRun | undefined;
  listRuns(limit: number): StoredRun[];
  /** Runs of an owner in a state that is no end, oldest first. */
  listUnfinished(owner: RunOwner): StoredRun[];
  putRun(run: StoredRun): void;
  /** Removes ended runs, with all that belongs to them, but the newest `keep`. */
  dropEndedRuns(keep: number): void;
  getTask(taskId: string): StoredTask | undefined;
  listTasks(runId: string): StoredTask[];
  putTask(task: StoredTask): void;
  putResult(taskId: string, result: MirrorResult): void;
  /** How many of a run's tasks are in each state; those that none is in are left out. */
  countTasks(runId: string): Partial<Record<TaskState, number>>;
  getResult(taskId: string): MirrorResult | undefined;
  /** By task id. */
  listResults(runId: string): Map<string, MirrorResult>;
  putScan(runId: string, source: string, outcome: ScanOutcome): void;
  /** By source name. */
  listScans(runId: string): Map<string, ScanOutcome>;
  putDestination(runId: string, destination: StoredDestination): void;
  getDestination(runId: string, destination: string): StoredDestination | undefined;
  listDestinations(runId: string): StoredDestination[];
  putKnownDestination(known: KnownDestination): void;
  /** Of a path, in the order of host ids. */
  listKnownDestinations(path: string): KnownDestination[];
  /** In the order of their first registration. */
  listAgents(): StoredAgent[];
  putAgent(agent: StoredAgent): void;
  dropAgent(agentId: string): void;
  getDocument(kind: DocumentKind, id: string): unknown;
  /** In the order in which they were made. */
  listDocuments(kind: DocumentKind): unknown[];
  putDocument(kind: DocumentKind, id: string, body: unknown): void;
  /** Whether it was there. */
  dropDocument(kind: DocumentKind, id: string): boolean;
  appendEvent(event: JobEvent, atMs: number): void;
  eventsAfter(seq: number, limit: number, runId: string | undefined): StoredEvent[];
  /** Onto the disk itself. */
  flush(): void;
  close(): void;
}
