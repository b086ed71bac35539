/**
 * What is known of one run for people who look: its cards, kept up to date by what is told of it. Rule: what the store and
 * the run's own words say, never a guess of ours.
 */
import type { RunCard, RunLive, TaskCard } from "../../protocol/mesh/console_state.ts";
import { NEXT_RUN_STATES } from "../../protocol/mesh/job.ts";
import type { RunDetail, TaskInfo } from "../../protocol/mesh/methods.ts";
import type { RunProgress, RunReport } from "../../protocol/mesh/run.ts";
import { verdictSentence } from "../cli/verdict_sentence.ts";
import type { Unnumbered } from "../mesh/run_hub.ts";
import { emptyVerdict, endVerdict, liveVerdict } from "../progress/verdict.ts";
import type { StoreReader } from "../store/job_store.ts";
import { directoriesOf, type TaskTimes } from "./directories.ts";

/** Tasks of one run that are shown one by one. */
const TASKS_SHOWN_MAX = 500;
const EVENTS_AT_ONCE = 5_000;

export interface RunFactsDeps {
  store: StoreReader;
  /** @throws {BackupError} `not_found` */
  detail(runId: string): RunDetail;
  nowMs(): number;
}

export class RunFacts {
  readonly runId: string;
  readonly #deps: RunFactsDeps;
  readonly #tasks = new Map<string, TaskCard>();
  readonly #times = new Map<string, TaskTimes>();
  #detail: Omit<RunDetail, "tasks">;
  #isPaused: boolean;
  #progress: RunProgress | null;
  #card: RunCard | undefined;
  #live: RunLive | undefined;

  constructor(deps: RunFactsDeps, runId: string) {
    this.#deps = deps;
    this.runId = runId;
    const { tasks, ...detail } = deps.detail(runId);
    this.#detail = detail;
    this.#progress = detail.progress;
    this.#isPaused = deps.store.run(runId)?.isPaused ?? false;
    this.#readTimes();
    for (const task of tasks) this.#putTask(task);
  }

  /** Something was told; without an event its standing facts have changed. */
  observe(event?: Unnumbered): void {
    switch (event?.kind) {
      case "progress":
        this.#progress = event.progress;
        if (event.progress.state !== this.#detail.state) this.#refresh();
        break;
      case "task":
        this.#noteTime(event.task);
        this.#putTask(event.task);
        this.#card = undefined;
        break;
      default:
        this.#refresh();
    }
    this.#live = undefined;
  }

  get isOver(): boolean {
    return NEXT_RUN_STATES[this.#detail.state].length === 0;
  }

  get progress(): RunProgress | null {
    return this.#progress;
  }

  get report(): RunReport | null {
    return this.#detail.report;
  }

  card(): RunCard {
    return this.#card ??= this.#makeCard();
  }

  live(): RunLive {
    return this.#live ??= this.#makeLive();
  }

  /** Those in hand, failed or waiting first when there are too many. */
  shownTasks(): TaskCard[] {
    const all = [...this.#tasks.values()];
    if (all.length <= TASKS_SHOWN_MAX) return all;
    const order = ["running", "assigned", "failed", "queued", "cancelled", "succeeded"];
    return all.toSorted((a, b) => order.indexOf(a.state) - order.indexOf(b.state))
      .slice(0, TASKS_SHOWN_MAX);
  }

  #refresh(): void {
    const { tasks, ...detail } = this.#deps.detail(this.runId);
    this.#detail = { ...detail, progress: detail.progress ?? this.#progress };
    this.#isPaused = this.#deps.store.run(this.runId)?.isPaused ?? false;
    for (const task of tasks) {
      this.#noteTime(task);
      this.#putTask(task);
    }
    this.#card = undefined;
  }

  #putTask(task: TaskInfo): void {
    this.#tasks.set(task.taskId, { ...task, runId: this.runId });
  }

  /** Of before this process, or before anybody looked. */
  #readTimes(): void {
    for (let after = 0;;) {
      const events = this.#deps.store.eventsAfter(after, EVENTS_AT_ONCE, this.runId);
      for (const { event, atMs } of events) {
        if (event.kind === "task_state") this.#setTime(event.taskId, event.to, atMs);
      }
      const last = events.at(-1);
      if (last === undefined || events.length < EVENTS_AT_ONCE) return;
      after = last.seq;
    }
  }

  #noteTime({ taskId, state }: TaskInfo): void {
    if (this.#tasks.get(taskId)?.state === state) return;
    this.#setTime(taskId, state, this.#deps.nowMs());
  }

  #setTime(taskId: string, state: TaskInfo["state"], atMs: number): void {
    const known = this.#times.get(taskId) ??
      { startedAtMs: null, endedAtMs: null, bytesCopied: null };
    if (state === "queued") known.startedAtMs = null;
    else if (state === "assigned" || state === "running") known.startedAtMs ??= atMs;
    else {
      known.endedAtMs = atMs;
      const lanes = this.#deps.store.result(taskId)?.lanes ?? [];
      known.bytesCopied = Math.max(0, ...lanes.map((l) => l.bytesCopied));
    }
    this.#times.set(taskId, known);
  }

  #makeCard(): RunCard {
    const { state, createdAtMs, endedAtMs, exitCode, sources, spec, notes, report } = this.#detail;
    const tasks = { queued: 0, assigned: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0 };
    for (const task of this.#tasks.values()) tasks[task.state]++;
    return {
      runId: this.runId,
      state,
      isPaused: this.#isPaused && !this.isOver,
      isDryRun: spec.options.dryRun,
      createdAtMs,
      endedAtMs,
      exitCode,
      sources: sources.map(({ name, path, root }) => ({
        name,
        path: root === undefined ? path : `${root}:${path}`,
      })),
      destinations: spec.destinations.map(({ key, path }) => ({ key, path })),
      notes,
      tasks,
      failureCount: report === null ? liveFailures(this.#progress) : failuresIn(report),
    };
  }

  #makeLive(): RunLive {
    const { report, state, spec } = this.#detail;
    const total = spec.destinations.length;
    const verdict = report !== null
      ? endVerdict(report, verdictSentence(report))
      : this.isOver
      ? emptyVerdict(`The run ${state === "cancelled" ? "was cancelled" : "failed"}`, total, "bad")
      : this.#progress !== null
      ? liveVerdict(this.#progress, this.#isPaused)
      : emptyVerdict("Waiting to begin", total, this.#isPaused ? "paused" : "working");
    return {
      verdict,
      progress: this.#progress,
      directories: directoriesOf([...this.#tasks.values()], this.#times),
      recentFiles: this.#progress?.recentFiles ?? [],
    };
  }
}

function liveFailures(progress: RunProgress | null): number {
  return progress?.destinations.reduce((sum, d) => sum + d.counters.filesFailed, 0) ?? 0;
}

/** Files that are not safe somewhere, and source files that could not be read. */
export function failuresIn(report: RunReport): number {
  const lanes = report.destinations.flatMap((d) => d.lanes);
  const sources = report.sources.reduce((sum, s) => sum + s.unreadableCount, 0);
  return lanes.reduce((sum, { report }) => sum + report.failureCount, sources);
}
