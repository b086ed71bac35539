/** What the stages of one run share. Rule: a destination ends once; the first end is stored, then told, and stands. */
import type { Clock } from "../../protocol/base/clock.ts";
import type { Log } from "../../protocol/base/log.ts";
import type { JobSpec, SourceSpec } from "../../protocol/mesh/job.ts";
import type { DestinationReport } from "../../protocol/mesh/run.ts";
import type { TaskProgress } from "../../protocol/mesh/progress.ts";
import type {
  MirrorResult,
  PrepareResult,
  ScanResult,
  ScanTask,
  WireError,
} from "../../protocol/mesh/task.ts";
import type { TaskClient } from "../../protocol/mesh/task_port.ts";
import type { Aggregator } from "../progress/aggregator.ts";
import type { JobStore, StoreChanges } from "../store/job_store.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { LaneLedger } from "./lane_ledger.ts";

/** One agent the coordinator can give tasks to. */
export interface Agent {
  readonly id: string;
  readonly client: TaskClient;
  readonly capabilities: readonly string[];
  /** Directories it copies at once, at least 1. */
  readonly slots: number;
}

/** The end of a destination as it is known at that moment; the full report comes with the run's. */
export type DestinationEnd = Pick<
  DestinationReport,
  "destination" | "state" | "error" | "elapsedMs"
>;

export interface SourceState {
  readonly source: SourceSpec;
  scan?: ScanResult;
  /** Set when the whole source could not be read. */
  error?: WireError;
  mirrored?: MirrorResult;
}

export interface DestinationState {
  readonly key: string;
  /** Of its marker, once prepared. */
  id?: string;
  warnings: readonly string[];
  end?: DestinationEnd;
}

export interface RunContext {
  readonly runId: string;
  readonly job: JobSpec;
  /** The agent that holds the run's locks and lists; every task of the run goes there. */
  readonly home: Agent;
  readonly store: JobStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly dispatcher: Dispatcher;
  readonly progress: Aggregator;
  /** Aborted by the caller, or by us when the run cannot go on. */
  readonly signal: AbortSignal;
  readonly sources: readonly SourceState[];
  readonly destinations: readonly DestinationState[];
  readonly onDestination: (end: DestinationEnd) => void;
  /** The readable sources, in the order of the ledger's tasks; empty until copying starts. */
  tasks: readonly SourceState[];
  ledger: LaneLedger | undefined;
}

/** What preparing, scanning and reporting need of a run. */
export interface StageContext extends Omit<RunContext, "dispatcher"> {
  /** How often the run is prepared; absent: once. */
  readonly runEpoch?: number;
  /** How many parts a source may be divided into; absent: it stays whole. */
  readonly partsMax?: ((source: SourceSpec) => number | undefined) | undefined;
  /** Whether an error of `what` says that the home agent cannot go on, and not what is wrong with the job. */
  readonly isHomeLost?: (thrown: unknown, what: string) => boolean;
  /** How a source is scanned that lies where the home does not reach; absent: at the home. */
  readonly scanElsewhere?: (source: SourceSpec) => ScanElsewhere | undefined;
  /** By key, what is known of the paths of destinations at the home; see `PrepareTask.knownIds`. */
  readonly knownIds?: Readonly<Record<string, string | null>>;
  /** Keeps an end before it is told; absent: noted only. */
  readonly keepEnd?: (end: DestinationEnd) => void;
  /** What the home says of its destinations, before any of them is out. @throws when another home is to be asked first */
  readonly prepared?: (result: PrepareResult) => void;
}

export type ScanElsewhere = (
  spec: ScanTask,
  options: { signal: AbortSignal; onProgress: (progress: TaskProgress) => void },
) => Promise<ScanResult>;

export function endDestination(
  context: StageContext,
  destination: DestinationState,
  state: DestinationEnd["state"],
  error?: WireError,
): void {
  if (destination.end !== undefined) return;
  const elapsedMs = context.progress.elapsedMs();
  const end: DestinationEnd = {
    destination: destination.key,
    state,
    elapsedMs,
    ...(error === undefined ? {} : { error }),
  };
  if (context.keepEnd !== undefined) context.keepEnd(end);
  else context.store.transact((tx) => noteEnd(tx, context.runId, end));
  destination.end = end;
  context.progress.apply({
    kind: "destination_ended",
    destination: destination.key,
    state,
    elapsedMs,
  });
  context.onDestination(end);
}

export function noteEnd(tx: Pick<StoreChanges, "note">, runId: string, end: DestinationEnd): void {
  tx.note({ kind: "destination_ended", runId, ...end });
}

/** Destinations that take part and have not ended. */
export function openDestinations(context: Pick<StageContext, "destinations">): DestinationState[] {
  return context.destinations.filter((d) => d.end === undefined);
}
