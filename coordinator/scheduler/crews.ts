/**
 * Which agents can take tasks of one kind, and which of them have room. Rule: kept as agents change, a step for each kind,
 * so that planning never looks at all agents; it says what `match` would say.
 */
import { missingCapabilities } from "../../protocol/mesh/capability.ts";
import { isNear, match, type MatchTask, readinessOf } from "./match.ts";
import type { Seat } from "./seats.ts";
import type { AgentView } from "./view.ts";

/** Kinds nobody asks for now that are kept, since they come again. */
const IDLE_CREWS_MAX = 32;

export interface Crew {
  readonly key: string;
  readonly task: MatchTask;
  readonly excluded: ReadonlyMap<string, string>;
  /** How many can take it; those that failed it count only when there are no others. */
  readonly size: number;
  /** Those of them that have room. */
  readonly free: ReadonlySet<Seat>;
  /** No agent near is there at all, so that the coordinator's own may step in. */
  readonly isDeserted: boolean;
  /** Since when, as planning has found it. */
  desertedSinceMs: number | undefined;
  /** Whether the coordinator's own may have been used when that was looked at last. */
  mayUseOwn: boolean;
}

export interface Crews {
  /** Of a kind of tasks; made when it is asked for first. */
  of(task: MatchTask, taskKey: string, excluded: ReadonlyMap<string, string>): Crew;
  /** Somebody waits for it, or nobody any more. */
  use(crew: Crew): void;
  leave(crew: Crew): void;
  /** An agent has come or changed; `isFree` whether it has room. Not for a change of its load. */
  put(seat: Seat, isFree: boolean): void;
  drop(seat: Seat): void;
  /** It has room, or none any more. */
  setFree(seat: Seat, isFree: boolean): void;
  /** Why nobody can take it, for people. */
  reason(crew: Crew): string | undefined;
  all(): Iterable<Crew>;
}

/** What an agent is to a kind of tasks. */
type Standing = "out" | "unable" | "unable, away" | "away" | "suspect" | "avoided" | "able";

class KeptCrew implements Crew {
  readonly key: string;
  readonly task: MatchTask;
  readonly excluded: ReadonlyMap<string, string>;
  desertedSinceMs: number | undefined;
  mayUseOwn = false;
  users = 0;
  reason: { text: string | undefined } | undefined;
  readonly #standings = new Map<Seat, string>();
  readonly #able = new Set<Seat>();
  readonly #avoided = new Set<Seat>();
  readonly #ableFree = new Set<Seat>();
  readonly #avoidedFree = new Set<Seat>();
  /** Agents near, ready or soon back, whatever they can do. */
  #there = 0;

  constructor(key: string, task: MatchTask, excluded: ReadonlyMap<string, string>) {
    this.key = key;
    this.task = task;
    this.excluded = excluded;
  }

  get size(): number {
    return this.#able.size > 0 ? this.#able.size : this.#avoided.size;
  }

  get free(): ReadonlySet<Seat> {
    return this.#able.size > 0 ? this.#ableFree : this.#avoidedFree;
  }

  get isDeserted(): boolean {
    return this.#there === 0;
  }

  /** True when it has changed what can be said of the crew. */
  put(seat: Seat, isFree: boolean): boolean {
    const { standing, detail } = standingOf(this.task, seat.agent, this.excluded);
    const next = `${standing}${detail}`;
    const before = this.#standings.get(seat);
    if (before !== next) {
      this.#forget(seat, before);
      this.#standings.set(seat, next);
      if (isThere(next)) this.#there++;
      if (standing === "able") this.#able.add(seat);
      if (standing === "avoided") this.#avoided.add(seat);
    }
    this.setFree(seat, isFree);
    return before !== next;
  }

  drop(seat: Seat): void {
    this.#forget(seat, this.#standings.get(seat));
    this.#standings.delete(seat);
  }

  setFree(seat: Seat, isFree: boolean): void {
    if (this.#able.has(seat)) change(this.#ableFree, seat, isFree);
    if (this.#avoided.has(seat)) change(this.#avoidedFree, seat, isFree);
  }

  #forget(seat: Seat, standing: string | undefined): void {
    if (standing === undefined) return;
    if (isThere(standing)) this.#there--;
    for (const set of [this.#able, this.#avoided, this.#ableFree, this.#avoidedFree]) {
      set.delete(seat);
    }
  }
}

/** `changed`: what can be said of a kind is not what it was. */
export function createCrews(
  seats: () => Iterable<{ seat: Seat; isFree: boolean }>,
  regularAgents: () => readonly AgentView[],
  changed: (crew: Crew) => void,
): Crews {
  const crews = new Map<string, KeptCrew>();
  const idle = new Set<KeptCrew>();

  function isRegular({ agent }: Seat): boolean {
    return agent.isFallback !== true;
  }

  return {
    of(task, taskKey, excluded) {
      const key = excluded.size === 0 ? taskKey : `${taskKey} ${JSON.stringify([...excluded])}`;
      let crew = crews.get(key);
      if (crew !== undefined) return crew;
      crew = new KeptCrew(key, task, excluded);
      for (const { seat, isFree } of seats()) if (isRegular(seat)) crew.put(seat, isFree);
      crews.set(key, crew);
      return crew;
    },
    use(crew) {
      const kept = crews.get(crew.key)!;
      kept.users++;
      idle.delete(kept);
    },
    leave(crew) {
      const kept = crews.get(crew.key)!;
      if (--kept.users > 0) return;
      idle.add(kept);
      const [oldest] = idle;
      if (idle.size <= IDLE_CREWS_MAX || oldest === undefined) return;
      idle.delete(oldest);
      crews.delete(oldest.key);
    },
    put(seat, isFree) {
      if (!isRegular(seat)) return;
      for (const crew of crews.values()) {
        if (!crew.put(seat, isFree)) continue;
        crew.reason = undefined;
        changed(crew);
      }
    },
    drop(seat) {
      if (!isRegular(seat)) return;
      for (const crew of crews.values()) {
        crew.drop(seat);
        crew.reason = undefined;
        changed(crew);
      }
    },
    setFree(seat, isFree) {
      if (!isRegular(seat)) return;
      for (const crew of crews.values()) crew.setFree(seat, isFree);
    },
    reason(crew) {
      const kept = crews.get(crew.key)!;
      kept.reason ??= { text: match(kept.task, regularAgents(), kept.excluded).reason };
      return kept.reason.text;
    },
    all: () => crews.values(),
  };
}

function change(set: Set<Seat>, seat: Seat, isIn: boolean): void {
  if (isIn) set.add(seat);
  else set.delete(seat);
}

function isThere(standing: string): boolean {
  return !standing.startsWith("out") && !standing.includes("away");
}

/** Its standing, and what a reason to wait would say of it. */
export function standingOf(
  task: MatchTask,
  agent: AgentView,
  excluded: ReadonlyMap<string, string>,
): { standing: Standing; detail: string } {
  if (!isNear(task, agent)) return { standing: "out", detail: "" };
  if (excluded.has(agent.agentId)) return { standing: "out", detail: " of the run" };
  const readiness = readinessOf(agent);
  const isAway = readiness !== "ready" && readiness !== "suspect";
  const missing = missingCapabilities(task.requires, agent.capabilities);
  if (missing.length > 0) {
    return { standing: isAway ? "unable, away" : "unable", detail: `: ${missing.join()}` };
  }
  if (isAway) return { standing: "away", detail: `: ${readiness}` };
  if (readiness === "suspect") return { standing: "suspect", detail: "" };
  const isAvoided = task.avoid?.includes(agent.agentId) ?? false;
  return { standing: isAvoided ? "avoided" : "able", detail: "" };
}
