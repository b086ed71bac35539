/** Which directory was completed last, which are in hand, which comes next. Rule: pure; next is what the planner would take. */
import type { DirectoryCard, TaskCard } from "../../protocol/mesh/console_state.ts";

/** When a task was taken up and ended last, and how many bytes its copying moved. */
export interface TaskTimes {
  startedAtMs: number | null;
  endedAtMs: number | null;
  bytesCopied: number | null;
}

export interface Directories {
  lastCompleted: DirectoryCard | null;
  now: DirectoryCard[];
  next: DirectoryCard | null;
}

const NOW_MAX = 64;

export function directoriesOf(
  tasks: readonly TaskCard[],
  times: ReadonlyMap<string, TaskTimes>,
): Directories {
  let last: TaskCard | undefined;
  const ended = (task: TaskCard): number => times.get(task.taskId)?.endedAtMs ?? -Infinity;
  for (const task of tasks) {
    if (task.state === "succeeded" && (last === undefined || ended(task) > ended(last))) {
      last = task;
    }
  }
  const now = tasks.filter(({ state }) => state === "running" || state === "assigned");
  return {
    lastCompleted: last === undefined ? null : cardOf(last, times.get(last.taskId)),
    now: now.slice(0, NOW_MAX).map((task) => cardOf(task, times.get(task.taskId))),
    next: nextOf(tasks),
  };
}

/** The largest that waits and need not wait for another source. */
function nextOf(tasks: readonly TaskCard[]): DirectoryCard | null {
  const open = new Set(tasks.filter((t) => !isFinal(t)).map((t) => t.source.name));
  let next: TaskCard | undefined;
  for (const task of tasks) {
    if (task.state !== "queued" || task.source.after?.some((name) => open.has(name))) continue;
    if (next === undefined || task.sizeBytes > next.sizeBytes) next = task;
  }
  return next === undefined ? null : cardOf(next, undefined);
}

function isFinal({ state }: TaskCard): boolean {
  return state === "succeeded" || state === "failed" || state === "cancelled";
}

function cardOf(task: TaskCard, times: TaskTimes | undefined): DirectoryCard {
  const { startedAtMs = null, endedAtMs = null, bytesCopied = null } = times ?? {};
  const isEnded = task.state === "succeeded";
  const durationMs = !isEnded || startedAtMs === null || endedAtMs === null
    ? null
    : Math.max(0, endedAtMs - startedAtMs);
  const { source: { path, root }, part } = task;
  const place = root === undefined ? path : `${root}:${path}`;
  return {
    taskId: task.taskId,
    label: part === undefined ? place : `${place} (${part.label})`,
    files: task.files,
    sizeBytes: task.sizeBytes,
    isEstimate: !isEnded,
    startedAtMs,
    endedAtMs: isEnded ? endedAtMs : null,
    durationMs,
    bytesPerSecond: durationMs === null || bytesCopied === null
      ? null
      : Math.round(bytesCopied / Math.max(durationMs, 1) * 1000),
    agentName: task.agentName,
  };
}
