/** The tasks of one run for people who look. Rule: all are counted; of those that have ended only the latest are kept. */
import type { RunCard, TaskCard } from "../../protocol/mesh/console_state.ts";
import type { TaskState } from "../../protocol/mesh/job.ts";
import { type Directories, directoriesOf, type TaskTimes } from "./directories.ts";

/** Tasks that are shown one by one. */
const SHOWN_MAX = 500;
const ENDED_KEPT = 500;
const SHOWN_FIRST: readonly TaskState[] = [
  "running",
  "assigned",
  "failed",
  "queued",
  "cancelled",
  "succeeded",
];

export class TaskCards {
  readonly #open = new Map<string, TaskCard>();
  /** The oldest first. */
  readonly #ended = new Map<string, TaskCard>();
  readonly #states = new Map<string, TaskState>();
  readonly #times = new Map<string, TaskTimes>();
  readonly #counts: RunCard["tasks"] = {
    queued: 0,
    assigned: 0,
    running: 0,
    succeeded: 0,
    failed: 0,
    cancelled: 0,
  };

  /** `atMs` of its change of state; undefined when it is not known. */
  put(task: TaskCard, atMs: number | undefined, bytesCopied: () => number | null): void {
    const { taskId, state } = task;
    const before = this.#states.get(taskId);
    if (before !== state) {
      if (before !== undefined) this.#counts[before]--;
      this.#counts[state]++;
      this.#states.set(taskId, state);
      if (atMs !== undefined) this.noteTime(taskId, state, atMs, bytesCopied);
    }
    if (!isEnded(state)) {
      this.#open.set(taskId, task);
      return;
    }
    this.#open.delete(taskId);
    this.#ended.set(taskId, task);
    if (this.#ended.size <= ENDED_KEPT) return;
    const [oldest] = this.#ended.keys();
    this.#ended.delete(oldest!);
    this.#times.delete(oldest!);
  }

  noteTime(
    taskId: string,
    state: TaskState,
    atMs: number,
    bytesCopied: () => number | null,
  ): void {
    const known = this.#times.get(taskId) ??
      { startedAtMs: null, endedAtMs: null, bytesCopied: null };
    if (state === "queued") known.startedAtMs = null;
    else if (!isEnded(state)) known.startedAtMs ??= atMs;
    else {
      known.endedAtMs = atMs;
      known.bytesCopied = bytesCopied();
    }
    this.#times.set(taskId, known);
  }

  /** Of a run of which nothing more is known here. */
  setCounts(counts: Partial<RunCard["tasks"]>): void {
    Object.assign(this.#counts, counts);
  }

  get counts(): RunCard["tasks"] {
    return { ...this.#counts };
  }

  get size(): number {
    return this.#states.size;
  }

  /** Some that have ended were never seen to begin. */
  get lackTimes(): boolean {
    return [...this.#ended.keys()].some((id) =>
      (this.#times.get(id)?.startedAtMs ?? null) === null
    );
  }

  openIds(): string[] {
    return [...this.#open.keys()];
  }

  directories(): Directories {
    return directoriesOf([...this.#open.values(), ...this.#ended.values()], this.#times);
  }

  /** Those in hand, failed or waiting first when there are too many. */
  shown(): TaskCard[] {
    const all = [...this.#open.values(), ...this.#ended.values()];
    if (all.length <= SHOWN_MAX) return all;
    const rank = ({ state }: TaskCard) => SHOWN_FIRST.indexOf(state);
    return all.toSorted((a, b) => rank(a) - rank(b)).slice(0, SHOWN_MAX);
  }
}

function isEnded(state: TaskState): boolean {
  return state === "succeeded" || state === "failed" || state === "cancelled";
}
