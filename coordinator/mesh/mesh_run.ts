/**
 * One run carried out by the agents of a mesh. Rule: losing any agent, or the coordinator, costs time and never the run:
 * it is prepared anew at another agent, and what is known to be done is not done again.
 */
import { backoffMs } from "../../protocol/base/backoff.ts";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import { newId } from "../../protocol/base/ids.ts";
import type { Log } from "../../protocol/base/log.ts";
import { mirrorHoldsSlot } from "../../protocol/mesh/holds_slot.ts";
import type { JobSpec, SourceSpec } from "../../protocol/mesh/job.ts";
import type { RunShare } from "../../protocol/mesh/methods.ts";
import type { RunReport } from "../../protocol/mesh/run.ts";
import type {
  LaneReport,
  MirrorResult,
  MirrorTask,
  PartSpec,
  PrepareResult,
  TaskSpec,
  WireError,
} from "../../protocol/mesh/task.ts";
import { AgentBusyError, AgentLostError } from "../../protocol/mesh/task_port.ts";
import type { LaneProgress, ScanCounters, TaskProgress } from "../../protocol/mesh/progress.ts";
import { UnreachableError } from "../../protocol/rpc/client.ts";
import type { Aggregator } from "../progress/aggregator.ts";
import { untilAborted, within } from "../runs/deadline.ts";
import { createLaneLedger, type LaneLedger } from "../runs/lane_ledger.ts";
import { prepareStage } from "../runs/prepare_stage.ts";
import { laneReport, runReport } from "../runs/report.ts";
import {
  type Agent,
  type DestinationEnd,
  type DestinationState,
  endDestination,
  openDestinations,
  type ScanElsewhere,
  type SourceState,
  type StageContext,
} from "../runs/run_context.ts";
import { scanStage } from "../runs/scan_stage.ts";
import { wireError, wireErrorOf } from "../runs/wire_error.ts";
import { isNear, match, type MatchTask, readinessOf } from "../scheduler/match.ts";
import type { JobStore } from "../store/job_store.ts";
import type { StoredTask } from "../store/records.ts";
import type { AgentPool } from "./agent_pool.ts";
import { chooseHome, chooseScanner, type HomeFacts } from "./choose_home.ts";
import type { AttemptEnd, MeshDispatcher, MeshTask } from "./mesh_dispatcher.ts";

/** Faults of one task, over all agents; a task that fails so often fails alone. */
export const TASK_FAULTS_MAX = 3;
/** Attempts of one task whatever ended them; takeovers and handoffs are no faults. */
const TASK_ATTEMPTS_MAX = 200;
/** How often one step of a run may fail at its home, and all agents may refuse the run, before that is the run's error. */
const HOME_FAULTS_MAX = 3;
const PARTS_PER_AGENT = 4;
const EVENTS_AT_ONCE = 10_000;
const TOLD_WITHIN_MS = 5_000;
const CANCEL_GRACE_MS = 500;
const LOOK_AGAIN_MS = 200;
/** Pause before an attempt whose agent does not answer is picked up again. */
const REACH_AGAIN_MS = 500;
/** Leases that pass before an agent that is heard and cannot be reached loses its attempt. */
const UNREACHABLE_LEASES_MAX = 2;
/** A destination that another agent may reach. */
const NOT_HERE: ReadonlySet<string> = new Set([
  "destination_missing",
  "destination_changed",
  "destination_lost",
  "not_found",
  "not_a_directory",
]);
const COUNTED_FOR_MS = 1_000;
const FALLBACK_NOTE =
  "No worker can be reached: the coordinator does the work itself, one directory at a time";

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

interface PlannedTask {
  readonly stored: StoredTask;
  readonly source: SourceState;
  readonly scan: ScanCounters;
  faults: number;
}

/** The home is gone: not an error of the run. */
class HomeLost extends Error {
  /** Whether it is worth a pause before the next one is asked. */
  readonly isFault: boolean;

  constructor(message: string, isFault = false) {
    super(message);
    this.isFault = isFault;
  }
}

class RunInMesh {
  readonly #deps: MeshRunDeps;
  readonly #options: MeshRunOptions;
  readonly #job: JobSpec;
  readonly #sources: SourceState[];
  readonly #destinations: DestinationState[];
  epoch: number;
  #tasks: PlannedTask[] = [];
  #ledger: LaneLedger | undefined;
  /** Agents that hold something for the run, with the run epoch they have joined. */
  #participants = new Map<string, Promise<void>>();
  readonly #excluded = new Map<string, string>();
  /** Everybody who was asked to take part in any epoch; one that was thought dead may still hold something. */
  readonly #asked = new Set<string>();
  /** Homes that failed without refusing: others are preferred. */
  readonly #poorHomes = new Map<string, string>();
  readonly #homeFaults = new Map<string, number>();
  #openTasks = 0;
  #counted: { agents: number; atMs: number } | undefined;
  /** How many destinations each home that was tried could not reach. */
  readonly #unreached = new Map<string, number>();
  /** What the home said last that made it unfit, as a stage throws it. */
  #homeFailure: unknown;
  /** No destination is left to work for. */
  readonly #allEnded = new AbortController();
  readonly #left = new AbortController();

  constructor(deps: MeshRunDeps, options: MeshRunOptions) {
    this.#deps = deps;
    this.#options = options;
    const { store } = deps;
    const stored = store.run(options.runId);
    if (stored === undefined) {
      throw new BackupError("not_found", `No run ${options.runId} is stored`);
    }
    this.#job = stored.spec;
    this.epoch = stored.runEpoch;
    const scans = store.scans(options.runId);
    this.#sources = this.#job.sources.map((source) => {
      const known = scans.get(source.name);
      if (known === undefined) return { source };
      return known.kind === "scanned"
        ? { source, scan: known.scan }
        : { source, error: known.error };
    });
    const ends = new Map(store.destinations(options.runId).map((d) => [d.destination, d]));
    const served = new Set(
      [...store.results(options.runId).values()].flatMap((r) => r.lanes.map((l) => l.destination)),
    );
    this.#destinations = this.#job.destinations.map(({ key }) => {
      const known = ends.get(key);
      const state: DestinationState = { key, warnings: known?.warnings ?? [] };
      if (known?.destinationId) state.id = known.destinationId;
      // What was verified before a restart is looked at again; it costs a comparison and proves more than a memory.
      if (known?.isCancelled) state.end = { destination: key, state: "cancelled", elapsedMs: 0 };
      // One that never took part has no accounts to look at again: tasks that have ended owe it nothing.
      else if (known?.end?.state === "failed" && !served.has(key)) state.end = known.end;
      return state;
    });
  }

  async carryOut(): Promise<RunReport> {
    const { store, clock, dispatcher } = this.#deps;
    const { runId, progress, signal } = this.#options;
    const startedAtMs = store.run(runId)?.createdAtMs ?? clock.nowMs();
    let failure: unknown;
    try {
      this.#begin();
      await this.#releaseAll();
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
    // Those that were lost are not waited for: most are dead, but one that is not holds locks. Between two homes they are
    // not told, as they may be part of the run again by then.
    for (const agentId of this.#asked) {
      if (!this.#participants.has(agentId)) this.#tell(agentId, { op: "release", runId });
    }
    await this.#releaseAll();
    try {
      if (failure !== undefined) throw failure;
      const context = this.#context(undefined);
      for (const destination of openDestinations(context)) {
        this.#endDestination(context, destination, "cancelled");
      }
      this.#cancelOpenTasks();
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
    const destination = this.#destinations.find((d) => d.key === key);
    if (destination === undefined || destination.end !== undefined) return;
    const { store } = this.#deps;
    const { runId } = this.#options;
    store.transact((tx) => tx.changeDestination(runId, key, { isCancelled: true }));
    this.#ledger?.close(key);
    this.#endDestination(this.#context(undefined), destination, "cancelled");
    for (const agentId of this.#participants.keys()) {
      this.#tell(agentId, { op: "drop", runId, destination: key });
    }
  }

  /** Nothing new is leased, and whoever works on it begins no further file. */
  pause(isPaused: boolean): void {
    const { runId } = this.#options;
    this.#deps.dispatcher.putRun(runId, { isPaused });
    for (const agentId of this.#participants.keys()) {
      this.#tell(agentId, { op: "pause", runId, isPaused });
    }
  }

  get #isPaused(): boolean {
    return this.#deps.store.run(this.#options.runId)?.isPaused === true;
  }

  leave(): void {
    this.#left.abort(new BackupError("cancelled", "The coordinator ends; its next start goes on"));
  }

  /** Whether it hears us or not. */
  #tell(agentId: string, task: Extract<TaskSpec, { op: "drop" | "release" | "pause" }>): void {
    const { pool, clock } = this.#deps;
    within(
      async (signal) => await pool.client(agentId).run(task, { signal }),
      clock,
      TOLD_WITHIN_MS,
    )
      .catch(() => {});
  }

  #begin(): void {
    const { store, dispatcher, pool } = this.#deps;
    const { runId, progress } = this.#options;
    const { state, homeAgentId } = store.run(runId)!;
    // Whoever took part before a restart is asked to give it back; who does not answer may work on for one lease.
    const known = new Set(pool.views().map((a) => a.agentId));
    const took = (agentId: string | null) => {
      if (agentId !== null && known.has(agentId)) {
        this.#participants.set(agentId, Promise.resolve());
        this.#asked.add(agentId);
      }
    };
    took(homeAgentId);
    // A task knows only who had it last; others have joined as well, and their locks would keep the next run out.
    for (const agentId of this.#joinedBefore()) took(agentId);
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
    for (const { source, scan } of this.#sources) {
      if (scan === undefined) continue;
      progress.apply({ kind: "scan", source: source.name, seq: Infinity, counters: scan.counters });
    }
    this.#loadTasks(store.tasks(runId));
  }

  #joinedBefore(): Set<string> {
    const { store } = this.#deps;
    const joined = new Set<string>();
    for (let after = 0;;) {
      const events = store.eventsAfter(after, EVENTS_AT_ONCE, this.#options.runId);
      for (const { event } of events) if (event.kind === "run_joined") joined.add(event.agentId);
      const last = events.at(-1);
      if (last === undefined || events.length < EVENTS_AT_ONCE) return joined;
      after = last.seq;
    }
  }

  async #epochs(): Promise<void> {
    const { signal, note } = this.#options;
    const { clock } = this.#deps;
    const isOver = AbortSignal.any([signal, this.#left.signal, this.#allEnded.signal]);
    for (let faults = 0; openDestinations(this.#context(undefined)).length > 0;) {
      signal.throwIfAborted();
      try {
        await this.#untilResumed(isOver);
        const home = await this.#chooseHome(isOver);
        return await this.#once(home);
      } catch (thrown) {
        if (signal.aborted || this.#left.signal.aborted) throw thrown;
        if (this.#allEnded.signal.aborted) return;
        if (!(thrown instanceof HomeLost)) throw thrown;
        note(thrown.message);
        await this.#releaseAll();
        if (!thrown.isFault) continue;
        await clock.sleep(backoffMs(++faults), isOver).catch(() => {});
      }
    }
  }

  /** A run that is paused takes no locks, after a restart or a lost home. */
  async #untilResumed(isOver: AbortSignal): Promise<void> {
    while (this.#isPaused) await this.#deps.clock.sleep(LOOK_AGAIN_MS, isOver);
  }

  async #chooseHome(isOver: AbortSignal): Promise<Agent> {
    const { pool, clock } = this.#deps;
    const { note } = this.#options;
    for (;;) {
      isOver.throwIfAborted();
      const sources = this.#job.sources;
      const views = pool.views();
      const poor = this.#poorHomes;
      const facts = this.#homeFacts();
      let choice = chooseHome(sources, views, {
        ...facts,
        excluded: new Map([...this.#excluded, ...poor]),
      });
      // A poor one is better than none, and than the coordinator itself.
      if ((choice.agent === undefined || choice.agent.isFallback === true) && poor.size > 0) {
        poor.clear();
        choice = chooseHome(sources, views, facts);
      }
      // All that could are out: what kept them out may have passed.
      if (choice.agent === undefined && this.#excluded.size > 0) {
        const [refusal] = this.#excluded.values();
        this.#excluded.clear();
        choice = chooseHome(sources, views, facts);
        if (choice.agent !== undefined) {
          const refusals = this.#countFault("refused");
          if (refusals >= HOME_FAULTS_MAX) {
            throw new BackupError("rejected", `No agent can carry out the run: ${refusal}`);
          }
          await clock.sleep(backoffMs(refusals), isOver);
          continue;
        }
      }
      const { agent, reason } = choice;
      if (agent !== undefined) {
        if (agent.isFallback) note(FALLBACK_NOTE);
        return {
          id: agent.agentId,
          client: pool.client(agent.agentId),
          capabilities: agent.capabilities,
          slots: agent.slots,
        };
      }
      if (reason !== undefined) note(`The run waits: ${reason}`);
      await clock.sleep(LOOK_AGAIN_MS, isOver);
    }
  }

  #homeFacts(): HomeFacts {
    return {
      excluded: this.#excluded,
      heldBy: (id) => this.#deps.pool.heldBy(id),
      unreached: (id) => this.#unreached.get(id) ?? 0,
    };
  }

  /** A destination that lies somewhere else may be within reach of another agent: each is asked once. */
  #afterPrepare(home: Agent, { destinations }: PrepareResult): void {
    const away = destinations.filter(({ error }) =>
      error !== undefined && NOT_HERE.has(error.code)
    );
    const isNews = !this.#unreached.has(home.id);
    this.#unreached.set(home.id, away.length);
    const [first] = away;
    if (!isNews || first === undefined) return;
    const { agent } = chooseHome(this.#job.sources, this.#deps.pool.views(), this.#homeFacts());
    if (agent === undefined || agent.agentId === home.id || agent.isFallback === true) return;
    if ((this.#unreached.get(agent.agentId) ?? 0) >= away.length) return;
    const why = first.error!.message;
    throw new HomeLost(`${home.id} cannot reach ${first.destination}: ${why}; another is asked`);
  }

  /** Undefined: the home is near it. */
  #scanElsewhere(context: StageContext, source: SourceSpec): ScanElsewhere | undefined {
    const { pool, clock, leaseMs } = this.#deps;
    const { note } = this.#options;
    const { signal } = context;
    const home = pool.views().find((a) => a.agentId === context.home.id);
    if (home === undefined || isNear(placed(source), home)) return undefined;
    return async (spec, options) => {
      const failed = new Map<string, string>();
      let giveUpMs: number | undefined;
      for (let faults = 0;;) {
        signal.throwIfAborted();
        const facts = this.#homeFacts();
        const views = pool.views();
        const { agent } = chooseScanner(source, views, {
          ...facts,
          excluded: new Map([...facts.excluded, ...failed]),
        });
        if (agent === undefined) {
          const { reason } = chooseScanner(source, views, facts);
          // Those near it that live cannot take part: that does not pass by waiting.
          const near = views.filter((a) => isNear(placed(source), a) && readinessOf(a) !== "dead");
          if (near.length > 0 && near.every((a) => facts.excluded.has(a.agentId))) {
            throw new BackupError("rejected", `${source.name} cannot be copied: ${reason}`);
          }
          if (reason !== undefined) {
            note(`${source.name} waits: ${reason}`);
            giveUpMs = undefined;
          }
          failed.clear();
          await clock.sleep(LOOK_AGAIN_MS, signal);
          continue;
        }
        const { agentId } = agent;
        if (agent.isFallback) note(FALLBACK_NOTE);
        try {
          await this.#join(context, agentId);
          return await pool.client(agentId).run(spec, options);
        } catch (thrown) {
          signal.throwIfAborted();
          if (!isAgentsFault(thrown)) throw thrown;
          if (this.#excluded.has(agentId)) continue;
          failed.set(agentId, asBackupError(thrown).message);
          this.#participants.delete(agentId);
          if (isAgentLost(thrown)) {
            // It says nothing about the source, and is soon known to be dead; not for ever, where only calls fail.
            giveUpMs ??= clock.monotonicMs() + leaseMs * UNREACHABLE_LEASES_MAX;
            if (clock.monotonicMs() >= giveUpMs) throw thrown;
          } else if (++faults >= HOME_FAULTS_MAX) throw thrown;
          await clock.sleep(backoffMs(Math.max(1, faults)), signal);
        }
      }
    };
  }

  #countFault(what: string): number {
    const count = (this.#homeFaults.get(what) ?? 0) + 1;
    this.#homeFaults.set(what, count);
    return count;
  }

  /** Whether another home, or the same one after a while, could do better; not for ever. */
  #isHomeLost(thrown: unknown, what: string): boolean {
    const { code, retry } = asBackupError(thrown);
    const isLost = isAgentLost(thrown) || code === "superseded" ||
      retry === "elsewhere" ||
      (isAgentsFault(thrown) && this.#countFault(what) < HOME_FAULTS_MAX);
    if (isLost) this.#homeFailure = thrown;
    return isLost;
  }

  /** One home, from preparing to its loss or to the end of all destinations. @throws {HomeLost} */
  async #once(home: Agent): Promise<void> {
    const { store, pool, dispatcher } = this.#deps;
    const { runId, signal, progress } = this.#options;
    const lost = new AbortController();
    const stopListening = pool.onLost((agentId, why) => {
      this.#participants.delete(agentId);
      if (agentId === home.id) lose(new HomeLost(why));
    });
    const over = AbortSignal.any([this.#left.signal, this.#allEnded.signal]);
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
      this.#openTasks = this.#tasks.filter((t) =>
        !isFinal(store.task(t.stored.taskId)!.state)
      ).length;
      const agents = this.#agentsFor();
      const context = this.#context({ home, runEpoch, agents, signal: both });
      this.#participants.set(home.id, Promise.resolve());
      this.#asked.add(home.id);
      await Promise.race([rejection(lost.signal), this.#stages(context, both)]);
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      if (lost.signal.aborted) throw lost.signal.reason;
      if (thrown !== this.#homeFailure) throw thrown;
      const { message, retry } = asBackupError(thrown);
      (retry === "elsewhere" ? this.#excluded : this.#poorHomes).set(home.id, message);
      // Who refuses is out, so the next one is asked at once.
      const isFault = retry !== "elsewhere";
      throw new HomeLost(`${home.id} cannot go on with the run: ${message}`, isFault);
    } finally {
      stopListening();
      // Whatever comes late belongs to no epoch any more.
      lose(new HomeLost("The run goes on elsewhere"));
      if (this.#tasks.length > 0) progress.apply({ kind: "run_state", state: "running" });
      dispatcher.nudge();
    }
  }

  async #stages(context: StageContext, signal: AbortSignal): Promise<void> {
    const { store } = this.#deps;
    const { runId, progress } = this.#options;
    await prepareStage(context);
    signal.throwIfAborted();
    store.transact((tx) => {
      for (const d of context.destinations) {
        tx.changeDestination(runId, d.key, {
          warnings: [...d.warnings],
          destinationId: d.id ?? null,
        });
      }
    });
    for (const { key, end } of context.destinations) {
      if (end !== undefined) this.#ledger?.close(key);
    }
    if (openDestinations(context).length === 0) return;
    await scanStage(context);
    signal.throwIfAborted();
    this.#keepScans();
    if (this.#sources.every((s) => s.scan === undefined)) {
      const error = wireError("not_found", "No source could be read, so nothing was copied");
      for (const d of openDestinations(context)) this.#endDestination(context, d, "failed", error);
      return;
    }
    if (this.#tasks.length === 0) this.#planTasks();
    if (store.run(runId)!.state === "planning") {
      store.transact((tx) => tx.moveRun(runId, "running"));
      progress.apply({ kind: "run_state", state: "running" });
    }
    await this.#copy(context, signal);
  }

  // -- tasks

  #keepScans(): void {
    const { store } = this.#deps;
    const { runId } = this.#options;
    store.transact((tx) => {
      for (const { source, scan, error } of this.#sources) {
        if (scan !== undefined) tx.putScan(runId, source.name, { kind: "scanned", scan });
        else if (error !== undefined) tx.putScan(runId, source.name, { kind: "failed", error });
      }
    });
  }

  #planTasks(): void {
    const { store } = this.#deps;
    const { runId } = this.#options;
    const { requiredCapabilities } = this.#job;
    store.transact((tx) => {
      for (const { source, scan } of this.#sources) {
        if (scan === undefined) continue;
        const parts: { part?: PartSpec; counters: ScanCounters }[] =
          scan.parts !== undefined && scan.parts.length > 1
            ? scan.parts
            : [{ counters: scan.counters }];
        for (const { part, counters } of parts) {
          tx.insertTask({
            taskId: newId("task"),
            runId,
            source,
            part,
            requires: [...new Set(["mirror", ...requiredCapabilities, ...source.requires ?? []])],
            files: counters.files,
            sizeBytes: counters.bytes,
          });
        }
      }
    });
    this.#loadTasks(store.tasks(runId));
  }

  /** Tasks and what is known of them, from the store. */
  #loadTasks(stored: readonly StoredTask[]): void {
    if (stored.length === 0) return;
    const { progress, runId, taskChanged } = this.#options;
    const byName = new Map(this.#sources.map((s) => [s.source.name, s]));
    this.#tasks = stored.map((task): PlannedTask => {
      const source = byName.get(task.source.name)!;
      const part = source.scan?.parts?.find((p) => p.part.key === task.part?.key);
      const whole = source.scan?.counters;
      const scan = part?.counters ?? whole;
      if (scan === undefined) throw new BackupError("internal", `Task ${task.taskId} has no scan`);
      return { stored: task, source, scan, faults: 0 };
    });
    const keys = this.#destinations.filter((d) => d.end === undefined).map((d) => d.key);
    const ledger = createLaneLedger(keys, this.#tasks.length);
    this.#ledger = ledger;
    progress.apply({
      kind: "planned",
      tasks: this.#tasks.map(({ stored: { taskId }, scan }) => ({ taskId, scan })),
    });
    const results = this.#deps.store.results(runId);
    this.#tasks.forEach(({ stored: task, source }, index) => {
      taskChanged(task.taskId);
      if (task.state !== "succeeded" && task.state !== "failed") return;
      const result = results.get(task.taskId);
      // Nothing is owed any more, whatever other destinations were prepared since.
      ledger.begin(index);
      if (result === undefined) {
        ledger.broke(index, wireError("io", task.reason ?? "It failed"), false);
        return;
      }
      ledger.reported(index, result);
      addUnreadable(source, result);
      progress.apply({
        kind: "lanes",
        taskId: task.taskId,
        agentId: task.agentId ?? "",
        epoch: Math.max(1, task.epoch),
        seq: Number.MAX_SAFE_INTEGER,
        lanes: result.lanes.map(progressOf),
      });
    });
  }

  async #copy(context: StageContext, signal: AbortSignal): Promise<void> {
    const { dispatcher, store } = this.#deps;
    const { runId } = this.#options;
    const ledger = this.#ledger!;
    const closings = new Map<string, Promise<void>>();
    const { promise: broken, reject: breakOff } = Promise.withResolvers<never>();
    broken.catch(() => {});

    const closeSettled = (): void => {
      if (signal.aborted) return;
      for (const destination of openDestinations(context)) {
        const { key } = destination;
        if (closings.has(key) || !ledger.isSettled(key)) continue;
        ledger.close(key);
        const closing = this.#finishDestination(context, destination, ledger);
        closing.catch(breakOff);
        closings.set(key, closing);
      }
    };

    const open = this.#tasks.map((task, index) => ({ task, index }))
      .filter(({ task }) => !isFinal(store.task(task.stored.taskId)!.state));
    this.#openTasks = open.length;
    const meshTasks = open.map(({ task, index }) =>
      this.#meshTask(context, task, index, closeSettled, signal)
    );
    dispatcher.putRun(runId, {
      isPaused: store.run(runId)!.isPaused,
      excluded: this.#excluded,
    });
    const ends = dispatcher.dispatch(meshTasks, this.#options.signal);
    for (const end of ends) end.finally(() => this.#openTasks--).catch(() => {});
    closeSettled();
    await Promise.race([Promise.all(ends), broken]);
    signal.throwIfAborted();
    closeSettled();
    await Promise.race([Promise.all(closings.values()), broken]);
    signal.throwIfAborted();
    // A lane that nobody will work on any more, with no end of its own, has failed.
    for (const destination of openDestinations(context)) {
      if (closings.has(destination.key)) continue;
      await this.#finishDestination(context, destination, ledger);
    }
  }

  #meshTask(
    context: StageContext,
    task: PlannedTask,
    index: number,
    closeSettled: () => void,
    runSignal: AbortSignal,
  ): MeshTask {
    const { dispatcher, pool, leaseMs } = this.#deps;
    const { runId, progress, taskChanged } = this.#options;
    const { stored: { taskId, part, requires, sizeBytes }, source } = task;
    const ledger = this.#ledger!;
    const spec = source.source;
    return {
      view: {
        taskId,
        runId,
        source: spec.name,
        place: { hostId: spec.hostId, root: spec.root },
        requires,
        sizeBytes,
        ...(spec.after === undefined ? {} : { after: spec.after }),
        onlyAgents: null,
      },
      holdsSlot: () => mirrorHoldsSlot(ledger.statesOf(index)),
      gaveUp: (why) => {
        ledger.broke(index, wireError("superseded", why), true);
        taskChanged(taskId);
      },
      attempt: async (agentId, epoch, begun, signal) => {
        taskChanged(taskId);
        const owed = ledger.begin(index);
        if (owed.length === 0) return this.#endOf(index);
        const both = AbortSignal.any([signal, runSignal]);
        const isOver = () => both.aborted;
        let end: AttemptEnd;
        let hasBegun = false;
        let hasJoined = false;
        try {
          await this.#join(context, agentId);
          hasJoined = true;
          // A handoff moves a task of a paused run as well; whoever gets it waits like the others.
          if (this.#isPaused) {
            await pool.client(agentId).run({ op: "pause", runId, isPaused: true });
          }
          both.throwIfAborted();
          const isOwn = pool.views().find((a) => a.agentId === agentId)?.isFallback === true;
          const result = await this.#mirrorAt(agentId, {
            op: "mirror",
            runId,
            taskId,
            epoch,
            source: spec,
            ...(part === null ? {} : { part }),
            destinations: owed,
            options: this.#shared().options,
            ...(isOwn ? {} : { leaseMs }),
          }, {
            signal: both,
            onProgress: ({ seq, lanes }) => {
              if (isOver()) return;
              if (!hasBegun) {
                hasBegun = true;
                begun();
                taskChanged(taskId);
              }
              const atMs = Math.round(this.#deps.clock.nowMs());
              progress.apply({ kind: "lanes", taskId, agentId, epoch, seq, lanes, atMs });
              ledger.heard(index, lanes);
              dispatcher.hold(taskId, mirrorHoldsSlot(ledger.statesOf(index)));
              closeSettled();
            },
          });
          if (isOver()) return this.#over();
          if (this.#isGivenUp(result)) {
            const why = "The agent gave it up without being told to";
            throw new BackupError("superseded", why, { retry: "elsewhere" });
          }
          ledger.reported(index, result);
          addUnreadable(source, result);
          end = { ...this.#endOf(index), result: this.#resultOf(index, result) };
        } catch (thrown) {
          if (isOver()) return this.#over();
          return this.#failed(
            { context, task, index, agentId, epoch, hasJoined, thrown },
            closeSettled,
          );
        }
        closeSettled();
        queueMicrotask(() => taskChanged(taskId));
        return end;
      },
    };
  }

  /** An attempt goes on while we cannot reach its agent, so it is picked up again until the agent is lost. */
  async #mirrorAt(
    agentId: string,
    spec: MirrorTask,
    options: { signal: AbortSignal; onProgress: (progress: TaskProgress) => void },
  ): Promise<MirrorResult> {
    const { pool, clock, dispatcher, leaseMs } = this.#deps;
    let giveUpMs = clock.monotonicMs() + leaseMs * UNREACHABLE_LEASES_MAX;
    // Its lease begins when it is told of the attempt, and joining the run may have taken long.
    dispatcher.renew(agentId, [{ taskId: spec.taskId, epoch: spec.epoch }]);
    const onProgress = (progress: TaskProgress): void => {
      giveUpMs = clock.monotonicMs() + leaseMs * UNREACHABLE_LEASES_MAX;
      options.onProgress(progress);
    };
    for (;;) {
      try {
        return await pool.client(agentId).run(spec, { signal: options.signal, onProgress });
      } catch (thrown) {
        if (!(thrown instanceof UnreachableError) || options.signal.aborted) throw thrown;
        if (clock.monotonicMs() >= giveUpMs) {
          dispatcher.mayStillRun(spec.taskId, agentId);
          throw thrown;
        }
        await clock.sleep(REACH_AGAIN_MS, options.signal);
      }
    }
  }

  /** How an attempt ends that nobody waits for any more. */
  #over(): AttemptEnd {
    return this.#options.signal.aborted
      ? { kind: "cancelled" }
      : { kind: "retry", reason: "The run goes on elsewhere", avoidsAgent: false };
  }

  /** What the attempt reported, and what earlier attempts had verified before it: the next start knows only this. */
  #resultOf(index: number, result: MirrorResult): MirrorResult {
    const ledger = this.#ledger!;
    const lanes = ledger.destinations.flatMap((key) => {
      const account = ledger.accounts(key)[index]!;
      return account.settled ? [laneReport(key, account)] : [];
    });
    return { ...result, lanes };
  }

  #failed(
    { context, task, index, agentId, epoch, hasJoined, thrown }: {
      context: StageContext;
      task: PlannedTask;
      index: number;
      agentId: string;
      epoch: number;
      hasJoined: boolean;
      thrown: unknown;
    },
    closeSettled: () => void,
  ): AttemptEnd {
    const { runId, taskChanged } = this.#options;
    const error = wireErrorOf(thrown);
    const isTakenBack = error.code === "superseded" || error.code === "cancelled";
    const isRefused = error.code === "rejected" && error.retry === "elsewhere";
    // It may have lost the run, as after a start anew: it joins again. The home would have to prepare.
    if (isRefused && agentId !== context.home.id) this.#participants.delete(agentId);
    // What says nothing about the task is no fault of it.
    const isTasksFault = hasJoined && !isTakenBack && !isRefused &&
      !isAgentLost(thrown);
    if (isTasksFault) task.faults++;
    const mayRetry = isAgentsFault(thrown) && task.faults < TASK_FAULTS_MAX &&
      epoch < TASK_ATTEMPTS_MAX;
    this.#deps.log("warn", "An attempt at a directory has failed", {
      run: runId,
      task: task.stored.taskId,
      agent: agentId,
      attempt: epoch,
      again: mayRetry,
      error: error.message,
    });
    const again = this.#ledger!.broke(index, error, mayRetry);
    const result = this.#resultOf(index, {
      op: "mirror",
      lanes: [],
      unreadable: [],
      unreadableCount: 0,
    });
    queueMicrotask(() => taskChanged(task.stored.taskId));
    closeSettled();
    return again
      ? { kind: "retry", reason: error.message, avoidsAgent: !isTakenBack }
      : { ...this.#endOf(index), result };
  }

  /** The agent becomes part of the run, once for each home. @throws {BackupError} */
  #join(context: StageContext, agentId: string): Promise<void> {
    const known = this.#participants.get(agentId);
    if (known !== undefined) return known;
    const { pool, dispatcher, store } = this.#deps;
    const { runId } = this.#options;
    if (!this.#asked.has(agentId)) {
      store.transact((tx) => tx.note({ kind: "run_joined", runId, agentId }));
    }
    this.#counted = undefined;
    const shared = this.#shared();
    const destinations = openDestinations(context).flatMap(({ key, id }) => {
      const spec = shared.destinations.find((d) => d.key === key)!;
      return id === undefined ? [] : [{ spec, destinationId: id }];
    });
    const joined = (async () => {
      const result = await pool.client(agentId).run({
        op: "join",
        runId,
        runEpoch: context.runEpoch ?? 1,
        sources: this.#job.sources,
        destinations,
        options: shared.options,
      });
      const refused = result.destinations.find((d) => d.error !== undefined);
      if (refused?.error === undefined) return;
      const why = `${refused.destination}: ${refused.error.message}`;
      throw new BackupError("rejected", why, { retry: "elsewhere" });
    })();
    this.#participants.set(agentId, joined);
    this.#asked.add(agentId);
    return joined.catch((thrown) => {
      if (this.#participants.get(agentId) !== joined) throw thrown;
      this.#participants.delete(agentId);
      const error = asBackupError(thrown);
      if (error.retry === "elsewhere" && !context.signal.aborted) {
        this.#excluded.set(agentId, error.message);
        dispatcher.putRun(runId, { excluded: new Map(this.#excluded) });
        this.#tell(agentId, { op: "release", runId });
      }
      throw thrown;
    });
  }

  /** A lane that ended as cancelled, though nobody here has cancelled it. */
  #isGivenUp({ lanes }: MirrorResult): boolean {
    return lanes.some((l) => l.state === "cancelled" && !this.#isCancelled(l.destination));
  }

  #isCancelled(key: string): boolean {
    return this.#destinations.find((d) => d.key === key)?.end?.state === "cancelled";
  }

  #endOf(index: number): { kind: "succeeded" } | { kind: "failed"; reason: string } {
    const ledger = this.#ledger!;
    const lanes = ledger.destinations.map((key) => ({ key, lane: ledger.accounts(key)[index]! }));
    const bad = lanes.filter(({ key, lane }) =>
      lane.state !== "verified" && lane.state !== "planned" && !this.#isCancelled(key)
    );
    if (bad.length === 0) return { kind: "succeeded" };
    return { kind: "failed", reason: `Not verified at ${bad.map((b) => b.key).join(", ")}` };
  }

  // -- destinations

  async #finishDestination(
    context: StageContext,
    destination: DestinationState,
    ledger: LaneLedger,
  ): Promise<void> {
    const { home, runId, job, signal } = context;
    const lanes = ledger.accounts(destination.key);
    const laneError = lanes.find((l) => l.error !== undefined)?.error;
    if (job.options.dryRun) {
      const isPlanned = lanes.every((l) => l.state === "planned");
      return this.#endDestination(
        context,
        destination,
        isPlanned ? "planned" : "failed",
        laneError,
      );
    }
    let error: WireError | undefined;
    try {
      const spec = { op: "finish", runId, destination: destination.key } as const;
      error = (await home.client.run(spec, { signal })).error;
    } catch (thrown) {
      if (signal.aborted) return;
      if (context.isHomeLost?.(thrown, `finish ${destination.key}`)) throw thrown;
      error = wireErrorOf(thrown);
    }
    const isVerified = error === undefined && lanes.every((l) => l.state === "verified");
    this.#endDestination(
      context,
      destination,
      isVerified ? "verified" : "failed",
      error ?? (isVerified ? undefined : laneError),
    );
  }

  #endDestination(
    context: StageContext,
    destination: DestinationState,
    state: DestinationEnd["state"],
    error?: WireError,
  ): void {
    endDestination(context, destination, state, error);
    const { end } = destination;
    if (end === undefined) return;
    this.#deps.store.transact((tx) =>
      tx.changeDestination(this.#options.runId, destination.key, { end })
    );
    if (openDestinations(context).length > 0 || context.home !== NOBODY) return;
    this.#allEnded.abort(new BackupError("cancelled", "No destination is left"));
  }

  // -- agents

  /** Agents that could take a task of the run now. */
  #agentsFor(): number {
    const regular = this.#deps.pool.views().filter((a) => a.isFallback !== true);
    const counts = this.#job.sources.map(({ hostId, root, requires = [] }) =>
      match(
        {
          requires: ["mirror", ...this.#job.requiredCapabilities, ...requires],
          onlyAgents: null,
          place: { hostId, root },
        },
        regular,
        this.#excluded,
      ).candidates.length
    );
    return Math.max(1, ...counts);
  }

  #canSplit({ requires = [] }: SourceSpec): boolean {
    const { deleteGone, keepVersions, mhl, dryRun } = this.#job.options;
    const isForSnapshots = this.#job.destinations.some(({ kind }) => kind === "restic");
    return !isForSnapshots && !deleteGone && !keepVersions && !mhl && !dryRun &&
      !requires.includes("backup.sequential");
  }

  /** How many agents work at its destinations at once, or will. */
  #shares(): number {
    const agents = Math.max(this.#agentsNow(), this.#participants.size);
    const tasks = this.#tasks.length > 0
      ? this.#openTasks
      : this.#job.sources.some((s) => this.#canSplit(s))
      ? Infinity
      : this.#job.sources.length;
    return Math.max(1, Math.min(agents, tasks));
  }

  /** Counted at most once a second: every heartbeat asks. */
  #agentsNow(): number {
    const nowMs = this.#deps.clock.monotonicMs();
    if (this.#counted === undefined || nowMs - this.#counted.atMs >= COUNTED_FOR_MS) {
      this.#counted = { agents: this.#agentsFor(), atMs: nowMs };
    }
    return this.#counted.agents;
  }

  /** The job's limits, divided among those who work at once. */
  #shared(): Pick<JobSpec, "destinations" | "options"> {
    const { options, destinations } = this.#job;
    const share = this.#shares();
    const workersMax = Math.max(1, Math.floor(options.workersMax / share));
    return {
      options: { ...options, workersMax, workersMin: Math.min(options.workersMin, workersMax) },
      destinations: destinations.map((d) =>
        d.limitBytesPerSecond === undefined
          ? d
          : { ...d, limitBytesPerSecond: Math.max(1, d.limitBytesPerSecond / share) }
      ),
    };
  }

  share(): Pick<RunShare, "workersMax" | "limits"> {
    const { options: { workersMax }, destinations } = this.#shared();
    return {
      workersMax,
      limits: destinations.flatMap(({ key, limitBytesPerSecond }) =>
        limitBytesPerSecond === undefined
          ? []
          : [{ destination: key, bytesPerSecond: limitBytesPerSecond }]
      ),
    };
  }

  #context(
    at: { home: Agent; runEpoch: number; agents: number; signal: AbortSignal } | undefined,
  ): StageContext {
    const { store, clock, log } = this.#deps;
    const { runId, progress, signal, onDestination } = this.#options;
    const context: StageContext = {
      runId,
      job: at === undefined ? this.#job : { ...this.#job, ...this.#shared() },
      home: at?.home ?? NOBODY,
      store,
      clock,
      log,
      progress,
      signal: at?.signal ?? signal,
      sources: this.#sources,
      destinations: this.#destinations,
      onDestination,
      tasks: this.#tasks.map((t) => t.source),
      ledger: this.#ledger,
      ...(at === undefined ? {} : { runEpoch: at.runEpoch }),
      partsMax: (source) =>
        at !== undefined && at.agents > 1 && this.#canSplit(source)
          ? at.agents * PARTS_PER_AGENT
          : undefined,
      isHomeLost: (thrown, what) => this.#isHomeLost(thrown, what),
      prepared: (result) => {
        if (at !== undefined) this.#afterPrepare(at.home, result);
      },
      scanElsewhere: (source) => this.#scanElsewhere(context, source),
    };
    return context;
  }

  /** Everybody gives back what they hold; who does not answer is not waited for long. */
  async #releaseAll(): Promise<void> {
    const { pool, clock, log, dispatcher } = this.#deps;
    const { runId } = this.#options;
    const agents = [...this.#participants.keys()];
    this.#participants = new Map();
    await Promise.all(agents.map(async (agentId) => {
      try {
        const client = pool.client(agentId);
        await within(
          (cut) => client.run({ op: "release", runId }, { signal: cut }),
          clock,
          TOLD_WITHIN_MS,
        );
        dispatcher.released(runId, agentId);
      } catch (thrown) {
        log("info", "An agent did not confirm that it gave back what it held", {
          run: runId,
          agent: agentId,
          error: asBackupError(thrown).message,
        });
      }
    }));
  }

  #cancelOpenTasks(): void {
    const { store } = this.#deps;
    store.transact((tx) => {
      for (const task of tx.tasks(this.#options.runId)) {
        if (!isFinal(task.state)) tx.moveTask(task.taskId, task.epoch, "cancelled");
      }
    });
    for (const { stored } of this.#tasks) this.#options.taskChanged(stored.taskId);
  }

  #recordFailure(thrown: unknown): void {
    const { store, log } = this.#deps;
    const { runId, progress } = this.#options;
    const error = wireErrorOf(thrown);
    try {
      store.transact((tx) => {
        tx.note({ kind: "run_error", runId, error });
        tx.moveRun(runId, "failed");
      });
      this.#cancelOpenTasks();
    } catch (storeError) {
      log("error", "The end of the run could not be stored", {
        run: runId,
        error: asBackupError(storeError).message,
      });
    }
    progress.apply({ kind: "run_state", state: "failed" });
  }
}

const NOBODY: Agent = {
  id: "",
  client: { run: () => Promise.reject(new BackupError("internal", "The run has no home")) },
  capabilities: [],
  slots: 1,
};

/** Rejects with the signal's reason once it is aborted; handled, whether anybody waits for it or not. */
function rejection(signal: AbortSignal): Promise<never> {
  const promise = new Promise<never>((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  promise.catch(() => {});
  return promise;
}

/** Nobody answers for the task, or not now: that says something about the agent, and nothing about the task. */
function isAgentLost(thrown: unknown): boolean {
  return thrown instanceof UnreachableError || thrown instanceof AgentLostError ||
    thrown instanceof AgentBusyError;
}

function placed({ hostId, root }: SourceSpec): MatchTask {
  return { requires: [], onlyAgents: null, place: { hostId, root } };
}

/** Whether another agent, or the same one after a while, could do better. */
function isAgentsFault(thrown: unknown): boolean {
  const { code, retry } = asBackupError(thrown);
  return retry !== "no" ||
    ["superseded", "cancelled", "io", "protocol", "internal", "deadline"].includes(code);
}

function isFinal(state: StoredTask["state"]): boolean {
  return state === "succeeded" || state === "failed" || state === "cancelled";
}

/** What the parts of a source could not read, together. */
function addUnreadable(
  source: SourceState,
  { unreadable, unreadableCount, walked }: MirrorResult,
): void {
  const before = source.mirrored;
  // What the agent itself could not list; the report counts what the scan has named too only once.
  const unlisted = walked?.unreadable ?? [];
  source.mirrored = {
    op: "mirror",
    lanes: [],
    unreadable: [...before?.unreadable ?? [], ...unreadable, ...unlisted],
    unreadableCount: (before?.unreadableCount ?? 0) + unreadableCount + unlisted.length,
  };
}

function progressOf(report: LaneReport): LaneProgress {
  return {
    destination: report.destination,
    state: report.state === "planned" ? "verified" : report.state,
    counters: {
      filesTotal: report.filesTotal,
      bytesTotal: report.bytesCopied,
      filesDone: report.filesCopied + report.filesUnchanged,
      bytesDone: report.bytesCopied,
      filesUnchanged: report.filesUnchanged,
      bytesUnchanged: 0,
      filesFailed: report.failureCount,
      verifyFilesTotal: report.filesVerified,
      verifyBytesTotal: report.bytesVerified,
      verifyFilesDone: report.filesVerified,
      verifyBytesDone: report.bytesVerified,
    },
    gauges: {
      workers: 0,
      workersTarget: 0,
      bytesPerSecond: 0,
      queueDepth: 0,
      stalledForMs: 0,
      currentFiles: [],
    },
  };
}
