/** Where an A2A server keeps its tasks: the port. Rule: calls are synchronous, so each one is atomic. */
import type { Task } from "./task.ts";
import type { TaskState } from "./task_state.ts";

export interface TaskRecord {
  readonly task: Task;
  /** Whose task it is; nobody else sees it. */
  readonly caller: string;
  /** Time of the current status, in ms since the epoch. */
  readonly updatedAtMs: number;
  /** Set when the caller named the request, so that a resend finds this task. */
  readonly idempotency?: { readonly key: string; readonly bodyHash: string };
}

/** A place in the order of `list`: newest status first, equal times by id. */
export interface TaskPosition {
  updatedAtMs: number;
  taskId: string;
}

export interface TaskQuery {
  caller: string;
  contextId?: string | undefined;
  state?: TaskState | undefined;
  /** Inclusive. */
  updatedSinceMs?: number | undefined;
  /** Only what comes after this place. */
  after?: TaskPosition | undefined;
  limit: number;
}

export interface TaskStore {
  get(taskId: string): TaskRecord | undefined;
  findByKey(caller: string, key: string): TaskRecord | undefined;
  /**
   * Inserts or replaces. May forget ended tasks to stay within its limits, never the one just put.
   * @throws {RpcError} -32093 when a new task would pass the limit on live tasks.
   */
  put(record: TaskRecord): void;
  /** One page, and how many match without `after` and `limit`. */
  list(query: TaskQuery): { records: TaskRecord[]; totalSize: number };
}
