/**
 * Carries out the planner's commands for all runs. Rule: the store moves first, then the world; an attempt that was given
 * up changes nothing any more, whoever gave it up and whatever it says later.
 */
import { backoffMs } from "../../protocol/base/backoff.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import type { Log } from "../../protocol/base/log.ts";
import type { HeldTask } from "../../protocol/mesh/methods.ts";
import type { MirrorResult } from "../../protocol/mesh/task.ts";
import { match } from "../scheduler/match.ts";
import { createPlanner } from "../scheduler/planner.ts";
import type { AgentView, Command, PlannerLimits, TaskView } from "../scheduler/view.ts";
import type { JobStore } from "../store/job_store.ts";

/** `result`: what is known of the task's lanes, stored in one step with its end. */
export type AttemptEnd =
  | { readonly kind: "succeeded"; readonly result?: MirrorResult }
  | { readonly kind: "failed"; readonly reason: string; readonly result?: MirrorResult }
  | { readonly kind: "cancelled" }
  /** Another agent, or the same one later, may do better. */
  | { readonly kind: "retry"; readonly reason: string; readonly avoidsAgent: boolean };

export interface MeshTask {
  readonly view: Omit<TaskView, "agentId" | "holdsSlot" | "notBeforeMs" | "avoid">;
  holdsSlot(): boolean;
  /**
   * One try. `begun`: the agent has taken it up. `signal` is aborted when the attempt is given up; what it says after
   * that is not heard. Resolves, whatever happened.
   */
  attempt(
    agentId: string,
    epoch: number,
    begun: () => void,
    signal: AbortSignal,
  ): Promise<AttemptEnd>;
  /** The attempt is over without a word of its own: its agent died, or somebody else has the task. */
  gaveUp(why: string): void;
}

export interface MeshDispatcher {
  /** Resolves when the stored task is in a final state. Aborting `signal` ends it as cancelled. */
  dispatch(tasks: readonly MeshTask[], signal: AbortSignal): Promise<void>[];
  putAgent(agent: AgentView): void;
  dropAgent(agentId: string): void;
  /**
   * What the agent has goes to others: at once when it is known to have ended (`isOver`: the agent was started again, or
   * is told to stop), otherwise when its lease has.
   */
  agentLost(agentId: string, why: string, isOver: boolean): void;
  /** The agent was heard with these attempts; those it has run their lease anew. Returns them. */
  renew(agentId: string, tasks: readonly HeldTask[]): HeldTask[];
  /** An agent of before may still be at work on a task; nobody else gets it for one lease. */
  mayStillRun(taskId: string, agentId: string): void;
  /** The agent has given back what it had of a run. */
  released(runId: string, agentId: string): void;
  /** The agents of a run that cannot take part, and why; pausing stops new assignments only. */
  putRun(
    runId: string,
    restrictions: { isPaused?: boolean; excluded?: ReadonlyMap<string, string> },
  ): void;
  /** Ends every task of a run that has not ended, as queued again: the run is prepared anew. */
  recall(runId: string, why: string): void;
  dropRun(runId: string): void;
  /** Compares and moves: the next attempt is `toAgent`'s. The same call again answers as the first. */
  move(
    taskId: string,
    epoch: number,
    fromAgent: string,
    toAgent: string,
  ): { epoch: number } | string;
  /** Whether a task uses a slot of its agent by now. */
  hold(taskId: string, holdsSlot: boolean): void;
  ownerOf(taskId: string): { agentId: string; epoch: number } | undefined;
  held(agentId: string): HeldTask[];
  nudge(): void;
  readonly counts: { queued: number; held: number };
  /** Assigns nothing more and hears nothing more; what is stored stays as it is. */
  close(): void;
}

interface Entry {
  readonly task: MeshTask;
  readonly signal: AbortSignal;
  agentId: string | null;
  epoch: number;
  isRunning: boolean;
  attempt: AbortController | undefined;
  avoid: string[];
  /** When its agent was last told, or said, that it has it. */
  leasedAtMs: number;
  /** Handovers by the attempt they ended, so that a repeated call gets the first one's answer. */
  readonly moves: Map<number, { from: string; to: string; next: number }>;
  finish(failure?: unknown): void;
}

/** A reason of one's own, since the default one is an exception with a stack, made anew for every plan. */
const PLANNED = "It was planned anew";
const HANDED_OVER = "It was handed over";

export function createMeshDispatcher(deps: {
  store: JobStore;
  clock: Clock;
  log: Log;
  limits: PlannerLimits;
  leaseMs: number;
}): MeshDispatcher {
  const { store, clock, log, leaseMs } = deps;
  const planner = createPlanner(deps.limits);
  const entries = new Map<string, Entry>();
  /** What each agent has: it is asked for at every heartbeat. */
  const byAgent = new Map<string, Set<Entry>>();
  /** Attempts that were given up and may go on unseen, by task. */
  const unseen = new Map<string, { runId: string; agentId: string; untilMs: number }>();
  const restrictions = new Map<
    string,
    { isPaused: boolean; excluded: ReadonlyMap<string, string> }
  >();
  const agents = new Map<string, AgentView>();
  let isPlanning = false;
  let isStale = false;
  let isClosed = false;
  let timer = new AbortController();

  function nudge(): void {
    if (isClosed) return;
    isStale = true;
    if (isPlanning) return;
    isPlanning = true;
    try {
      while (isStale) {
        isStale = false;
        carryOut(planner.plan(clock.monotonicMs()));
      }
    } finally {
      isPlanning = false;
    }
    timer.abort(PLANNED);
    const nowMs = clock.monotonicMs();
    const dueMs = planner.nextDueMs(nowMs);
    if (dueMs === undefined) return;
    timer = new AbortController();
    clock.sleep(Math.max(1, dueMs - nowMs), timer.signal).then(nudge, () => {});
  }

  /** All of a plan is stored in one step; what the store does not take together it is asked for one by one. */
  function carryOut(commands: readonly Command[]): void {
    if (commands.length < 2) return commands.forEach(apply);
    const isMeant = ({ kind, taskId }: Command): boolean =>
      kind === "wait" || (kind === "assign" && entries.get(taskId)?.signal.aborted === false);
    const stored = new Map<Command, number>();
    try {
      store.transact((tx) => {
        for (const command of commands) {
          if (!entries.has(command.taskId) || !isMeant(command)) continue;
          if (command.kind === "wait") tx.explainTask(command.taskId, command.reason);
          if (command.kind !== "assign") stored.set(command, 0);
          else stored.set(command, tx.assignTask(command.taskId, command.agentId).epoch);
        }
      });
    } catch {
      stored.clear();
    }
    for (const command of commands) {
      const epoch = stored.get(command);
      if (epoch === undefined) apply(command);
      else if (command.kind === "assign") {
        const entry = entries.get(command.taskId);
        if (entry === undefined) continue;
        start(entry, command.agentId, epoch);
        // A listener of its own cancel may have come while others were started.
        if (entry.signal.aborted) cancel(entry);
      }
    }
  }

  function apply(command: Command): void {
    const entry = entries.get(command.taskId);
    if (entry === undefined) return;
    try {
      switch (command.kind) {
        case "wait":
          return store.transact((tx) => tx.explainTask(command.taskId, command.reason));
        case "assign":
          // One listener of its abort after the other: the rest of a cancelled run is not begun in between.
          return entry.signal.aborted ? cancel(entry) : assign(entry, command.agentId);
        case "revoke":
          // It is in the queue again, and the idle agent waits for it.
          isStale = true;
          return giveUp(entry, "An idle agent takes it", { avoidsAgent: false, isFault: false });
      }
    } catch (thrown) {
      end(entry, thrown);
    }
  }

  function setAgent(entry: Entry, agentId: string | null): void {
    if (entry.agentId !== null) {
      const own = byAgent.get(entry.agentId);
      own?.delete(entry);
      if (own?.size === 0) byAgent.delete(entry.agentId);
    }
    entry.agentId = agentId;
    if (agentId === null) return;
    const own = byAgent.get(agentId);
    if (own === undefined) byAgent.set(agentId, new Set([entry]));
    else own.add(entry);
  }

  /** The agent may work on its attempt until its lease ends: nobody else gets the task before. */
  function keepFromOthers(entry: Entry): void {
    const { agentId, leasedAtMs, task: { view: { taskId, runId } } } = entry;
    if (agentId === null) return;
    unseen.set(taskId, { runId, agentId, untilMs: leasedAtMs + leaseMs });
  }

  function unseenUntilMs(taskId: string): number {
    const untilMs = unseen.get(taskId)?.untilMs ?? 0;
    return untilMs > clock.monotonicMs() ? untilMs : 0;
  }

  function assign(entry: Entry, agentId: string): void {
    const { taskId } = entry.task.view;
    start(entry, agentId, store.transact((tx) => tx.assignTask(taskId, agentId)).epoch);
  }

  function start(entry: Entry, agentId: string, epoch: number): void {
    unseen.delete(entry.task.view.taskId);
    entry.epoch = epoch;
    setAgent(entry, agentId);
    entry.leasedAtMs = clock.monotonicMs();
    entry.isRunning = false;
    const attempt = new AbortController();
    entry.attempt = attempt;
    void run(entry, attempt, agentId, epoch);
  }

  async function run(
    entry: Entry,
    attempt: AbortController,
    agentId: string,
    epoch: number,
  ): Promise<void> {
    const isCurrent = (): boolean =>
      entry.attempt === attempt && !attempt.signal.aborted && !isClosed;
    try {
      const outcome = await entry.task.attempt(agentId, epoch, () => {
        if (isCurrent()) begin(entry);
      }, attempt.signal);
      if (isCurrent()) settle(entry, outcome);
    } catch (thrown) {
      if (isCurrent()) end(entry, thrown);
    }
    nudge();
  }

  /** Called out of an agent's progress, where nobody could catch what the store throws. */
  function begin(entry: Entry): void {
    try {
      toRunning(entry);
      planner.begin(entry.task.view.taskId);
      planner.hold(entry.task.view.taskId, entry.task.holdsSlot());
    } catch (thrown) {
      end(entry, thrown);
    }
  }

  function toRunning(entry: Entry): void {
    if (entry.isRunning) return;
    entry.leasedAtMs = clock.monotonicMs();
    store.transact((tx) => tx.moveTask(entry.task.view.taskId, entry.epoch, "running"));
    entry.isRunning = true;
  }

  function settle(entry: Entry, outcome: AttemptEnd): void {
    if (outcome.kind === "retry" && !entry.signal.aborted) {
      return again(entry, outcome.reason, { avoidsAgent: outcome.avoidsAgent, isFault: true });
    }
    const to = outcome.kind === "retry" ? "cancelled" : outcome.kind;
    const reason = "reason" in outcome ? outcome.reason : undefined;
    const { taskId } = entry.task.view;
    store.transact((tx) => {
      if (to !== "cancelled" && !entry.isRunning) tx.moveTask(taskId, entry.epoch, "running");
      if ("result" in outcome && outcome.result !== undefined) tx.putResult(taskId, outcome.result);
      tx.moveTask(taskId, entry.epoch, to, reason);
    });
    end(entry);
  }

  function again(
    entry: Entry,
    reason: string,
    { avoidsAgent, isFault }: { avoidsAgent: boolean; isFault: boolean },
  ): void {
    const { taskId } = entry.task.view;
    store.transact((tx) => tx.moveTask(taskId, entry.epoch, "queued", reason));
    if (avoidsAgent && entry.agentId !== null) entry.avoid = [...entry.avoid, entry.agentId];
    setAgent(entry, null);
    entry.attempt = undefined;
    entry.isRunning = false;
    const backoffEndsMs = isFault ? clock.monotonicMs() + backoffMs(Math.max(1, entry.epoch)) : 0;
    const notBeforeMs = Math.max(backoffEndsMs, unseenUntilMs(taskId));
    planner.requeue(taskId, { avoid: entry.avoid, notBeforeMs });
  }

  /** Ends the current attempt without waiting for its agent. */
  function giveUp(
    entry: Entry,
    why: string,
    how: { avoidsAgent: boolean; isFault: boolean },
  ): void {
    const { attempt } = entry;
    if (attempt === undefined) return;
    entry.task.gaveUp(why);
    again(entry, why, how);
    attempt.abort(new BackupError("superseded", why));
  }

  function end(entry: Entry, failure?: unknown): void {
    const { taskId } = entry.task.view;
    const { attempt } = entry;
    entry.attempt = undefined;
    setAgent(entry, null);
    entries.delete(taskId);
    planner.end(taskId);
    if (failure !== undefined) attempt?.abort(failure);
    entry.finish(failure);
  }

  function cancel(entry: Entry): void {
    if (entries.get(entry.task.view.taskId) !== entry) return;
    try {
      store.transact((tx) => tx.moveTask(entry.task.view.taskId, entry.epoch, "cancelled"));
      const { attempt } = entry;
      end(entry);
      attempt?.abort(new BackupError("cancelled", "Cancelled"));
    } catch (thrown) {
      end(entry, thrown);
    }
    nudge();
  }

  function restrict(runId: string): void {
    planner.putRun({ runId, ...restrictions.get(runId) });
  }

  return {
    nudge,
    dispatch(tasks, signal) {
      const ends = tasks.map((task) => {
        const { taskId } = task.view;
        if (entries.has(taskId)) {
          throw new BackupError("internal", `Task ${taskId} was dispatched twice`);
        }
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        const onAbort = () => cancel(entry);
        const entry: Entry = {
          task,
          signal,
          agentId: null,
          epoch: store.task(taskId)?.epoch ?? 0,
          isRunning: false,
          attempt: undefined,
          avoid: [],
          leasedAtMs: 0,
          moves: new Map(),
          finish(failure) {
            signal.removeEventListener("abort", onAbort);
            if (failure === undefined) resolve();
            else reject(failure);
          },
        };
        entries.set(taskId, entry);
        const notBeforeMs = unseenUntilMs(taskId);
        planner.add({ ...task.view, agentId: null, holdsSlot: false, notBeforeMs });
        if (signal.aborted) cancel(entry);
        else signal.addEventListener("abort", onAbort, { once: true });
        return promise;
      });
      nudge();
      return ends;
    },
    putAgent(agent) {
      agents.set(agent.agentId, agent);
      // What an agent says of its load comes with each heartbeat, and changes no plan.
      if (planner.putAgent(agent)) nudge();
    },
    dropAgent(agentId) {
      agents.delete(agentId);
      planner.dropAgent(agentId);
      nudge();
    },
    agentLost(agentId, why, isOver) {
      for (const entry of [...byAgent.get(agentId) ?? []]) {
        const { runId, taskId } = entry.task.view;
        log("warn", "A task's agent is lost; the task goes to another", {
          run: runId,
          task: taskId,
          agent: agentId,
          attempt: entry.epoch,
          why,
        });
        try {
          if (!isOver) keepFromOthers(entry);
          giveUp(entry, why, { avoidsAgent: false, isFault: false });
        } catch (thrown) {
          end(entry, thrown);
        }
      }
      if (isOver) {
        for (const [taskId, kept] of unseen) if (kept.agentId === agentId) unseen.delete(taskId);
      }
      nudge();
    },
    renew(agentId, tasks) {
      const own = byAgent.get(agentId);
      if (own === undefined) return [];
      const epochs = new Map([...own].map((e) => [e.task.view.taskId, e]));
      const renewed = tasks.filter((t) => epochs.get(t.taskId)?.epoch === t.epoch);
      for (const { taskId } of renewed) epochs.get(taskId)!.leasedAtMs = clock.monotonicMs();
      return renewed;
    },
    mayStillRun(taskId, agentId) {
      const runId = store.task(taskId)?.runId;
      if (runId === undefined) return;
      unseen.set(taskId, { runId, agentId, untilMs: clock.monotonicMs() + leaseMs });
    },
    released(runId, agentId) {
      for (const [taskId, kept] of unseen) {
        if (kept.runId === runId && kept.agentId === agentId) unseen.delete(taskId);
      }
    },
    putRun(runId, change) {
      const before = restrictions.get(runId) ?? { isPaused: false, excluded: new Map() };
      restrictions.set(runId, { ...before, ...change });
      restrict(runId);
      nudge();
    },
    recall(runId, why) {
      for (const entry of [...entries.values()]) {
        if (entry.task.view.runId !== runId) continue;
        const { attempt } = entry;
        try {
          if (attempt !== undefined) {
            keepFromOthers(entry);
            entry.task.gaveUp(why);
            store.transact((tx) => tx.moveTask(entry.task.view.taskId, entry.epoch, "queued", why));
          }
          end(entry);
        } catch (thrown) {
          end(entry, thrown);
        }
        attempt?.abort(new BackupError("superseded", why));
      }
    },
    dropRun(runId) {
      restrictions.delete(runId);
      for (const [taskId, kept] of unseen) if (kept.runId === runId) unseen.delete(taskId);
      planner.dropRun(runId);
    },
    move(taskId, epoch, fromAgent, toAgent) {
      const entry = entries.get(taskId);
      if (entry === undefined) return `Task ${taskId} is not being worked on`;
      const done = entry.moves.get(epoch);
      if (done?.from === fromAgent && done.to === toAgent) return { epoch: done.next };
      if (entry.epoch !== epoch || entry.agentId !== fromAgent) {
        return `Attempt ${epoch} of ${taskId} is over: it is attempt ${entry.epoch} now`;
      }
      if (toAgent === fromAgent) return "It has the task already";
      const target = agents.get(toAgent);
      if (target === undefined) return `No agent ${toAgent} is known`;
      const { view } = entry.task;
      const { candidates, reason } = match(view, [target], restrictions.get(view.runId)?.excluded);
      if (candidates.length === 0) return reason ?? `${toAgent} cannot take it`;
      // Both steps or none: a task between two agents would be nobody's.
      const moved = store.transact((tx) => {
        tx.moveTask(taskId, epoch, "queued", HANDED_OVER);
        return tx.assignTask(taskId, toAgent);
      });
      const { attempt } = entry;
      entry.task.gaveUp(HANDED_OVER);
      planner.move(taskId, toAgent);
      start(entry, toAgent, moved.epoch);
      entry.moves.set(epoch, { from: fromAgent, to: toAgent, next: moved.epoch });
      attempt?.abort(new BackupError("superseded", HANDED_OVER));
      nudge();
      return { epoch: moved.epoch };
    },
    hold(taskId, holdsSlot) {
      const before = planner.held;
      planner.hold(taskId, holdsSlot);
      if (planner.held < before) nudge();
    },
    ownerOf(taskId) {
      const entry = entries.get(taskId);
      return entry === undefined || entry.agentId === null
        ? undefined
        : { agentId: entry.agentId, epoch: entry.epoch };
    },
    held: (agentId) =>
      [...byAgent.get(agentId) ?? []]
        .map((e) => ({ taskId: e.task.view.taskId, epoch: e.epoch })),
    get counts() {
      return { queued: planner.queued, held: planner.held };
    },
    close() {
      isClosed = true;
      timer.abort(PLANNED);
    },
  };
}
