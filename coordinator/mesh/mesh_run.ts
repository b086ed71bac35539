/**
 * One run carried out by the agents of a mesh. Rule: losing any agent, or the coordinator, costs time and never the run:
 * it is prepared anew at another agent, and what is known to be done is not done again.
 */
import { backoffMs } from "../../protocol/base/backoff.ts";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { RunShare } from "../../protocol/mesh/methods.ts";
import type { RunReport } from "../../protocol/mesh/run.ts";
import { untilAborted } from "../runs/deadline.ts";
import { prepareStage } from "../runs/prepare_stage.ts";
import { runReport } from "../runs/report.ts";
import { type Agent, openDestinations, type StageContext } from "../runs/run_context.ts";
import { scanStage } from "../runs/scan_stage.ts";
import { wireError, wireErrorOf } from "../runs/wire_error.ts";
import { DestinationMemory } from "./destination_memory.ts";
import { HomeLost, Homes, LOOK_AGAIN_MS, NOBODY } from "./homes.ts";
import { meshCopyStage } from "./mesh_copy_stage.ts";
import { Participants } from "./participants.ts";
import { RunDestinations } from "./run_destinations.ts";
import {
  createRunScope,
  isPaused,
  type MeshRunDeps,
  type MeshRunOptions,
  type RunScope,
  type SharedJob,
} from "./run_scope.ts";
import { RunShares } from "./run_shares.ts";
import { RunTasks } from "./run_tasks.ts";
import { scanElsewhere } from "./scan_elsewhere.ts";

export { TASK_FAULTS_MAX } from "./attempts.ts";
export type { MeshRunDeps, MeshRunOptions } from "./run_scope.ts";

const PARTS_PER_AGENT = 4;
const CANCEL_GRACE_MS = 500;

export interface MeshRun {
  readonly done: Promise<RunReport>;
  /** Ends one destination as cancelled. */
  cancelDestination(key: string): void;
  /** Of its present home; 0 before the first. */
  epoch(): number;
  /** The store says by now whether it is paused; here it takes effect. */
  pause(isPaused: boolean): void;
  /** What each of its agents may use now. */
  share(): Pick<RunShare, "workersMax" | "limits">;
  /** Goes no further and changes nothing any more: whoever opens the store next goes on. `done` rejects. */
  leave(): void;
}

export function startMeshRun(deps: MeshRunDeps, options: MeshRunOptions): MeshRun {
  const run = new RunInMesh(deps, options);
  return {
    done: run.carryOut(),
    cancelDestination: (key) => run.cancelDestination(key),
    epoch: () => run.epoch,
    share: () => run.share(),
    pause: (isPaused) => run.pause(isPaused),
    leave: () => run.leave(),
  };
}

class RunInMesh {
  readonly #scope: RunScope;
  readonly #tasks: RunTasks;
  readonly #participants: Participants;
  readonly #shares: RunShares;
  readonly #homes: Homes;
  readonly #destinations: RunDestinations;
  readonly #memory: DestinationMemory;
  epoch: number;
  readonly #left = new AbortController();

  constructor(deps: MeshRunDeps, options: MeshRunOptions) {
    const { runId } = options;
    const stored = deps.store.run(runId);
    if (stored === undefined) throw new BackupError("not_found", `No run ${runId} is stored`);
    this.epoch = stored.runEpoch;
    const scope = createRunScope(deps, options, stored);
    const tasks = new RunTasks(scope);
    const memory = new DestinationMemory(scope);
    const participants = new Participants(scope, memory, (): SharedJob => {
      shares.forgetCount();
      return shares.shared();
    });
    const shares = new RunShares(scope, participants, tasks);
    this.#scope = scope;
    this.#memory = memory;
    this.#tasks = tasks;
    this.#participants = participants;
    this.#shares = shares;
    this.#homes = new Homes(scope, participants);
    this.#destinations = new RunDestinations(scope, participants, tasks);
  }

  async carryOut(): Promise<RunReport> {
    const { store, clock, dispatcher, runId, progress, signal } = this.#scope;
    const startedAtMs = store.run(runId)?.createdAtMs ?? clock.nowMs();
    let failure: unknown;
    try {
      this.#begin();
      await this.#participants.releaseAll();
      await untilAborted(
        Promise.race([this.#epochs(), rejection(this.#left.signal)]),
        signal,
        clock,
        CANCEL_GRACE_MS,
      );
    } catch (thrown) {
      if (!signal.aborted) failure = thrown;
    }
    if (this.#left.signal.aborted) {
      progress.end();
      throw this.#left.signal.reason;
    }
    dispatcher.recall(runId, "The run is over");
    dispatcher.dropRun(runId);
    this.#participants.releaseLost();
    await this.#participants.releaseAll();
    try {
      if (failure !== undefined) throw failure;
      const context = this.#context(undefined);
      for (const destination of openDestinations(context)) {
        this.#destinations.end(context, destination, "cancelled");
      }
      this.#tasks.cancelOpen();
      const report = runReport(context, startedAtMs);
      store.transact((tx) => tx.moveRun(runId, report.state, report));
      progress.apply({ kind: "run_state", state: report.state });
      return report;
    } catch (thrown) {
      this.#recordFailure(thrown);
      throw thrown;
    } finally {
      progress.end();
    }
  }

  cancelDestination(key: string): void {
    this.#destinations.cancel(this.#context(undefined), key);
  }

  /** Nothing new is leased, and whoever works on it begins no further file. */
  pause(isPaused: boolean): void {
    const { runId, dispatcher } = this.#scope;
    dispatcher.putRun(runId, { isPaused });
    this.#participants.tellAll({ op: "pause", runId, isPaused });
  }

  share(): Pick<RunShare, "workersMax" | "limits"> {
    return this.#shares.share();
  }

  leave(): void {
    this.#left.abort(new BackupError("cancelled", "The coordinator ends; its next start goes on"));
  }

  #begin(): void {
    const { store, dispatcher, pool, runId, progress, sources } = this.#scope;
    const { state, homeAgentId } = store.run(runId)!;
    this.#participants.addStored(homeAgentId);
    const known = new Set(pool.views().map((a) => a.agentId));
    for (const { taskId, state, agentId } of store.tasks(runId)) {
      if (agentId === null || (state !== "assigned" && state !== "running")) continue;
      if (known.has(agentId)) dispatcher.mayStillRun(taskId, agentId);
    }
    store.transact((tx) => {
      if (state === "queued") tx.moveRun(runId, "planning");
      for (const task of tx.tasks(runId)) {
        if (task.state !== "assigned" && task.state !== "running") continue;
        tx.moveTask(task.taskId, task.epoch, "queued", "The coordinator was started again");
      }
    });
    progress.apply({ kind: "run_state", state: state === "queued" ? "planning" : state });
    for (const { source, scan } of sources) {
      if (scan === undefined) continue;
      progress.apply({ kind: "scan", source: source.name, seq: Infinity, counters: scan.counters });
    }
    this.#tasks.load();
    for (const { end } of this.#scope.destinations) {
      if (end !== undefined) progress.apply({ kind: "destination_ended", ...end });
    }
  }

  async #epochs(): Promise<void> {
    const { signal, note, clock } = this.#scope;
    const { allEnded } = this.#destinations;
    const isOver = AbortSignal.any([signal, this.#left.signal, allEnded]);
    for (let faults = 0; openDestinations(this.#scope).length > 0;) {
      signal.throwIfAborted();
      try {
        await this.#untilResumed(isOver);
        const home = await this.#homes.choose(isOver);
        return await this.#once(home);
      } catch (thrown) {
        if (signal.aborted || this.#left.signal.aborted) throw thrown;
        if (allEnded.aborted) return;
        if (!(thrown instanceof HomeLost)) throw thrown;
        note(thrown.message);
        await this.#participants.releaseAll();
        if (!thrown.isFault) continue;
        await clock.sleep(backoffMs(++faults), isOver).catch(() => {});
      }
    }
  }

  /** A run that is paused takes no locks, after a restart or a lost home. */
  async #untilResumed(isOver: AbortSignal): Promise<void> {
    while (isPaused(this.#scope)) await this.#scope.clock.sleep(LOOK_AGAIN_MS, isOver);
  }

  /** One home, from preparing to its loss or to the end of all destinations. @throws {HomeLost} */
  async #once(home: Agent): Promise<void> {
    const { store, pool, dispatcher, runId, signal, progress } = this.#scope;
    const lost = new AbortController();
    const stopListening = pool.onLost((agentId, why) => {
      this.#participants.drop(agentId);
      if (agentId === home.id) lose(new HomeLost(why));
    });
    const over = AbortSignal.any([this.#left.signal, this.#destinations.allEnded]);
    over.addEventListener("abort", () => lose(over.reason), { signal: lost.signal });
    const both = AbortSignal.any([signal, lost.signal]);
    /** Tasks go back to the queue before anybody hears the abort, and could take it for the task's own end. */
    const lose = (why: unknown): void => {
      if (lost.signal.aborted) return;
      if (!this.#left.signal.aborted) dispatcher.recall(runId, asBackupError(why).message);
      lost.abort(why);
    };
    try {
      const { runEpoch } = store.transact((tx) => tx.rehomeRun(runId, home.id));
      this.epoch = runEpoch;
      this.#tasks.countOpen();
      const agents = this.#shares.agentsFor();
      const context = this.#context({ home, runEpoch, agents, signal: both });
      this.#participants.add(home.id);
      await Promise.race([rejection(lost.signal), this.#stages(context)]);
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      if (lost.signal.aborted) throw lost.signal.reason;
      this.#homes.rethrow(home, thrown);
    } finally {
      stopListening();
      // Whatever comes late belongs to no epoch any more.
      lose(new HomeLost("The run goes on elsewhere"));
      if (this.#tasks.arePlanned) progress.apply({ kind: "run_state", state: "running" });
      dispatcher.nudge();
    }
  }

  async #stages(context: StageContext): Promise<void> {
    const { store, runId, progress, sources } = this.#scope;
    const { signal } = context;
    await prepareStage(context);
    signal.throwIfAborted();
    this.#destinations.keepPrepared(context);
    const opened = context.destinations.filter((d) => d.end === undefined)
      .map(({ key, id }) => ({ key, destinationId: id }));
    this.#memory.remember(context.home.id, opened);
    if (openDestinations(context).length === 0) return;
    await scanStage(context);
    signal.throwIfAborted();
    this.#tasks.keepScans();
    if (sources.every((s) => s.scan === undefined)) {
      const error = wireError("not_found", "No source could be read, so nothing was copied");
      for (const destination of openDestinations(context)) {
        this.#destinations.end(context, destination, "failed", error);
      }
      return;
    }
    if (!this.#tasks.arePlanned) this.#tasks.plan();
    if (store.run(runId)!.state === "planning") {
      store.transact((tx) => tx.moveRun(runId, "running"));
      progress.apply({ kind: "run_state", state: "running" });
    }
    const deps = {
      scope: this.#scope,
      participants: this.#participants,
      shares: this.#shares,
      destinations: this.#destinations,
      tasks: this.#tasks,
    };
    await meshCopyStage(deps, context, this.#tasks.ledger!);
  }

  /** Undefined: of no home. */
  #context(
    at: { home: Agent; runEpoch: number; agents: number; signal: AbortSignal } | undefined,
  ): StageContext {
    const { store, clock, log, runId, job, sources, destinations } = this.#scope;
    const { progress, signal, onDestination } = this.#scope;
    const elsewhere = {
      scope: this.#scope,
      homes: this.#homes,
      participants: this.#participants,
    };
    const context: StageContext = {
      runId,
      job: at === undefined ? job : { ...job, ...this.#shares.shared() },
      home: at?.home ?? NOBODY,
      store,
      clock,
      log,
      progress,
      signal: at?.signal ?? signal,
      sources,
      destinations,
      onDestination,
      tasks: this.#tasks.sources,
      ledger: this.#tasks.ledger,
      ...(at === undefined
        ? {}
        : { runEpoch: at.runEpoch, knownIds: this.#memory.knownBy(at.home.id) }),
      partsMax: (source) =>
        at !== undefined && at.agents > 1 && this.#shares.canSplit(source)
          ? at.agents * PARTS_PER_AGENT
          : undefined,
      keepEnd: (end) => this.#destinations.keepEnd(end),
      isHomeLost: (thrown, what) => this.#homes.isLost(thrown, what),
      prepared: (result) => {
        if (at !== undefined) this.#homes.prepared(at.home, result);
      },
      scanElsewhere: (source) => scanElsewhere(elsewhere, context, source),
    };
    return context;
  }

  #recordFailure(thrown: unknown): void {
    const { store, log, runId, progress } = this.#scope;
    const error = wireErrorOf(thrown);
    try {
      store.transact((tx) => {
        tx.note({ kind: "run_error", runId, error });
        tx.moveRun(runId, "failed");
      });
      progress.apply({ kind: "run_state", state: "failed" });
      this.#tasks.cancelOpen();
    } catch (storeError) {
      log("error", "The end of the run could not be stored", {
        run: runId,
        error: asBackupError(storeError).message,
      });
    }
  }
}

/** Rejects with the signal's reason once it is aborted; handled, whether anybody waits for it or not. */
function rejection(signal: AbortSignal): Promise<never> {
  const promise = new Promise<never>((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  promise.catch(() => {});
  return promise;
}
