/**
 * The whole picture of a coordinator, and what has changed in it. Rule: collecting costs what has changed; what is the same
 * is the same object, and one that is equal is not told again.
 */
import {
  type AgentCardView,
  CONSOLE_COLLECTION_NAMES,
  type ConsoleChange,
  type ConsoleState,
  type CoordinatorCard,
  type PlaceCard,
  type PublicStatus,
  type RestoreCard,
  type ScheduleCard,
  type TaskCard,
} from "../../protocol/mesh/console_state.ts";
import type { AgentInfo } from "../../protocol/mesh/methods.ts";
import type { Unnumbered } from "../mesh/run_hub.ts";
import { doneOf } from "../progress/verdict.ts";
import type { StoreReader } from "../store/job_store.ts";
import { RunFacts, type RunFactsDeps } from "./run_facts.ts";

export interface ConsoleModelDeps extends RunFactsDeps {
  store: StoreReader;
  agents(): AgentInfo[];
  own: AgentCardView | undefined;
  places(): PlaceCard[];
  schedules(): ScheduleCard[];
  restores(): RestoreCard[];
  facts: Omit<CoordinatorCard, "verdict" | "activeRunIds">;
}

/** Runs in the picture; the history has all. */
const RUNS_SHOWN = 25;
/** A heartbeat's time is known only so well. */
const HEARD_GRAIN_MS = 500;

export class ConsoleModel {
  readonly #deps: ConsoleModelDeps;
  /** The newest first. */
  #runs: RunFacts[] | undefined;
  readonly #heard = new Map<string, number>();

  constructor(deps: ConsoleModelDeps) {
    this.#deps = deps;
  }

  /** Something was told about a run. */
  observe(runId: string, event?: Unnumbered): void {
    const runs = this.runs();
    const known = runs.find((r) => r.runId === runId);
    if (known !== undefined) {
      known.observe(event);
      if (!known.isOver) return;
    } else this.#runs = [new RunFacts(this.#deps, runId, true), ...runs];
    const over = this.#runs!.filter((r) => r.isOver);
    const gone = new Set(over.slice(RUNS_SHOWN));
    if (gone.size > 0) this.#runs = this.#runs!.filter((r) => !gone.has(r));
  }

  /** The next look begins anew, from the store. */
  forget(): void {
    this.#runs = undefined;
  }

  /** @throws {BackupError} when the store cannot be read */
  runs(): readonly RunFacts[] {
    if (this.#runs !== undefined) return this.#runs;
    const { store } = this.#deps;
    const newest = store.runs(RUNS_SHOWN).map((r) => r.runId);
    const open = store.unfinishedRuns("mesh").map((r) => r.runId).reverse();
    const ids = new Set([...open.filter((id) => !newest.includes(id)), ...newest]);
    // Only of the newest one is there more to see than its end.
    return this.#runs = [...ids].map((id, at) => new RunFacts(this.#deps, id, at === 0));
  }

  run(runId: string): RunFacts {
    return this.runs().find((r) => r.runId === runId) ?? new RunFacts(this.#deps, runId, false);
  }

  /** Those that are shown, of any run. */
  tasksOf(runId: string): TaskCard[] {
    const known = this.runs().find((r) => r.runId === runId && !r.isOver);
    return (known ?? new RunFacts(this.#deps, runId, true)).shownTasks();
  }

  collect(): ConsoleState {
    const { own, facts } = this.#deps;
    const runs = this.runs();
    const active = runs.filter((r) => !r.isOver);
    const shown = active[0] ?? runs[0];
    const tasks = active.flatMap((r): [string, TaskCard][] =>
      r.shownTasks().map((t) => [t.taskId, t])
    );
    const agents = [
      ...this.#deps.agents().map((a) => this.#agentCard(a)),
      ...(own === undefined ? [] : [own]),
    ];
    return {
      coordinator: {
        ...facts,
        verdict: shown?.live().verdict ?? null,
        activeRunIds: active.map((r) => r.runId),
      },
      runs: Object.fromEntries(runs.map((r) => [r.runId, r.card()])),
      live: Object.fromEntries(runs.map((r) => [r.runId, r.live()])),
      agents: Object.fromEntries(agents.map((a) => [a.agentId, a])),
      tasks: Object.fromEntries(tasks),
      places: Object.fromEntries(this.#deps.places().map((p) => [p.placeId, p])),
      schedules: Object.fromEntries(this.#deps.schedules().map((s) => [s.scheduleId, s])),
      restores: Object.fromEntries(this.#deps.restores().map((r) => [r.restoreId, r])),
    };
  }

  /** For everybody: no path and no name. */
  publicStatus(): PublicStatus {
    const agents = this.#deps.agents();
    const runs = this.runs();
    const active = runs.filter((r) => !r.isOver);
    return {
      status: "ok",
      version: this.#deps.facts.version,
      atMs: this.#deps.nowMs(),
      agents: {
        alive: agents.filter((a) => a.state === "alive" || a.state === "draining").length,
        total: agents.length,
      },
      runs: (active.length > 0 ? active : runs.slice(0, 1)).map((run) => {
        const { state, isPaused } = run.card();
        const { verdict: { verified, total, leftMs }, progress } = run.live();
        const all = progress?.destinations ?? [];
        const done = all.reduce((sum, d) => sum + doneOf(d), 0) / Math.max(1, all.length);
        const percent = run.isOver ? total === 0 ? 0 : verified / total : done;
        const copies = { verified, total };
        return {
          runId: run.runId,
          state,
          isPaused,
          copies,
          percent: Math.floor(percent * 100),
          leftMs,
        };
      }),
    };
  }

  #agentCard({ heartbeatAgeMs, ...info }: AgentInfo): AgentCardView {
    const { agentId } = info;
    let heardAtMs: number | null = null;
    if (heartbeatAgeMs !== null) {
      heardAtMs = Math.round(this.#deps.nowMs() - heartbeatAgeMs);
      const before = this.#heard.get(agentId);
      if (before !== undefined && Math.abs(before - heardAtMs) < HEARD_GRAIN_MS) heardAtMs = before;
      this.#heard.set(agentId, heardAtMs);
    }
    return { ...info, load: Math.round(info.load * 100) / 100, heardAtMs, isOwn: false };
  }
}

/** What leads from one state to another; undefined when they are equal. */
export function changeBetween(
  before: ConsoleState,
  after: ConsoleState,
): ConsoleChange | undefined {
  const change: ConsoleChange = { put: {}, gone: {} };
  let isNews = false;
  if (!isSame(before.coordinator, after.coordinator)) {
    change.coordinator = after.coordinator;
    isNews = true;
  }
  for (const name of CONSOLE_COLLECTION_NAMES) {
    const old: Record<string, unknown> = before[name];
    const now: Record<string, unknown> = after[name];
    const put = Object.entries(now).filter(([id, row]) => !isSame(old[id], row));
    const gone = Object.keys(old).filter((id) => now[id] === undefined);
    if (put.length > 0) Object.assign(change.put, { [name]: Object.fromEntries(put) });
    if (gone.length > 0) change.gone[name] = gone;
    isNews ||= put.length + gone.length > 0;
  }
  return isNews ? change : undefined;
}

function isSame(a: unknown, b: unknown): boolean {
  return a === b || (a !== undefined && JSON.stringify(a) === JSON.stringify(b));
}
