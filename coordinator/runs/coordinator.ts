/** The coordinator: takes jobs and sees each through. Rule: all runs share its agents' slots through one dispatcher. */
import type { Clock } from "../../protocol/base/clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { newId } from "../../protocol/base/ids.ts";
import type { Log } from "../../protocol/base/log.ts";
import type { JobSpec } from "../../protocol/mesh/job.ts";
import type { RunProgress, RunReport } from "../../protocol/mesh/run.ts";
import { createAggregator } from "../progress/aggregator.ts";
import { match } from "../scheduler/match.ts";
import type { JobStore } from "../store/job_store.ts";
import { checkNames } from "./check_names.ts";
import { backupRun } from "./backup_run.ts";
import { createDispatcher } from "./dispatcher.ts";
import type { Agent, DestinationEnd } from "./run_context.ts";

export interface CoordinatorDependencies {
  store: JobStore;
  clock: Clock;
  log: Log;
  /** Fixed for the coordinator's life; the first that matches best is asked first. */
  agents: readonly Agent[];
  /** The host that jobs come from. */
  hostId: string;
}

export interface RunOptions {
  /** At the start, before anything is opened, with all destinations at zero; then at most 4 a second; and at the end. */
  onProgress?: (progress: RunProgress) => void;
  /** Once for each destination, the moment it ends, while others may still copy. */
  onDestination?: (end: DestinationEnd) => void;
  /** Cancels the run; it ends within a second, whether its agent answers or not. */
  signal?: AbortSignal;
  /** A fresh one by default. */
  runId?: string;
}

export interface Coordinator {
  /**
   * Runs a job to its end. Failures of sources and destinations are in the report and its exit code.
   * @throws {BackupError} `usage` when the job makes no sense as a whole, `unsupported` when no agent can do it,
   * and the job store's errors; nothing has been written to a destination in the first two cases.
   */
  run(job: JobSpec, options?: RunOptions): Promise<RunReport>;
}

export function createCoordinator(dependencies: CoordinatorDependencies): Coordinator {
  const { store, clock, log, agents, hostId } = dependencies;
  const views = agents.map(({ id, capabilities, slots }) => ({ agentId: id, capabilities, slots }));
  const dispatcher = createDispatcher({ store, clock, agents: views });

  return {
    async run(job, options = {}) {
      const runId = options.runId ?? newId("run");
      checkNames(job);
      const home = homeOf(job);
      const abort = new AbortController();
      const onAbort = (): void => abort.abort(options.signal?.reason);
      if (options.signal?.aborted) onAbort();
      else options.signal?.addEventListener("abort", onAbort, { once: true });
      const keys = job.destinations.map((d) => d.key);
      const onProgress = guarded(options.onProgress);
      const progress = createAggregator({ clock, runId, destinations: keys, onProgress });
      try {
        store.transact((tx) => tx.insertRun({ runId, hostId, spec: job }));
        return await backupRun({
          runId,
          job,
          home,
          store,
          clock,
          log,
          dispatcher,
          progress,
          signal: abort.signal,
          sources: job.sources.map((source) => ({ source })),
          destinations: keys.map((key) => ({ key, warnings: [] })),
          onDestination: guarded(options.onDestination),
          tasks: [],
          ledger: undefined,
        }, abort);
      } finally {
        progress.end();
        options.signal?.removeEventListener("abort", onAbort);
      }
    },
  };

  function homeOf(job: JobSpec): Agent {
    const requires = ["mirror", ...job.requiredCapabilities];
    const { candidates, reason } = match(
      { requires, onlyAgents: null },
      views.map((view) => ({ ...view, load: 0 })),
    );
    const home = agents.find((a) => a.id === candidates[0]?.agentId);
    if (home === undefined) throw new BackupError("unsupported", `Cannot run the job: ${reason}`);
    return home;
  }

  /** What listens must not be able to stop a backup. */
  function guarded<T>(listener: ((value: T) => void) | undefined): (value: T) => void {
    return (value) => {
      try {
        listener?.(value);
      } catch (thrown) {
        log("error", "A listener of the run threw", { error: String(thrown) });
      }
    };
  }
}
