/**
 * The scheduler: a picture that changes piece by piece and a time in, commands out. Rule: pure and deterministic; what
 * is assigned is reserved at once, so a burst never lands on one agent; planning costs what has changed.
 *
 * Tasks that the same agents can take are one group (`Group`) of their run, and their agents one crew of all runs.
 */
import { PriorityQueue } from "../../protocol/base/priority_queue.ts";
import { createCrews, type Crew, standingOf } from "./crews.ts";
import type { MatchTask } from "./match.ts";
import { createSeats, leastLoaded, type Seat } from "./seats.ts";
import type { AgentView, Command, PlannerLimits, RunView, TaskView } from "./view.ts";

/** A task that its agent has not begun for so long may go to an idle one. */
export const STEAL_AFTER_MS = 2_000;
export const FALLBACK_AFTER_MS = 30_000;

export interface Planner {
  /** Adds an agent or changes what is known of it. False when no plan can be another for it. */
  putAgent(agent: AgentView): boolean;
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
  readonly task: MatchTask;
  /** Who can take them. */
  crew: Crew;
  /** The largest first; tasks that have left are skipped when they come up. */
  readonly heap: PriorityQueue<Item>;
  readonly members: Set<Item>;
  /** Members that have come since `told` was said. */
  untold: Item[];
  told: string | undefined;
}

interface Run {
  readonly runId: string;
  isPaused: boolean;
  excluded: ReadonlyMap<string, string>;
  held: number;
  readonly groups: Map<string, Group>;
  readonly items: Set<Item>;
  /** Tasks that have not ended, by source. */
  readonly open: Map<string, number>;
  readonly blocked: Set<Item>;
}

export function createPlanner(limits: PlannerLimits = {}): Planner {
  const { tasksMax = Infinity, fallbackAfterMs = FALLBACK_AFTER_MS } = limits;
  const seats = createSeats((seat, isFree) => crews.setFree(seat, isFree));
  let regular: readonly AgentView[] | undefined;
  const crews = createCrews(seatsNow, regularAgents, (crew) => {
    for (const group of groupsOf.get(crew.key) ?? []) stale.add(group);
  });
  /** By crew. */
  const groupsOf = new Map<string, Set<Group>>();
  /** Groups whose tasks may have to be told something. */
  const stale = new Set<Group>();
  let wasFull = false;
  const runs = new Map<string, Run>();
  const items = new Map<string, Item>();
  const delayed = new PriorityQueue<{ item: Item; notBeforeMs: number }>(
    (a, b) => a.notBeforeMs - b.notBeforeMs,
  );
  const unstarted = new Set<Item>();
  /** What each agent has, also one that is not known. */
  const itemsOf = new Map<string, Set<Item>>();
  /** Not looked at since they came: what they come after may have been added behind them. */
  const fresh: Item[] = [];
  const news: Item[] = [];
  let queued = 0;
  let held = 0;

  function* seatsNow(): Generator<{ seat: Seat; isFree: boolean }> {
    for (const seat of seats.all()) yield { seat, isFree: seats.free.has(seat) };
  }

  function regularAgents(): readonly AgentView[] {
    return regular ??= seats.views().filter((a) => a.isFallback !== true);
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
        items: new Set(),
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
      const task = { requires, onlyAgents, ...(place && { place }), ...(avoid && { avoid }) };
      group = {
        key,
        run,
        task,
        crew: crews.of(task, key, run.excluded),
        heap: new PriorityQueue((a, b) => b.view.sizeBytes - a.view.sizeBytes),
        members: new Set(),
        untold: [],
        told: undefined,
      };
      run.groups.set(key, group);
      join(group);
    }
    return group;
  }

  function join(group: Group): void {
    const { crew } = group;
    crews.use(crew);
    const others = groupsOf.get(crew.key);
    if (others === undefined) groupsOf.set(crew.key, new Set([group]));
    else others.add(group);
    stale.add(group);
  }

  function part(group: Group): void {
    const { crew } = group;
    const others = groupsOf.get(crew.key);
    others?.delete(group);
    if (others?.size === 0) groupsOf.delete(crew.key);
    crews.leave(crew);
    stale.delete(group);
  }

  function toQueue(item: Item): void {
    const group = groupOf(item);
    item.state = "queued";
    item.group = group;
    group.heap.push(item);
    group.members.add(item);
    group.untold.push(item);
    stale.add(group);
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
    if (group.members.size > 0) return;
    run.groups.delete(group.key);
    part(group);
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
    const own = itemsOf.get(agentId);
    if (own === undefined) itemsOf.set(agentId, new Set([item]));
    else own.add(item);
    seats.change(agentId, holdsSlot ? 1 : 0, 1);
    if (!holdsSlot) return;
    item.run.held++;
    held++;
  }

  function fromAgent(item: Item): void {
    if (item.agentId === null) return;
    hold(item, false);
    const own = itemsOf.get(item.agentId);
    own?.delete(item);
    if (own?.size === 0) itemsOf.delete(item.agentId);
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

  /** Looks at the crews that nobody of may be there, before anything is given away. */
  function lookForDeserted(nowMs: number): void {
    for (const crew of crews.all()) {
      if (crew.isDeserted) crew.desertedSinceMs ??= nowMs;
      else crew.desertedSinceMs = undefined;
      const mayUseOwn = crew.isDeserted && nowMs >= fallbackAtMs(crew);
      if (mayUseOwn === crew.mayUseOwn) continue;
      crew.mayUseOwn = mayUseOwn;
      for (const group of groupsOf.get(crew.key) ?? []) stale.add(group);
    }
  }

  /** At once when no other agent was ever there. */
  function fallbackAtMs({ desertedSinceMs }: Crew): number {
    if (desertedSinceMs === undefined) return Infinity;
    return regularAgents().length === 0 ? 0 : desertedSinceMs + fallbackAfterMs;
  }

  function fallbacksFor({ task, run }: Group): Seat[] {
    return [...seats.all()].filter(({ agent }) => {
      if (agent.isFallback !== true) return false;
      const { standing } = standingOf(task, agent, run.excluded);
      return standing !== "out" && standing !== "unable" && standing !== "unable, away";
    });
  }

  /** Who of those that can take the group's tasks has room. */
  function freeSeats(group: Group): Iterable<Seat> {
    const { crew } = group;
    return crew.mayUseOwn ? fallbacksFor(group).filter((s) => seats.free.has(s)) : crew.free;
  }

  function isOpen(group: Group): boolean {
    const { crew, run } = group;
    if (run.isPaused) return false;
    return crew.mayUseOwn ? [...freeSeats(group)].length > 0 : crew.free.size > 0;
  }

  function whyWaiting(group: Group): string {
    const { run, crew } = group;
    if (run.isPaused) return "The run is paused";
    if (crew.size === 0 && !(crew.mayUseOwn && fallbacksFor(group).length > 0)) {
      return crews.reason(crew) ?? "No agent can take it";
    }
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

  /** Of the run that holds the fewest slots, the group with the largest task, where somebody has room for it. */
  function neediest(): Group | undefined {
    let best: Group | undefined;
    let bestHeld = Infinity;
    for (const run of runs.values()) {
      if (run.groups.size === 0 || run.held >= bestHeld) continue;
      let found: Group | undefined;
      let foundSize = -1;
      for (const group of run.groups.values()) {
        const size = top(group)?.view.sizeBytes ?? -1;
        if (size <= foundSize || !isOpen(group)) continue;
        found = group;
        foundSize = size;
      }
      if (found === undefined) continue;
      best = found;
      bestHeld = run.held;
    }
    return best;
  }

  function assignAll(nowMs: number, commands: Command[]): void {
    while (seats.free.size > 0 && held < tasksMax) {
      const group = neediest();
      if (group === undefined) return;
      const seat = leastLoaded(freeSeats(group))!;
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

  /** Whoever waits is told why, when that is news. */
  function tellWaiting(commands: Command[]): void {
    const isFull = held >= tasksMax;
    if (isFull !== wasFull) {
      wasFull = isFull;
      for (const run of runs.values()) for (const g of run.groups.values()) stale.add(g);
    }
    for (const group of stale) tellAll(group, whyWaiting(group), commands);
    stale.clear();
  }

  /** Where nothing waits any more, idle agents get what busy ones have not begun. */
  function steal(nowMs: number, commands: Command[]): void {
    if (queued > 0 || unstarted.size === 0 || seats.free.size === 0) return;
    const idle = new Set([...seats.free].filter((s) => s.held === 0 && !s.agent.isFallback));
    for (const item of unstarted) {
      // Those that were given away later come later.
      if (idle.size === 0 || nowMs < item.assignedAtMs! + STEAL_AFTER_MS) return;
      const from = seats.get(item.agentId!);
      if (item.isRevoked || from === undefined || from.held < 2 || item.run.isPaused) continue;
      const to = leastLoaded(
        [...idle].filter(({ agent }) =>
          standingOf(item.view, agent, item.run.excluded).standing === "able"
        ),
      );
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
      const known = seats.get(agent.agentId)?.agent;
      seats.put(agent);
      regular = undefined;
      // A load says who is asked first, and never whether.
      if (known !== undefined && isSameButLoad(known, agent)) return false;
      if (known === undefined) {
        for (const { holdsSlot } of itemsOf.get(agent.agentId) ?? []) {
          seats.change(agent.agentId, holdsSlot ? 1 : 0, 1);
        }
      }
      const seat = seats.get(agent.agentId)!;
      crews.put(seat, seats.free.has(seat));
      return true;
    },
    dropAgent(agentId) {
      const seat = seats.get(agentId);
      if (seat === undefined) return;
      seats.drop(agentId);
      regular = undefined;
      crews.drop(seat);
    },
    putRun({ runId, isPaused = false, excluded = new Map() }) {
      const run = runOf(runId);
      run.isPaused = isPaused;
      run.excluded = excluded;
      for (const group of run.groups.values()) {
        part(group);
        group.crew = crews.of(group.task, group.key, excluded);
        join(group);
      }
    },
    dropRun(runId) {
      const run = runs.get(runId);
      if (run === undefined) return;
      for (const item of run.items) {
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
      run.items.add(item);
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
      item.run.items.delete(item);
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
      lookForDeserted(nowMs);
      assignAll(nowMs, commands);
      tellWaiting(commands);
      steal(nowMs, commands);
      return commands;
    },
    nextDueMs(nowMs) {
      const due: number[] = [];
      const next = delayed.peek();
      if (next !== undefined) due.push(next.notBeforeMs);
      for (const crew of crews.all()) {
        const atMs = fallbackAtMs(crew);
        if (groupsOf.has(crew.key) && atMs > nowMs && atMs < Infinity) due.push(atMs);
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
  return a.slots === b.slots && a.hostId === b.hostId && a.readiness === b.readiness &&
    a.isFallback === b.isFallback && isSameList(a.capabilities, b.capabilities) &&
    isSameList(a.roots ?? [], b.roots ?? []);
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((item, at) => item === b[at]));
}
