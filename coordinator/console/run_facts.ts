/**
 * What is known of one run for people who look: its cards, kept up to date by what is told of it. Rule: what the store and
 * the run's own words say, never a guess of ours; taking up a word costs no more than the word.
 */
import { REPOSITORY_PREFIX } from "../../protocol/cli/repository_address.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import type { RunCard, RunLive, TaskCard } from "../../protocol/mesh/console_state.ts";
import { NEXT_RUN_STATES } from "../../protocol/mesh/job.ts";
import type { TaskInfo } from "../../protocol/mesh/methods.ts";
import type { RunProgress, RunReport } from "../../protocol/mesh/run.ts";
import { verdictSentence } from "../cli/verdict_sentence.ts";
import type { Unnumbered } from "../mesh/run_hub.ts";
import { runInfoOf, taskInfoOf } from "../mesh/stored_infos.ts";
import { emptyVerdict, endVerdict, liveVerdict } from "../progress/verdict.ts";
import type { StoreReader } from "../store/job_store.ts";
import type { StoredRun } from "../store/records.ts";
import { TaskCards } from "./task_cards.ts";

const EVENTS_AT_ONCE = 5_000;
/** Tasks of a run whose events are read again at its end. */
const TIMES_READ_MAX = 500;

export interface RunFactsDeps {
  store: StoreReader;
  nameOf(agentId: string): string;
  nowMs(): number;
}

export class RunFacts {
  readonly runId: string;
  readonly #deps: RunFactsDeps;
  readonly #tasks = new TaskCards();
  #run: StoredRun;
  #progress: RunProgress | null = null;
  #card: RunCard | undefined;
  #live: RunLive | undefined;

  /**
   * `hasTasks`: its tasks are read too, and when each was begun and ended; of a run that is over their number may do.
   * @throws {BackupError} `not_found`, or when the store cannot be read
   */
  constructor(deps: RunFactsDeps, runId: string, hasTasks: boolean) {
    this.#deps = deps;
    this.runId = runId;
    this.#run = this.#read();
    if (!hasTasks && this.isOver) {
      this.#tasks.setCounts(deps.store.taskCounts(runId));
      return;
    }
    this.#readTimes();
    for (const task of deps.store.tasks(runId)) {
      this.#putTask(taskInfoOf(task, deps.nameOf), undefined);
    }
  }

  /** Something was told; without an event its standing facts have changed. */
  observe(event?: Unnumbered): void {
    this.#live = undefined;
    switch (event?.kind) {
      case "progress":
        this.#progress = event.progress;
        if (event.progress.state === this.#run.state) return;
        break;
      case "task":
        this.#putTask(event.task, this.#deps.nowMs());
        this.#card = undefined;
        return;
      case "end":
        // Whatever was told of them before, this is how they ended.
        this.#readOpenTasks();
        break;
    }
    this.#run = this.#read();
    this.#card = undefined;
  }

  get isOver(): boolean {
    return NEXT_RUN_STATES[this.#run.state].length === 0;
  }

  get progress(): RunProgress | null {
    return this.#progress;
  }

  card(): RunCard {
    return this.#card ??= this.#makeCard();
  }

  live(): RunLive {
    return this.#live ??= this.#makeLive();
  }

  shownTasks(): TaskCard[] {
    return this.#tasks.shown();
  }

  #read(): StoredRun {
    const run = this.#deps.store.run(this.runId);
    if (run !== undefined) return run;
    throw new BackupError("not_found", `No run ${this.runId} is stored`);
  }

  #putTask(task: TaskInfo, atMs: number | undefined): void {
    this.#tasks.put(
      { ...task, runId: this.runId },
      atMs,
      () => this.#bytesCopied(task.taskId),
    );
  }

  #readOpenTasks(): void {
    for (const taskId of this.#tasks.openIds()) {
      const task = this.#deps.store.task(taskId);
      if (task === undefined) continue;
      this.#putTask(taskInfoOf(task, this.#deps.nameOf), this.#deps.nowMs());
    }
    // One that was begun and ended within a tick was never told as running.
    if (this.#tasks.lackTimes && this.#tasks.size <= TIMES_READ_MAX) this.#readTimes();
  }

  #bytesCopied(taskId: string): number | null {
    const lanes = this.#deps.store.result(taskId)?.lanes;
    return lanes === undefined ? null : Math.max(0, ...lanes.map((l) => l.bytesCopied));
  }

  /** Of before this process, or before anybody looked. */
  #readTimes(): void {
    for (let after = 0;;) {
      const events = this.#deps.store.eventsAfter(after, EVENTS_AT_ONCE, this.runId);
      for (const { event, atMs } of events) {
        if (event.kind !== "task_state") continue;
        const { taskId, to } = event;
        this.#tasks.noteTime(taskId, to, atMs, () => this.#bytesCopied(taskId));
      }
      const last = events.at(-1);
      if (last === undefined || events.length < EVENTS_AT_ONCE) return;
      after = last.seq;
    }
  }

  #makeCard(): RunCard {
    const { spec, report, isPaused } = this.#run;
    const { runId, state, createdAtMs, endedAtMs, exitCode, sources, notes } = runInfoOf(this.#run);
    return {
      ...{ runId, state, createdAtMs, endedAtMs, exitCode, notes },
      isPaused: isPaused && !this.isOver,
      isDryRun: spec.options.dryRun,
      sources: sources.map(({ name, path, root }) => ({
        name,
        path: root === undefined ? path : `${root}:${path}`,
      })),
      destinations: spec.destinations.map(({ key, kind, path }) => ({
        key,
        // As a place is named: what restores from it has to know.
        path: kind === "restic" ? REPOSITORY_PREFIX + path : path,
      })),
      tasks: this.#tasks.counts,
      failureCount: report === null ? liveFailures(this.#progress) : failuresIn(report),
    };
  }

  #makeLive(): RunLive {
    const { report, state, spec, isPaused } = this.#run;
    const total = spec.destinations.length;
    const verdict = report !== null
      ? endVerdict(report, verdictSentence(report))
      : this.isOver
      ? emptyVerdict(`The run ${state === "cancelled" ? "was cancelled" : "failed"}`, total, "bad")
      : this.#progress !== null
      ? liveVerdict(this.#progress, isPaused)
      : emptyVerdict("Waiting to begin", total, isPaused ? "paused" : "working");
    return {
      verdict,
      progress: this.#progress === null ? null : withoutFiles(this.#progress),
      directories: this.#tasks.directories(),
      recentFiles: this.#progress?.recentFiles ?? [],
    };
  }
}

/** They are told once, beside it. */
function withoutFiles({ recentFiles: _, ...progress }: RunProgress): RunProgress {
  return progress;
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
