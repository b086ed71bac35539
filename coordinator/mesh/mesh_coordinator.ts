/**
 * A coordinator of a mesh: knows agents, takes jobs, sees each to its end, also after a restart. Rule: everything it is
 * asked comes through `bindings`, is parsed by schema, and whatever it is, the coordinator goes on.
 */
import type { BootClock } from "../../protocol/base/boot_clock.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import { newId } from "../../protocol/base/ids.ts";
import type { Log } from "../../protocol/base/log.ts";
import type { Metric } from "../../protocol/http/metrics_text.ts";
import { NEXT_RUN_STATES } from "../../protocol/mesh/job.ts";
import {
  type Acceptance,
  HandoffTask,
  type HeldRun,
  type RunDetail,
  type TaskInfo,
} from "../../protocol/mesh/methods.ts";
import { createTaskClient } from "../../protocol/mesh/task_over_a2a.ts";
import type { TaskClient } from "../../protocol/mesh/task_port.ts";
import { createMeshClient } from "../../protocol/mesh/mesh_client.ts";
import type { FetchLike, RpcClient } from "../../protocol/rpc/client.ts";
import type { Binding } from "../../protocol/rpc/method.ts";
import { createAggregator } from "../progress/aggregator.ts";
import { createDiscovery } from "../registry/discovery.ts";
import { createRegistry, type KnownAgent, type RegistryTimes } from "../registry/registry.ts";
import { within } from "../runs/deadline.ts";
import { checkNames } from "../runs/check_names.ts";
import type { AgentView } from "../scheduler/view.ts";
import type { JobStore } from "../store/job_store.ts";
import type { StoredRun, StoredTask } from "../store/records.ts";
import type { AgentPool } from "./agent_pool.ts";
import { createEndedRuns } from "./ended_runs.ts";
import { meshBindings } from "./bindings.ts";
import type { MeshService } from "./mesh_service.ts";
import { createMeshDispatcher } from "./mesh_dispatcher.ts";
import { type MeshRun, startMeshRun } from "./mesh_run.ts";
import { runInfoOf, taskInfoOf } from "./stored_infos.ts";
import { createRunHub, type RunHub, type Unnumbered } from "./run_hub.ts";

export interface OwnAgentFacts {
  capabilities: readonly string[];
  /** Labels of its roots. */
  roots?: readonly string[];
}

export interface MeshCoordinatorDeps {
  store: JobStore;
  clock: Clock;
  bootClock: BootClock;
  log: Log;
  /** Calls without the token, for cards, proofs and probes. */
  fetch: FetchLike;
  /** Calls that carry it to whoever has proven to know it. */
  meshFetch: FetchLike;
  token: string;
  /** Of the coordinator's machine: what a path without a host means. */
  hostId: string;
  /** As agents reach it. */
  url: string;
  times: RegistryTimes;
  /** The agent of its own process, for when there is no other; made when it is needed first. */
  fallback?: OwnAgentFacts & { open(): TaskClient; rpc?(): RpcClient } | undefined;
  /** Told whatever readers of a run are told; without an event: the run is new, or its standing facts have changed. */
  onRun?: ((runId: string, event?: Unnumbered) => void) | undefined;
  /** Origins of agents to look for. */
  addresses: readonly string[];
  scansLocalPorts: boolean;
  tasksMax?: number;
}

/** The agents as whoever asks them something needs them. */
export interface AgentReach {
  views(): readonly AgentView[];
  nameOf(agentId: string): string;
  /** @throws {BackupError} `not_found` */
  tasks(agentId: string): TaskClient;
  /** @throws {BackupError} `not_found` */
  rpc(agentId: string): RpcClient;
}

export interface MeshCoordinator {
  readonly bindings: Binding[];
  /** What the bindings call. */
  readonly service: MeshService;
  readonly reach: AgentReach;
  /** Goes on with what a former process has left, and begins to look for agents. */
  start(): void;
  /** Takes no new job; runs stay as they are in the store, for the next start. Idempotent. */
  close(): void;
  metrics(): Metric[];
}

/** Id of the agent in the coordinator's own process. */
export const FALLBACK_ID = "coordinator";
const OWN_AGENT_NAME = "the coordinator itself";
const CHECK_MS = 200;
const LOOK_EVERY_MS = 30_000;
/** A run that failed and whose end the store did not take is tried again, not at once. */
const AGAIN_AFTER_MS = 5_000;
/** The owner of a task asks two others before it answers. */
const HANDOFF_WITHIN_MS = 30_000;
const EVENTS_AT_ONCE = 10_000;
const TASKS_TOLD_EVERY_MS = 100;
/** Runs at once; more wait in the store. */
export const RUNS_AT_ONCE_MAX = 64;
/** Under way and waiting; whoever submits more is asked to come back. */
export const RUNS_UNFINISHED_MAX = 1_000;

interface LiveRun {
  readonly hub: RunHub;
  readonly abort: AbortController;
  readonly run: MeshRun;
}

export function createMeshCoordinator(deps: MeshCoordinatorDeps): MeshCoordinator {
  const { store, clock, log, times, meshFetch } = deps;
  const live = new Map<string, LiveRun>();
  /** Of runs that wait for a place among the live ones and have readers already. */
  const waitingHubs = new Map<string, RunHub>();
  /** Runs that are not to be tried before this time. */
  const notBeforeMs = new Map<string, number>();
  const clients = new Map<string, { url: string; client: TaskClient }>();
  const lostListeners = new Set<(agentId: string, why: string) => void>();
  const ended = createEndedRuns();
  let leasesExpired = 0;
  let fallbackClient: TaskClient | undefined;
  let isClosed = false;
  const closing = new AbortController();
  const stops: (() => void)[] = [];

  const dispatcher = createMeshDispatcher({
    store,
    clock,
    log,
    leaseMs: times.deadAfterMs,
    limits: {
      // Death is certain by the time the planner hears of it: nothing is gained by waiting once more.
      fallbackAfterMs: 0,
      ...(deps.tasksMax === undefined ? {} : { tasksMax: deps.tasksMax }),
    },
  });
  const registry = createRegistry({
    ...deps,
    listener: {
      changed: (agent) => dispatcher.putAgent(viewOf(agent)),
      lost(agentId, why, isOver) {
        leasesExpired += dispatcher.held(agentId).length;
        lose(agentId, why, isOver);
      },
      removed(agentId) {
        clients.delete(agentId);
        dispatcher.dropAgent(agentId);
      },
    },
  });

  /** What it has goes to others, and runs that it prepared are prepared anew. */
  function lose(agentId: string, why: string, isOver: boolean): void {
    for (const listener of [...lostListeners]) listener(agentId, why);
    dispatcher.agentLost(agentId, why, isOver);
  }

  const discovery = createDiscovery({
    ...deps,
    coordinatorUrl: deps.url,
    isKnown: (agentId) => registry.get(agentId)?.liveness === "alive",
  });

  const pool: AgentPool = {
    views() {
      const own: AgentView[] = deps.fallback === undefined ? [] : [fallbackView(deps.fallback)];
      return [...registry.list().map(viewOf), ...own];
    },
    client(agentId) {
      if (agentId === FALLBACK_ID && deps.fallback !== undefined) {
        return fallbackClient ??= deps.fallback.open();
      }
      const agent = registry.get(agentId);
      if (agent === undefined) {
        throw new BackupError("not_found", `Agent ${agentId} is not known any more`, {
          retry: "elsewhere",
        });
      }
      const known = clients.get(agentId);
      if (known?.url === agent.url) return known.client;
      const client = createTaskClient({ fetch: meshFetch, url: agent.url, clock });
      clients.set(agentId, { url: agent.url, client });
      return client;
    },
    heldBy: (agentId) => dispatcher.held(agentId).length,
    onLost(listener) {
      lostListeners.add(listener);
      return () => lostListeners.delete(listener);
    },
  };

  function viewOf({ agentId, facts, isDraining, liveness }: KnownAgent): AgentView {
    return {
      agentId,
      capabilities: facts.capabilities,
      slots: facts.limits.slots,
      load: facts.load.score,
      hostId: facts.hostId,
      roots: facts.roots,
      readiness: liveness === "dead"
        ? "dead"
        : liveness === "suspect"
        ? "suspect"
        : isDraining || facts.state === "draining"
        ? "draining"
        : "ready",
    };
  }

  function fallbackView({ capabilities, roots = [] }: OwnAgentFacts): AgentView {
    const { hostId } = deps;
    // One directory at a time: it is the last resort, not another worker.
    const place = { hostId, roots };
    return { agentId: FALLBACK_ID, capabilities, slots: 1, load: 0, ...place, isFallback: true };
  }

  // -- runs

  function carryOut(stored: StoredRun): void {
    const { runId } = stored;
    const abort = new AbortController();
    const ownHub = waitingHubs.get(runId) ?? createRunHub(() => detailOf(runId));
    const hub = observed(runId, ownHub);
    const progress = createAggregator({
      clock,
      runId,
      destinations: stored.spec.destinations.map((d) => d.key),
      onProgress: (progress) => hub.tell({ kind: "progress", progress }),
    });
    const note = (text: string): void => {
      if (!store.transact((tx) => tx.noteRun(runId, text))) return;
      log("info", text, { run: runId });
      hub.tell({ kind: "note", text });
    };
    const news = createTaskNews(hub, (taskId) => store.task(taskId));
    const run = startMeshRun({ store, clock, log, dispatcher, pool, leaseMs: times.deadAfterMs }, {
      runId,
      progress,
      signal: abort.signal,
      note,
      onDestination: ({ destination, state, elapsedMs }) =>
        hub.tell({ kind: "destination", destination, state, elapsedMs }),
      taskChanged: (taskId) => news.add(taskId),
    });
    waitingHubs.delete(runId);
    live.set(runId, { hub, abort, run });
    run.done.then(
      (report) => {
        log("info", `Run ${runId} is ${report.state}`, { run: runId, exitCode: report.exitCode });
        ended.add(report.state, report, hub.progress());
        news.tell();
        hub.tell({ kind: "end", state: report.state, report });
      },
      (thrown) => {
        // Not an end: the next start goes on.
        if (isClosed) return;
        const { code, message, hint } = asBackupError(thrown);
        if (!hasEnded(runId)) {
          // Nobody would believe it tomorrow: the store says that it goes on, and it will.
          const again = `trying again in ${AGAIN_AFTER_MS / 1000} s`;
          log("error", `Run ${runId} cannot go on: ${message}; ${again}`, { run: runId, code });
          hub.tell({ kind: "note", text: `The run cannot go on: ${message}; ${again}` });
          waitingHubs.set(runId, ownHub);
          return;
        }
        log("error", `Run ${runId} has failed: ${message}`, { run: runId, code });
        ended.add("failed");
        const error = { code, message, ...(hint === undefined ? {} : { hint }) };
        hub.tell({ kind: "end", state: "failed", report: null, error });
      },
    ).finally(() => {
      news.close();
      live.delete(runId);
      if (!isClosed) tryWaiting(runId);
    }).catch((thrown) => log("error", "A run's end could not be told", { error: String(thrown) }));
  }

  function hasEnded(runId: string): boolean {
    try {
      const stored = store.run(runId);
      return stored === undefined || isFinal(stored.state);
    } catch {
      return false;
    }
  }

  function observed(runId: string, hub: RunHub): RunHub {
    const { onRun } = deps;
    if (onRun === undefined) return hub;
    return {
      ...hub,
      get hasReaders() {
        return true;
      },
      tell(event) {
        hub.tell(event);
        onRun(runId, event);
      },
    };
  }

  /** Tasks that have changed are read and told together, each once: one of a tiny file changes three times in a moment. */
  function createTaskNews(hub: RunHub, read: (taskId: string) => StoredTask | undefined) {
    const changed = new Set<string>();
    const tell = (): void => {
      if (isClosed) return;
      for (const taskId of changed) {
        try {
          const task = hub.hasReaders ? read(taskId) : undefined;
          if (task !== undefined) hub.tell({ kind: "task", task: taskInfo(task) });
        } catch (thrown) {
          log("warn", "A task could not be read", { task: taskId, error: String(thrown) });
        }
      }
      changed.clear();
    };
    const close = clock.every(TASKS_TOLD_EVERY_MS, tell);
    return { add: (taskId: string) => void changed.add(taskId), tell, close };
  }

  /** The run is not live any more, or could not be: what waits may take its place. */
  function tryWaiting(runId: string): void {
    try {
      const stored = store.run(runId);
      if (stored !== undefined && !isFinal(stored.state)) retryLater(runId);
      startWaiting();
    } catch (thrown) {
      log("error", "The job store cannot be read", { error: asBackupError(thrown).message });
      retryLater(runId);
    }
  }

  function retryLater(runId: string): void {
    notBeforeMs.set(runId, clock.monotonicMs() + AGAIN_AFTER_MS);
    clock.sleep(AGAIN_AFTER_MS, closing.signal).then(() => {
      notBeforeMs.delete(runId);
      startWaiting();
    }).catch((thrown) => {
      if (isClosed) return;
      log("error", "The job store cannot be read", { error: asBackupError(thrown).message });
      retryLater(runId);
    });
  }

  /** Runs that the store has and nobody carries out yet, the oldest first. */
  function startWaiting(): void {
    if (live.size >= RUNS_AT_ONCE_MAX) return;
    for (const stored of store.unfinishedRuns("mesh")) {
      if (live.size >= RUNS_AT_ONCE_MAX) return;
      if (live.has(stored.runId) || notBeforeMs.has(stored.runId)) continue;
      try {
        carryOut(stored);
      } catch (thrown) {
        log("error", `Run ${stored.runId} cannot be started: ${asBackupError(thrown).message}`, {
          run: stored.runId,
        });
        retryLater(stored.runId);
      }
    }
  }

  /** Counted only while not all of them are under way: a script that submits in a loop must not fill the disk. */
  function refuseWhenFull(): void {
    if (live.size < RUNS_AT_ONCE_MAX) return;
    if (store.unfinishedRuns("mesh").length < RUNS_UNFINISHED_MAX) return;
    throw new BackupError("rejected", `${RUNS_UNFINISHED_MAX} runs are under way or wait already`, {
      retry: "later",
    });
  }

  const nameOf = (agentId: string): string => registry.get(agentId)?.name ?? agentId;
  const taskInfo = (task: StoredTask): TaskInfo => taskInfoOf(task, nameOf);

  function knownRun(runId: string): StoredRun {
    const run = store.run(runId);
    if (run === undefined) {
      throw new BackupError("not_found", `No run ${runId} is stored`, {
        hint: "The command runs lists them",
      });
    }
    return run;
  }

  function detailOf(runId: string): RunDetail {
    const run = knownRun(runId);
    return {
      ...runInfoOf(run),
      spec: run.spec,
      tasks: store.tasks(runId).map(taskInfo),
      progress: live.get(runId)?.hub.progress() ?? null,
      report: run.report,
    };
  }

  const service: MeshService = {
    times,
    async register(registration) {
      if (registration.facts.agentId === FALLBACK_ID) {
        throw new BackupError("rejected", `${FALLBACK_ID} is the coordinator's own agent`);
      }
      await registry.register(registration);
    },
    heard: (beat) => registry.heard(beat),
    isDraining: (agentId) => registry.isDraining(agentId),
    renew: (agentId, tasks) => dispatcher.renew(agentId, tasks),
    overFor: (runs) => runs.filter(isOverFor),
    sharesOf: (runs) =>
      runs.flatMap(({ runId, runEpoch }) => {
        const run = live.get(runId)?.run;
        return run?.epoch() === runEpoch ? [{ runId, runEpoch, ...run.share() }] : [];
      }),
    submit(job, idempotencyKey) {
      if (isClosed) {
        throw new BackupError("rejected", "The coordinator is ending", { retry: "later" });
      }
      checkNames(job);
      const earlier = idempotencyKey === undefined ? undefined : store.runByKey(idempotencyKey);
      if (earlier !== undefined) return earlier.runId;
      refuseWhenFull();
      const runId = newId("run");
      store.transact((tx) =>
        tx.insertRun({ runId, hostId: deps.hostId, spec: job, owner: "mesh", idempotencyKey })
      );
      try {
        // Whoever is told the id may leave.
        store.flush();
      } catch (thrown) {
        log("warn", "A job may be lost in a power cut", {
          run: runId,
          error: asBackupError(thrown).message,
        });
      }
      log("info", "A job was submitted", { run: runId });
      deps.onRun?.(runId);
      startWaiting();
      return runId;
    },
    runs: (limit) => store.runs(limit).map(runInfoOf),
    run: detailOf,
    follow(runId) {
      const running = live.get(runId);
      if (running !== undefined) return running.hub.follow();
      const detail = detailOf(runId);
      const isOver = isFinal(detail.state);
      const hub = (isOver ? undefined : waitingHubs.get(runId)) ??
        createRunHub(() => detailOf(runId));
      if (!isOver) waitingHubs.set(runId, hub);
      if (isClosed) hub.close();
      if (isOver) {
        const error = detail.report === null ? failureOf(runId) : undefined;
        hub.tell({
          kind: "end",
          state: detail.state,
          report: detail.report,
          ...(error === undefined ? {} : { error }),
        });
      }
      return hub.follow();
    },
    cancel(runId, destination) {
      const stored = knownRun(runId);
      const running = live.get(runId);
      if (destination !== undefined) {
        if (!stored.spec.destinations.some((d) => d.key === destination)) {
          const known = stored.spec.destinations.map((d) => d.key).join(", ");
          throw new BackupError("usage", `${destination} is no destination of ${runId}`, {
            hint: `It has ${known}`,
          });
        }
        if (running !== undefined) running.run.cancelDestination(destination);
        else if (!isFinal(stored.state)) {
          store.transact((tx) => tx.changeDestination(runId, destination, { isCancelled: true }));
        }
      } else if (running !== undefined) {
        // A coordinator that ends before the run does knows of it when it is started again.
        store.transact((tx) => {
          for (const { key } of stored.spec.destinations) {
            tx.changeDestination(runId, key, { isCancelled: true });
          }
        });
        running.abort.abort();
      } else if (!isFinal(stored.state)) {
        store.transact((tx) => tx.moveRun(runId, "cancelled"));
        waitingHubs.get(runId)?.tell({ kind: "end", state: "cancelled", report: null });
        waitingHubs.delete(runId);
        deps.onRun?.(runId, { kind: "end", state: "cancelled", report: null });
      }
      return knownRun(runId);
    },
    pause(runId, isPaused) {
      const stored = knownRun(runId);
      if (isFinal(stored.state)) {
        throw new BackupError("rejected", `Run ${runId} is over: it is ${stored.state}`);
      }
      if (stored.isPaused === isPaused) return;
      store.transact((tx) => tx.pauseRun(runId, isPaused));
      log("info", isPaused ? "A run was paused" : "A run goes on", { run: runId });
      live.get(runId)?.run.pause(isPaused);
      deps.onRun?.(runId);
    },
    agents: () => registry.infos((agentId) => dispatcher.held(agentId)),
    drain(agentId, isDraining) {
      if (!registry.drain(agentId, isDraining)) return refused(`No agent ${agentId} is known`);
      if (isDraining) lose(agentId, `Agent ${nameOf(agentId)} is drained`, true);
      return { accepted: true };
    },
    remove(agentId) {
      if (registry.get(agentId) === undefined) return refused(`No agent ${agentId} is known`);
      return registry.remove(agentId)
        ? { accepted: true }
        : refused("It is alive; drain it first, or end its process");
    },
    async handoff({ task_id, target_agent, epoch, task_data }) {
      const owner = dispatcher.ownerOf(task_id);
      if (owner === undefined) return refused(`No agent works on ${task_id}`);
      const agent = registry.get(owner.agentId);
      if (agent === undefined) {
        return refused("The coordinator has it itself and gives it to whoever comes");
      }
      // The owner offers it to the other itself, and asks us for the lease when that accepts.
      const client = createMeshClient({ fetch: meshFetch, url: agent.url });
      try {
        const params = {
          task_id,
          target_agent,
          epoch: epoch ?? owner.epoch,
          ...(task_data === undefined ? {} : { task_data }),
        };
        return await within(
          (signal) => client.call(HandoffTask, params, { signal }),
          clock,
          HANDOFF_WITHIN_MS,
        );
      } catch (thrown) {
        return refused(asBackupError(thrown).message);
      }
    },
    move(taskId, epoch, fromAgent, toAgent) {
      const target = registry.get(toAgent);
      if (target === undefined) return refused(`No agent ${toAgent} is known`);
      if (viewOf(target).readiness !== "ready") return refused(`${target.name} takes nothing now`);
      const moved = dispatcher.move(taskId, epoch, fromAgent, toAgent);
      return typeof moved === "string" ? refused(moved) : { accepted: true, epoch: moved.epoch };
    },
  };

  /** A run that nobody here knows is somebody else's to end. */
  function isOverFor({ runId, runEpoch }: HeldRun): boolean {
    const running = live.get(runId);
    // Prepared anew since: whoever takes part joins again.
    if (running !== undefined) return runEpoch < running.run.epoch();
    try {
      const stored = store.run(runId);
      return stored !== undefined && isFinal(stored.state);
    } catch {
      return false;
    }
  }

  /** Why a run that has no report has failed, as far as the store knows. */
  function failureOf(runId: string): { code: string; message: string; hint?: string } | undefined {
    let found: { code: string; message: string; hint?: string } | undefined;
    for (let after = 0;;) {
      const events = store.eventsAfter(after, EVENTS_AT_ONCE, runId);
      for (const { event } of events) {
        if (event.kind !== "run_error") continue;
        const { code, message, hint } = event.error;
        found = { code, message, ...(hint === undefined ? {} : { hint }) };
      }
      const last = events.at(-1);
      if (last === undefined || events.length < EVENTS_AT_ONCE) return found;
      after = last.seq;
    }
  }

  async function look(): Promise<void> {
    const foreign = await discovery.look();
    if (!isClosed) registry.setForeign(foreign);
  }

  return {
    bindings: meshBindings(service),
    service,
    reach: {
      views: pool.views,
      nameOf: (agentId) => agentId === FALLBACK_ID ? OWN_AGENT_NAME : nameOf(agentId),
      tasks: pool.client,
      rpc(agentId) {
        const own = agentId === FALLBACK_ID ? deps.fallback?.rpc?.() : undefined;
        if (own !== undefined) return own;
        const agent = registry.get(agentId);
        if (agent !== undefined) return createMeshClient({ fetch: meshFetch, url: agent.url });
        throw new BackupError("not_found", `Agent ${agentId} is not known`);
      },
    },
    start() {
      for (const agent of registry.list()) dispatcher.putAgent(viewOf(agent));
      if (deps.fallback !== undefined) dispatcher.putAgent(fallbackView(deps.fallback));
      stops.push(clock.every(Math.min(CHECK_MS, times.heartbeatMs / 2), () => registry.check()));
      if (deps.addresses.length > 0 || deps.scansLocalPorts) {
        void look();
        stops.push(clock.every(LOOK_EVERY_MS, () => void look()));
      }
      startWaiting();
    },
    close() {
      isClosed = true;
      closing.abort();
      for (const stop of stops) stop();
      dispatcher.close();
      for (const { run } of live.values()) run.leave();
      // Their connections would keep the process from ending.
      for (const hub of [...waitingHubs.values(), ...[...live.values()].map((one) => one.hub)]) {
        hub.close();
      }
    },
    metrics: () => metricsOf(),
  };

  function metricsOf(): Metric[] {
    const infos = service.agents();
    const { queued, held } = dispatcher.counts;
    const gauge = (name: string, help: string, value: number): Metric => ({
      name,
      type: "gauge",
      help,
      samples: [{ value }],
    });
    return [
      gauge("queue_depth", "Directory tasks that wait for an agent", queued),
      gauge("workers", "Directory tasks that agents work on", held),
      gauge("runs_active", "Runs under way", live.size),
      {
        name: "agent_up",
        type: "gauge",
        help: "1 while the agent is heard",
        samples: infos.map((a) => ({
          value: a.state === "alive" || a.state === "draining" ? 1 : 0,
          labels: { agent: a.name },
        })),
      },
      {
        name: "load_score",
        type: "gauge",
        help: "How busy the agent is, 0 idle to 1 busy",
        samples: infos.map((a) => ({ value: a.load, labels: { agent: a.name } })),
      },
      {
        name: "bytes_total",
        type: "counter",
        help: "Bytes written to destinations",
        samples: infos.map((a) => ({ value: a.totals.bytes, labels: { agent: a.name } })),
      },
      {
        name: "files_total",
        type: "counter",
        help: "Files verified at destinations",
        samples: infos.map((a) => ({ value: a.totals.files, labels: { agent: a.name } })),
      },
      {
        name: "lease_expired_total",
        type: "counter",
        help: "Attempts whose agent was lost",
        samples: [{ value: leasesExpired }],
      },
      ...ended.metrics(),
      ...lastRunMetrics(),
    ];
  }

  /** Of the newest runs, what monitoring asks for first. */
  function lastRunMetrics(): Metric[] {
    const ended = store.runs(100).filter((r) => r.report !== null && r.endedAtMs !== null);
    const [last] = ended;
    const good = ended.find((r) => r.state === "completed");
    const metric = (name: string, help: string, value: number | undefined): Metric => ({
      name,
      type: "gauge",
      help,
      samples: value === undefined ? [] : [{ value }],
    });
    const failures = last?.report?.destinations.flatMap((d) => d.lanes)
      .reduce((sum, { report }) => sum + report.failureCount, 0);
    return [
      metric(
        "last_success_timestamp_seconds",
        "When a run was completed last",
        good === undefined ? undefined : good.endedAtMs! / 1000,
      ),
      metric(
        "last_verify_timestamp_seconds",
        "When all copies of a run were verified last",
        good === undefined ? undefined : good.endedAtMs! / 1000,
      ),
      metric("run_duration_seconds", "Of the last run", last && last.report!.elapsedMs / 1000),
      metric("run_failures", "Files of the last run that are not safe everywhere", failures),
    ];
  }
}

function isFinal(state: StoredRun["state"]): boolean {
  return NEXT_RUN_STATES[state].length === 0;
}

function refused(reason: string): Acceptance {
  return { accepted: false, reason };
}
