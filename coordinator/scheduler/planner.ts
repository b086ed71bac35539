/**
 * The scheduler: a picture that changes piece by piece and a time in, commands out. Rule: pure and deterministic; what
 * is assigned is reserved at once, so a burst never lands on one agent; planning costs what has changed.
 *
 * Tasks that the same agents can take are one group (`Group`): candidates and reasons are found once for all of them.
 */
import { PriorityQueue } from "../../protocol/base/priority_queue.ts";
import { isNear, type Match, match } from "./match.ts";
import { missingCapabilities } from "../../protocol/mesh/capability.ts";
import { createSeats, leastLoaded, type Seat } from "./seats.ts";
import type { AgentView, Command, PlannerLimits, RunView, TaskView } from "./view.ts";

/** A task that its agent has not begun for so long may go to an idle one. */
export const STEAL_AFTER_MS = 2_000;
export const FALLBACK_AFTER_MS = 30_000;

export interface Planner {
  /** Adds an agent or changes what is known of it. */
  putAgent(agent: AgentView): void;
  dropAgent(agentId: string): void;
  /** Adds a run or changes its restrictions. */
  putRun(run: RunView): void;
  dropRun(runId: string): void;
  /** Adds a task, queued or held. */
  add(task: TaskView): void;
  /** Back to the queue: its attempt is over and there will be another. */
  requeue(taskId: string, change?: { avoid?: readonly string[]; notBeforeMs?: number }): void;
  /** The attempt is another agent's by now. */
  move(taskId: string, agentId: string): void;
  /** Its agent has begun it. */
  begin(taskId: string): void;
  /** Whether it uses a slot of its agent. */
  hold(taskId: string, holdsSlot: boolean): void;
  /** It will not be tried again, and what comes after it may start. */
  end(taskId: string): void;
  /** Gives every due task an agent or, when that is news, a reason to wait. */
  plan(nowMs: number): Command[];
  /** When planning anew can change something though nothing was changed; undefined: never. */
  nextDueMs(nowMs: number): number | undefined;
  readonly queued: number;
  readonly held: number;
}

interface Item {
  view: TaskView;
  readonly run: Run;
  agentId: string | null;
  holdsSlot: boolean;
  /** Assigned and not begun since. */
  assignedAtMs: number | undefined;
  isRevoked: boolean;
  state: "fresh" | "queued" | "delayed" | "blocked" | "held" | "gone";
  group: Group | undefined;
  /** The reason it was told last. */
  told: string | undefined;
}

interface Group {
  readonly key: string;
  readonly run: Run;
  readonly task: Pick<TaskView, "requires" | "onlyAgents" | "place" | "avoid">;
  /** The largest first; tasks that have left are skipped when they come up. */
  readonly heap: PriorityQueue<Item>;
  readonly members: Set<Item>;
  /** Members that have come since `told` was said. */
  untold: Item[];
  told: string | undefined;
  found: Match | undefined;
  seats: readonly Seat[];
  seatSet: ReadonlySet<Seat>;
  /** Since when no other agent is there. */
  desertedSinceMs: number | undefined;
}

interface Run {
  readonly runId: string;
  isPaused: boolean;
  excluded: ReadonlyMap<string, string>;
  held: number;
  readonly groups: Map<string, Group>;
  /** Tasks that have not ended, by source. */
  readonly open: Map<string, number>;
  readonly blocked: Set<Item>;
}

export function createPlanner(limits: PlannerLimits = {}): Planner {
  const { tasksMax = Infinity, fallbackAfterMs = FALLBACK_AFTER_MS } = limits;
  const seats = createSeats();
  let regular: readonly AgentView[] | undefined;
  let fallback: readonly AgentView[] = [];
  const runs = new Map<string, Run>();
  const items = new Map<string, Item>();
  const delayed = new PriorityQueue<{ item: Item; notBeforeMs: number }>(
    (a, b) => a.notBeforeMs - b.notBeforeMs,
  );
  const unstarted = new Set<Item>();
  /** Not looked at since they came: what they come after may have been added behind them. */
  const fresh: Item[] = [];
  const news: Item[] = [];
  let queued = 0;
  let held = 0;

  function regularAgents(): readonly AgentView[] {
    if (regular === undefined) {
      fallback = seats.views().filter((a) => a.isFallback === true);
      regular = seats.views().filter((a) => a.isFallback !== true);
    }
    return regular;
  }

  function agentsChanged(): void {
    regular = undefined;
    for (const run of runs.values()) for (const g of run.groups.values()) g.found = undefined;
  }

  function runOf(runId: string): Run {
    let run = runs.get(runId);
    if (run === undefined) {
      run = {
        runId,
        isPaused: false,
        excluded: new Map(),
        held: 0,
        groups: new Map(),
        open: new Map(),
        blocked: new Set(),
      };
      runs.set(runId, run);
    }
    return run;
  }

  // -- tasks between queue, waiting and agents

  function groupOf(item: Item): Group {
    const { view, run } = item;
    const { requires, onlyAgents, place, avoid } = view;
    const key = JSON.stringify([
      [...requires].sort(),
      onlyAgents,
      place?.hostId ?? null,
      place?.root ?? null,
      [...avoid ?? []].sort(),
    ]);
    let group = run.groups.get(key);
    if (group === undefined) {
      group = {
        key,
        run,
        task: { requires, onlyAgents, ...(place && { place }), ...(avoid && { avoid }) },
        heap: new PriorityQueue((a, b) => b.view.sizeBytes - a.view.sizeBytes),
        members: new Set(),
        untold: [],
        told: undefined,
        found: undefined,
        seats: [],
        seatSet: new Set(),
        desertedSinceMs: undefined,
      };
      run.groups.set(key, group);
    }
    return group;
  }

  function toQueue(item: Item): void {
    const group = groupOf(item);
    item.state = "queued";
    item.group = group;
    group.heap.push(item);
    group.members.add(item);
    group.untold.push(item);
    queued++;
  }

  /** Takes a task from wherever it waits. */
  function leave(item: Item): void {
    const { group, run } = item;
    if (item.state === "blocked") run.blocked.delete(item);
    if (item.state !== "queued" || group === undefined) return;
    group.members.delete(item);
    item.group = undefined;
    queued--;
    if (group.members.size === 0) run.groups.delete(group.key);
  }

  function isBlocked({ view, run }: Item): boolean {
    return view.after?.some((source) => (run.open.get(source) ?? 0) > 0) ?? false;
  }

  function toWaiting(item: Item): void {
    if (isBlocked(item)) {
      item.state = "blocked";
      item.run.blocked.add(item);
      news.push(item);
    } else if (item.view.notBeforeMs > 0) {
      item.state = "delayed";
      delayed.push({ item, notBeforeMs: item.view.notBeforeMs });
    } else toQueue(item);
  }

  function toAgent(item: Item, agentId: string, holdsSlot: boolean): void {
    item.state = "held";
    item.agentId = agentId;
    item.holdsSlot = holdsSlot;
    item.isRevoked = false;
    item.told = undefined;
    seats.change(agentId, holdsSlot ? 1 : 0, 1);
    if (!holdsSlot) return;
    item.run.held++;
    held++;
  }

  function fromAgent(item: Item): void {
    if (item.agentId === null) return;
    hold(item, false);
    seats.change(item.agentId, 0, -1);
    item.agentId = null;
    item.assignedAtMs = undefined;
    unstarted.delete(item);
  }

  function hold(item: Item, holdsSlot: boolean): void {
    if (item.agentId === null || item.holdsSlot === holdsSlot) return;
    const by = holdsSlot ? 1 : -1;
    item.holdsSlot = holdsSlot;
    item.run.held += by;
    held += by;
    seats.change(item.agentId, by, 0);
  }

  // -- planning

  function refresh(group: Group, nowMs: number): void {
    if (group.found === undefined) {
      const agents = regularAgents();
      const found = match(group.task, agents, group.run.excluded);
      group.found = found;
      seat(group, found.candidates);
      if (found.isDeserted) group.desertedSinceMs ??= nowMs;
      else group.desertedSinceMs = undefined;
    }
    if (group.found.isDeserted && nowMs >= fallbackAtMs(group)) seat(group, fallbacksFor(group));
  }

  function seat(group: Group, agents: readonly AgentView[]): void {
    group.seats = agents.map((a) => seats.get(a.agentId)!);
    group.seatSet = new Set(group.seats);
  }

  /** At once when no other agent was ever there. */
  function fallbackAtMs(group: Group): number {
    if (group.desertedSinceMs === undefined) return Infinity;
    return regularAgents().length === 0 ? 0 : group.desertedSinceMs + fallbackAfterMs;
  }

  function fallbacksFor({ task, run }: Group): AgentView[] {
    return fallback.filter((a) =>
      isNear(task, a) && !run.excluded.has(a.agentId) &&
      missingCapabilities(task.requires, a.capabilities).length === 0
    );
  }

  function freeSeat(group: Group): Seat | undefined {
    const { free } = seats;
    if (free.size === 0) return undefined;
    return free.size < group.seats.length
      ? leastLoaded([...free].filter((s) => group.seatSet.has(s)))
      : leastLoaded(group.seats.filter((s) => free.has(s)));
  }

  function whyWaiting({ run, seats: candidates, found }: Group): string {
    if (run.isPaused) return "The run is paused";
    if (candidates.length === 0) return found?.reason ?? "No agent can take it";
    if (held >= tasksMax) return `The coordinator runs ${tasksMax} tasks at once, and no more`;
    return "All slots are in use";
  }

  function tellAll(group: Group, reason: string, commands: Command[]): void {
    const listeners = group.told === reason ? group.untold : group.members;
    for (const item of listeners) {
      if (item.group !== group || item.told === reason) continue;
      item.told = reason;
      commands.push({ kind: "wait", taskId: item.view.taskId, reason });
    }
    group.told = reason;
    group.untold = [];
  }

  function top(group: Group): Item | undefined {
    for (;;) {
      const item = group.heap.peek();
      if (item === undefined || item.group === group) return item;
      group.heap.pop();
    }
  }

  /** Of the run that holds the fewest slots, the group with the largest task. */
  function neediest(shut: ReadonlySet<Group>): Group | undefined {
    let best: Group | undefined;
    let bestSize = -1;
    let bestHeld = Infinity;
    for (const run of runs.values()) {
      if (run.groups.size === 0 || run.held >= bestHeld) continue;
      let found: Group | undefined;
      let foundSize = -1;
      for (const group of run.groups.values()) {
        const size = shut.has(group) ? -1 : top(group)?.view.sizeBytes ?? -1;
        if (size <= foundSize) continue;
        found = group;
        foundSize = size;
      }
      if (found === undefined) continue;
      best = found;
      bestSize = foundSize;
      bestHeld = run.held;
    }
    return bestSize < 0 ? undefined : best;
  }

  function tellRest(told: ReadonlySet<Group>, nowMs: number, commands: Command[]): void {
    for (const run of runs.values()) {
      for (const group of run.groups.values()) {
        if (told.has(group)) continue;
        refresh(group, nowMs);
        tellAll(group, whyWaiting(group), commands);
      }
    }
  }

  function assignAll(nowMs: number, commands: Command[]): void {
    const shut = new Set<Group>();
    for (;;) {
      // With no place left the order does not matter any more, and looking for the neediest is most of the work.
      if (seats.free.size === 0 || held >= tasksMax) return tellRest(shut, nowMs, commands);
      const group = neediest(shut);
      if (group === undefined) return;
      refresh(group, nowMs);
      const isOpen = !group.run.isPaused && held < tasksMax;
      const seat = isOpen ? freeSeat(group) : undefined;
      if (seat === undefined) {
        shut.add(group);
        tellAll(group, whyWaiting(group), commands);
        continue;
      }
      const item = top(group)!;
      group.heap.pop();
      leave(item);
      toAgent(item, seat.agent.agentId, true);
      item.assignedAtMs = nowMs;
      unstarted.add(item);
      const { agentId } = seat.agent;
      commands.push({ kind: "assign", taskId: item.view.taskId, agentId });
    }
  }

  /** Where nothing waits any more, idle agents get what busy ones have not begun. */
  function steal(nowMs: number, commands: Command[]): void {
    if (queued > 0 || unstarted.size === 0 || seats.free.size === 0) return;
    const idle = new Set([...seats.free].filter((s) => s.held === 0 && !s.agent.isFallback));
    for (const item of unstarted) {
      if (idle.size === 0) return;
      const from = seats.get(item.agentId!);
      if (item.isRevoked || from === undefined || from.held < 2) continue;
      if (item.run.isPaused || nowMs < item.assignedAtMs! + STEAL_AFTER_MS) continue;
      const able = new Set(
        match(item.view, [...idle].map((s) => s.agent), item.run.excluded).candidates
          .filter((a) => !(item.view.avoid?.includes(a.agentId) ?? false)),
      );
      const to = leastLoaded([...idle].filter((s) => able.has(s.agent)));
      if (to === undefined) continue;
      idle.delete(to);
      item.isRevoked = true;
      commands.push({ kind: "revoke", taskId: item.view.taskId, agentId: item.agentId! });
    }
  }

  function wake(nowMs: number): void {
    for (let next = delayed.peek(); next !== undefined; next = delayed.peek()) {
      const { item, notBeforeMs } = next;
      const isGone = item.state !== "delayed" || item.view.notBeforeMs !== notBeforeMs;
      if (!isGone && notBeforeMs > nowMs) return;
      delayed.pop();
      if (!isGone) toQueue(item);
    }
  }

  function tellBlocked(commands: Command[]): void {
    for (const item of news.splice(0)) {
      if (item.state !== "blocked") continue;
      const waitsFor = item.view.after!.filter((s) => (item.run.open.get(s) ?? 0) > 0);
      const reason = `Waits for ${waitsFor.join(", ")}`;
      if (item.told === reason) continue;
      item.told = reason;
      commands.push({ kind: "wait", taskId: item.view.taskId, reason });
    }
  }

  return {
    get queued() {
      return queued;
    },
    get held() {
      return held;
    },
    putAgent(agent) {
      const isNew = seats.get(agent.agentId) === undefined;
      const known = seats.get(agent.agentId)?.agent;
      seats.put(agent);
      // Only a changed load changes no match, but the view is a new one.
      if (known === undefined || !isSameButLoad(known, agent)) agentsChanged();
      else regular = undefined;
      if (!isNew) return;
      for (const item of items.values()) {
        if (item.agentId === agent.agentId) {
          seats.change(agent.agentId, item.holdsSlot ? 1 : 0, 1);
        }
      }
    },
    dropAgent(agentId) {
      seats.drop(agentId);
      agentsChanged();
    },
    putRun({ runId, isPaused = false, excluded = new Map() }) {
      const run = runOf(runId);
      run.isPaused = isPaused;
      run.excluded = excluded;
      for (const group of run.groups.values()) group.found = undefined;
    },
    dropRun(runId) {
      const run = runs.get(runId);
      if (run === undefined) return;
      for (const item of [...items.values()]) {
        if (item.run !== run) continue;
        leave(item);
        fromAgent(item);
        item.state = "gone";
        items.delete(item.view.taskId);
      }
      runs.delete(runId);
    },
    add(view) {
      if (items.has(view.taskId)) throw new RangeError(`Task ${view.taskId} is planned already`);
      const run = runOf(view.runId);
      const item: Item = {
        view,
        run,
        agentId: null,
        holdsSlot: false,
        assignedAtMs: undefined,
        isRevoked: false,
        state: "fresh",
        group: undefined,
        told: undefined,
      };
      items.set(view.taskId, item);
      if (view.source !== undefined) {
        run.open.set(view.source, (run.open.get(view.source) ?? 0) + 1);
      }
      if (view.agentId === null) fresh.push(item);
      else toAgent(item, view.agentId, view.holdsSlot);
    },
    requeue(taskId, { avoid, notBeforeMs = 0 } = {}) {
      const item = items.get(taskId);
      if (item === undefined) return;
      leave(item);
      fromAgent(item);
      item.view = { ...item.view, notBeforeMs, ...(avoid === undefined ? {} : { avoid }) };
      toWaiting(item);
    },
    move(taskId, agentId) {
      const item = items.get(taskId);
      if (item === undefined) return;
      leave(item);
      fromAgent(item);
      toAgent(item, agentId, true);
    },
    begin(taskId) {
      const item = items.get(taskId);
      if (item !== undefined) unstarted.delete(item);
    },
    hold(taskId, holdsSlot) {
      const item = items.get(taskId);
      if (item !== undefined) hold(item, holdsSlot);
    },
    end(taskId) {
      const item = items.get(taskId);
      if (item === undefined) return;
      leave(item);
      fromAgent(item);
      items.delete(taskId);
      item.state = "gone";
      const { run, view: { source } } = item;
      if (source === undefined) return;
      const left = (run.open.get(source) ?? 1) - 1;
      run.open.set(source, left);
      if (left > 0) return;
      for (const waiting of [...run.blocked]) {
        run.blocked.delete(waiting);
        toWaiting(waiting);
      }
    },
    plan(nowMs) {
      const commands: Command[] = [];
      for (const item of fresh.splice(0)) if (item.state === "fresh") toWaiting(item);
      wake(nowMs);
      tellBlocked(commands);
      assignAll(nowMs, commands);
      steal(nowMs, commands);
      return commands;
    },
    nextDueMs(nowMs) {
      const due: number[] = [];
      const next = delayed.peek();
      if (next !== undefined) due.push(next.notBeforeMs);
      for (const run of runs.values()) {
        for (const group of run.groups.values()) {
          const atMs = fallbackAtMs(group);
          if (atMs > nowMs && atMs < Infinity) due.push(atMs);
        }
      }
      if (queued === 0 && seats.free.size > 0) {
        for (const { assignedAtMs } of unstarted) {
          if (assignedAtMs! + STEAL_AFTER_MS <= nowMs) continue;
          due.push(assignedAtMs! + STEAL_AFTER_MS);
          break;
        }
      }
      return due.length === 0 ? undefined : Math.min(...due);
    },
  };
}

function isSameButLoad(a: AgentView, b: AgentView): boolean {
  const rest = ({ load: _, ...others }: AgentView) => JSON.stringify(others);
  return rest(a) === rest(b);
}
