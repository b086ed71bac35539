/**
 * What all parts of one run share, as the store knows it when the run is taken up. Rule: sources and destinations are
 * read here once; from then on their states are changed in place.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import type { Log } from "../../protocol/base/log.ts";
import type { JobSpec } from "../../protocol/mesh/job.ts";
import type { Aggregator } from "../progress/aggregator.ts";
import type { DestinationEnd, DestinationState, SourceState } from "../runs/run_context.ts";
import type { JobStore } from "../store/job_store.ts";
import type { StoredRun } from "../store/records.ts";
import type { AgentPool } from "./agent_pool.ts";
import type { MeshDispatcher } from "./mesh_dispatcher.ts";

export interface MeshRunDeps {
  store: JobStore;
  clock: Clock;
  log: Log;
  dispatcher: MeshDispatcher;
  pool: AgentPool;
  leaseMs: number;
}

export interface MeshRunOptions {
  runId: string;
  progress: Aggregator;
  signal: AbortSignal;
  onDestination(end: DestinationEnd): void;
  note(text: string): void;
  /** A task of the run has changed in the store. */
  taskChanged(taskId: string): void;
}

export interface RunScope extends Readonly<MeshRunDeps>, Readonly<MeshRunOptions> {
  readonly job: JobSpec;
  readonly sources: readonly SourceState[];
  readonly destinations: readonly DestinationState[];
}

/** What an agent is told of the job that depends on how many work at it. */
export type SharedJob = Pick<JobSpec, "destinations" | "options">;

export function createRunScope(
  deps: MeshRunDeps,
  options: MeshRunOptions,
  { spec: job }: StoredRun,
): RunScope {
  const { store } = deps;
  const { runId } = options;
  const scans = store.scans(runId);
  const sources = job.sources.map((source): SourceState => {
    const known = scans.get(source.name);
    if (known === undefined) return { source };
    return known.kind === "scanned" ? { source, scan: known.scan } : { source, error: known.error };
  });
  const ends = new Map(store.destinations(runId).map((d) => [d.destination, d]));
  const results = store.results(runId);
  const served = new Set(
    [...results.values()].flatMap((r) => r.lanes.map((l) => l.destination)),
  );
  const tasks = store.tasks(runId);
  /** It was said to be verified, and what says so is here: it may be in another run's hands since. */
  const stands = (key: string): boolean =>
    ends.get(key)?.end?.state === "verified" && tasks.length > 0 &&
    tasks.every(({ taskId }) =>
      results.get(taskId)?.lanes.some((l) => l.destination === key && l.state === "verified")
    );
  const destinations = job.destinations.map(({ key }) => {
    const known = ends.get(key);
    const state: DestinationState = { key, warnings: known?.warnings ?? [] };
    if (known?.destinationId) state.id = known.destinationId;
    if (known?.end && stands(key)) state.end = known.end;
    else if (known?.isCancelled) state.end = { destination: key, state: "cancelled", elapsedMs: 0 };
    // One that never took part has no accounts to look at again: tasks that have ended owe it nothing.
    else if (known?.end?.state === "failed" && !served.has(key)) state.end = known.end;
    return state;
  });
  return { ...deps, ...options, job, sources, destinations };
}

/** As the store says now: pausing may have come from anywhere. */
export function isPaused({ store, runId }: Pick<RunScope, "store" | "runId">): boolean {
  return store.run(runId)?.isPaused === true;
}
