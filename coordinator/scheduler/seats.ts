/** What each agent has now. Rule: counted where it changes, so that planning never counts again. */
import type { AgentView } from "./view.ts";
import { readinessOf } from "./match.ts";

/** Tasks one agent may have at all, also those that hold no slot: each keeps its file list in memory. */
export const TASKS_PER_AGENT_MAX = 256;

export interface Seat {
  agent: AgentView;
  /** Order of registration; breaks ties. */
  readonly rank: number;
  /** Slots in use by what we gave it. */
  held: number;
  tasks: number;
}

export interface Seats {
  get(agentId: string): Seat | undefined;
  /** In the order of registration. */
  views(): readonly AgentView[];
  /** Adds an agent or changes what is known of it; its place in the order stays. */
  put(agent: AgentView): void;
  drop(agentId: string): void;
  change(agentId: string, heldBy: number, tasksBy: number): void;
  /** Agents that can take another task. */
  readonly free: ReadonlySet<Seat>;
  all(): Iterable<Seat>;
}

/** `turned`: an agent has room now, or has none any more. */
export function createSeats(turned: (seat: Seat, isFree: boolean) => void = () => {}): Seats {
  const seats = new Map<string, Seat>();
  const free = new Set<Seat>();
  let nextRank = 0;
  let views: readonly AgentView[] | undefined;

  function refresh(seat: Seat): void {
    const { agent, held, tasks } = seat;
    const isFree = readinessOf(agent) === "ready" && held < agent.slots &&
      tasks < TASKS_PER_AGENT_MAX;
    if (isFree === free.has(seat)) return;
    if (isFree) free.add(seat);
    else free.delete(seat);
    turned(seat, isFree);
  }

  return {
    free,
    all: () => seats.values(),
    get: (agentId) => seats.get(agentId),
    views: () => views ??= [...seats.values()].map((s) => s.agent),
    put(agent) {
      views = undefined;
      let seat = seats.get(agent.agentId);
      if (seat === undefined) {
        seat = { agent, rank: nextRank++, held: 0, tasks: 0 };
        seats.set(agent.agentId, seat);
      } else seat.agent = agent;
      refresh(seat);
    },
    drop(agentId) {
      const seat = seats.get(agentId);
      if (seat === undefined) return;
      views = undefined;
      seats.delete(agentId);
      free.delete(seat);
    },
    change(agentId, heldBy, tasksBy) {
      const seat = seats.get(agentId);
      if (seat === undefined) return;
      seat.held += heldBy;
      seat.tasks += tasksBy;
      refresh(seat);
    },
  };
}

/** The larger of what we know (slots we gave out) and what the agent reports; what is no number is busy. */
export function loadOf({ agent, held }: Seat): number {
  const reported = Number.isFinite(agent.load) ? Math.min(1, Math.max(0, agent.load)) : 1;
  return Math.max(held / agent.slots, reported);
}

/**
 * The one to ask first: the least loaded, then the one that has the fewest of our tasks for its slots, then the one
 * registered first. Agents of one machine all report its processors as their load, so load alone would choose one of them.
 */
export function leastLoaded(seats: Iterable<Seat>): Seat | undefined {
  let best: { seat: Seat; load: number; use: number } | undefined;
  for (const seat of seats) {
    const next = { seat, load: loadOf(seat), use: seat.held / seat.agent.slots };
    if (best === undefined || isBefore(next, best)) best = next;
  }
  return best?.seat;
}

type Candidate = { seat: Seat; load: number; use: number };

function isBefore(a: Candidate, b: Candidate): boolean {
  return (a.load - b.load || a.use - b.use || a.seat.rank - b.seat.rank) < 0;
}
