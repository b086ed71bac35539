/** Tasks in memory. Rule: bounded; the longest ended task is forgotten first, a live one never. */
import { RPC_CODES } from "../rpc/error_codes.ts";
import { RpcError } from "../rpc/rpc_error.ts";
import { historyChars } from "./history.ts";
import type { TaskPosition, TaskQuery, TaskRecord, TaskStore } from "./task_store.ts";
import { isTerminal } from "./task_state.ts";

export interface MemoryTaskStoreLimits {
  /** Ended tasks kept for callers that ask again. */
  endedMax: number;
  /** Their artifacts and messages as JSON, in UTF-16 units, estimated; the newest ended task is kept in any case. */
  endedCharsMax: number;
  liveMax: number;
  /** Messages of live tasks, measured in the same way. */
  liveCharsMax: number;
}

export const MEMORY_TASK_STORE_LIMITS: MemoryTaskStoreLimits = {
  endedMax: 256,
  endedCharsMax: 8 << 20,
  liveMax: 1000,
  liveCharsMax: 64 << 20,
};

export function createMemoryTaskStore(
  limits: MemoryTaskStoreLimits = MEMORY_TASK_STORE_LIMITS,
): TaskStore {
  const records = new Map<string, TaskRecord>();
  const idsByKey = new Map<string, string>();
  /** Ended tasks in the order they ended, with their size. */
  const ended = new Map<string, number>();
  let endedChars = 0;
  /** Live tasks with the size of their messages. */
  const live = new Map<string, number>();
  let liveChars = 0;

  function requireRoom(record: TaskRecord): void {
    const chars = historyChars(record.task.history);
    if (live.size < limits.liveMax && liveChars + chars <= limits.liveCharsMax) return;
    throw new RpcError(RPC_CODES.unavailable, "Too many live tasks");
  }

  function measureLive(id: string, chars: number | undefined): void {
    liveChars += (chars ?? 0) - (live.get(id) ?? 0);
    if (chars === undefined) live.delete(id);
    else live.set(id, chars);
  }

  function forget(taskId: string, chars: number): void {
    const record = records.get(taskId);
    if (record?.idempotency) idsByKey.delete(keyOf(record.caller, record.idempotency.key));
    records.delete(taskId);
    ended.delete(taskId);
    endedChars -= chars;
  }

  function trim(): void {
    for (const [taskId, chars] of ended) {
      const isWithin = ended.size <= limits.endedMax && endedChars <= limits.endedCharsMax;
      if (isWithin || ended.size === 1) return;
      forget(taskId, chars);
    }
  }

  return {
    get: (taskId) => records.get(taskId),
    findByKey(caller, key) {
      const taskId = idsByKey.get(keyOf(caller, key));
      return taskId === undefined ? undefined : records.get(taskId);
    },
    put(record) {
      const { id, status, history } = record.task;
      const before = records.get(id);
      if (before === undefined) requireRoom(record);
      records.set(id, record);
      if (record.idempotency) idsByKey.set(keyOf(record.caller, record.idempotency.key), id);
      if (!isTerminal(status.state)) {
        if (!live.has(id) || before?.task.history !== history) {
          measureLive(id, historyChars(history));
        }
        return;
      }
      if (ended.has(id)) return;
      measureLive(id, undefined);
      const chars = artifactChars(record) + historyChars(history);
      ended.set(id, chars);
      endedChars += chars;
      trim();
    },
    list(query) {
      const { after, limit } = query;
      const page: TaskRecord[] = [];
      let totalSize = 0;
      for (const record of records.values()) {
        if (!isMeant(record, query)) continue;
        totalSize++;
        if (after !== undefined && compare(positionOf(record), after) <= 0) continue;
        keepFirst(page, record, limit);
      }
      return { records: page, totalSize };
    },
  };
}

function isMeant(record: TaskRecord, query: TaskQuery): boolean {
  return record.caller === query.caller &&
    (query.contextId === undefined || record.task.contextId === query.contextId) &&
    (query.state === undefined || record.task.status.state === query.state) &&
    (query.updatedSinceMs === undefined || record.updatedAtMs >= query.updatedSinceMs);
}

/** Keeps the first `limit` of all that came, in order: a page costs its own length and not that of all there is. */
function keepFirst(page: TaskRecord[], record: TaskRecord, limit: number): void {
  const position = positionOf(record);
  const last = page.at(-1);
  const isBehind = last !== undefined && compare(positionOf(last), position) < 0;
  if (page.length >= limit && (last === undefined || isBehind)) return;
  let from = 0;
  for (let to = page.length; from < to;) {
    const middle = (from + to) >>> 1;
    if (compare(positionOf(page[middle]!), position) < 0) from = middle + 1;
    else to = middle;
  }
  page.splice(from, 0, record);
  if (page.length > limit) page.pop();
}

export function positionOf(record: TaskRecord): TaskPosition {
  return { updatedAtMs: record.updatedAtMs, taskId: record.task.id };
}

function compare(a: TaskPosition, b: TaskPosition): number {
  if (a.updatedAtMs !== b.updatedAtMs) return b.updatedAtMs - a.updatedAtMs;
  return a.taskId < b.taskId ? -1 : a.taskId > b.taskId ? 1 : 0;
}

function keyOf(caller: string, key: string): string {
  return JSON.stringify([caller, key]);
}

function artifactChars(record: TaskRecord): number {
  const { artifacts } = record.task;
  return artifacts === undefined ? 0 : JSON.stringify(artifacts).length;
}
