/** What the aggregator knows about a run, and the events it learns it from. Rule: immutable; only `reduce` makes the next one. */
import type { RunState } from "../../protocol/mesh/job.ts";
import type { RecentFile } from "../../protocol/mesh/run.ts";
import type {
  LaneCounters,
  LaneGauges,
  LaneProgress,
  LaneState,
  Phase,
  ScanCounters,
} from "../../protocol/mesh/progress.ts";

export type EndState = "verified" | "failed" | "cancelled" | "planned";

export interface LaneModel {
  readonly agentId: string | null;
  readonly epoch: number;
  readonly seq: number;
  readonly state: LaneState;
  /** The last phase it was seen in, kept after its end. */
  readonly phase: Phase;
  readonly counters: LaneCounters;
}

export interface DestinationModel {
  readonly key: string;
  /** By task id; empty until the run is planned. */
  readonly lanes: ReadonlyMap<string, LaneModel>;
  /** When it was opened; null while it is not known. */
  readonly freeBytes: number | null;
  /** The last word of each agent that works on it. */
  readonly gauges: ReadonlyMap<string, LaneGauges>;
  /** `place` counts the ends of the run, from 0. */
  readonly end:
    | { readonly state: EndState; readonly elapsedMs: number; readonly place: number }
    | null;
}

export interface Silence {
  /** Its name. */
  readonly agent: string;
  /** When it was heard last, from the start of the run. */
  readonly sinceMs: number;
}

export interface ScanModel {
  readonly seq: number;
  readonly counters: ScanCounters;
}

export interface ProgressModel {
  readonly runId: string;
  readonly state: RunState;
  /** By source name. */
  readonly scans: ReadonlyMap<string, ScanModel>;
  readonly destinations: readonly DestinationModel[];
  /** By task, whose agent is waited for. */
  readonly silences: ReadonlyMap<string, Silence>;
  /** The newest first; more than are shown, so that what a slow destination does later still finds its file. */
  readonly recentFiles: readonly RecentFile[];
}

export type ProgressEvent =
  | { readonly kind: "run_state"; readonly state: RunState }
  | {
    readonly kind: "scan";
    readonly source: string;
    /** Infinity for the result, which is the last word. */
    readonly seq: number;
    readonly counters: ScanCounters;
  }
  /** The totals of every task, once, before any copying: a lane of each at every destination still in. */
  | {
    readonly kind: "planned";
    readonly tasks: readonly { readonly taskId: string; readonly scan: ScanCounters }[];
  }
  | {
    readonly kind: "lanes";
    readonly taskId: string;
    readonly agentId: string;
    readonly epoch: number;
    readonly seq: number;
    readonly lanes: readonly LaneProgress[];
    /** On the wall clock; for the list of recent files. */
    readonly atMs?: number;
  }
  /** The agent of a task is not heard; null: it is again, or nobody waits for it any more. */
  | { readonly kind: "silence"; readonly taskId: string; readonly silence: Silence | null }
  | { readonly kind: "opened"; readonly destination: string; readonly freeBytes: number }
  | {
    readonly kind: "destination_ended";
    readonly destination: string;
    readonly state: EndState;
    readonly elapsedMs: number;
  };

export function emptyModel(runId: string, destinations: readonly string[]): ProgressModel {
  return {
    runId,
    state: "queued",
    scans: new Map(),
    destinations: destinations.map((key) => ({
      key,
      lanes: new Map(),
      freeBytes: null,
      gauges: new Map(),
      end: null,
    })),
    silences: new Map(),
    recentFiles: [],
  };
}
