/**
 * The port to what a coordinator must not forget. Rule: a state changes only inside `transact`, over the tables of
 * `moveRun` and `moveTask`, and each change leaves a numbered event in the same transaction.
 */
import type { DocumentKind, DocumentOf } from "../../protocol/mesh/console_documents.ts";
import type { JobSpec, RunState, SourceSpec, TaskState } from "../../protocol/mesh/job.ts";
import type { RunReport } from "../../protocol/mesh/run.ts";
import type { MirrorResult, PartSpec } from "../../protocol/mesh/task.ts";
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

/** Ended runs kept for the history; older ones go, with all that belongs to them, when a new run comes. */
export const ENDED_RUNS_KEPT = 1000;
/** Notes of one run; what says more is said elsewhere. */
export const NOTES_MAX = 100;

export interface NewRun {
  readonly runId: string;
  readonly hostId: string;
  readonly spec: JobSpec;
  /** Default: `command`. */
  readonly owner?: RunOwner;
  readonly idempotencyKey?: string | undefined;
}

export interface NewTask {
  readonly taskId: string;
  readonly runId: string;
  readonly source: SourceSpec;
  readonly part?: PartSpec | undefined;
  readonly requires: readonly string[];
  readonly files?: number;
  readonly sizeBytes: number;
}

export interface StoreReader {
  run(runId: string): StoredRun | undefined;
  runByKey(idempotencyKey: string): StoredRun | undefined;
  /** The newest first. */
  runs(limit: number): StoredRun[];
  /** What an owner has to go on with, oldest first. */
  unfinishedRuns(owner: RunOwner): StoredRun[];
  task(taskId: string): StoredTask | undefined;
  /** In the order they were inserted. */
  tasks(runId: string): StoredTask[];
  /** How many of a run's tasks are in each state, without reading them. */
  taskCounts(runId: string): Partial<Record<TaskState, number>>;
  /** What the last attempt of a task reported. */
  result(taskId: string): MirrorResult | undefined;
  /** What the last attempts of a run's tasks reported, by task id. */
  results(runId: string): Map<string, MirrorResult>;
  /** By source name. */
  scans(runId: string): Map<string, ScanOutcome>;
  /** Those of a run about which anything is known. */
  destinations(runId: string): StoredDestination[];
  /** Of all hosts that have used a destination under this path. */
  knownDestinations(path: string): KnownDestination[];
  /** In the order of their first registration. */
  agents(): StoredAgent[];
  /** What a person keeps beside runs; see `DOCUMENT_KINDS`. */
  document<K extends DocumentKind>(kind: K, id: string): DocumentOf<K> | undefined;
  /** In the order in which they were made. */
  documents<K extends DocumentKind>(kind: K): DocumentOf<K>[];
  /** Events with a number above `seq`, in order; of all runs unless one is named. */
  eventsAfter(seq: number, limit: number, runId?: string): StoredEvent[];
}

export interface StoreChanges extends StoreReader {
  /** @throws {BackupError} `rejected` when the id or the key is taken. */
  insertRun(run: NewRun): StoredRun;
  /** @throws {RangeError} when the table has no such step. */
  moveRun(runId: string, to: RunState, report?: RunReport): StoredRun;
  /** The run is prepared at an agent, once more: the next run epoch. */
  rehomeRun(runId: string, agentId: string): StoredRun;
  pauseRun(runId: string, isPaused: boolean): void;
  /** The same text twice is one note; there are at most `NOTES_MAX`. True when it is new. */
  noteRun(runId: string, text: string): boolean;
  /** A queued task at epoch 0. @throws {BackupError} `rejected` when the id is taken or the run unknown. */
  insertTask(task: NewTask): StoredTask;
  /** What a task that nobody has begun is about, once that is known. @throws {BackupError} `superseded` when it has been. */
  planTask(
    taskId: string,
    plan: { part?: PartSpec | undefined; files: number; sizeBytes: number },
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
  putResult(taskId: string, result: MirrorResult): void;
  putScan(runId: string, source: string, outcome: ScanOutcome): void;
  /** Changes what is given and keeps the rest. */
  changeDestination(
    runId: string,
    destination: string,
    change: Partial<Omit<StoredDestination, "destination">>,
  ): void;
  /** Takes the place of what was known of the path on that host. */
  rememberDestination(known: KnownDestination): void;
  /** A first registration is the last in the order. */
  putAgent(agent: StoredAgent): void;
  dropAgent(agentId: string): void;
  /** Makes it, or puts it in the place of the one with this id. */
  putDocument<K extends DocumentKind>(kind: K, id: string, body: DocumentOf<K>): void;
  /** Whether it was there. */
  dropDocument(kind: DocumentKind, id: string): boolean;
  /** Records a fact that changes no state. */
  note(
    event: Extract<
      JobEvent,
      { kind: "source_failed" | "destination_ended" | "run_error" | "run_joined" }
    >,
  ): void;
}

export interface JobStore extends StoreReader {
  /** All or nothing, and alone: `work` is synchronous. When it throws, nothing of it stays. Not reentrant. */
  transact<T>(work: (changes: StoreChanges) => T): T;
  /** What was stored until now is there after a power cut too; without it the last moments may not be. */
  flush(): void;
  /** Gives the files back. Idempotent; every later call throws. */
  close(): void;
}
