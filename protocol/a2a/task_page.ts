/** ListTasks over a store. Rule: a page token names a place in the order, so new tasks never shift a page. */
import { invalidParams } from "../rpc/rpc_error.ts";
import { type ListTasksParams, type ListTasksResult, PAGE_SIZE_DEFAULT } from "./methods.ts";
import type { Task } from "./task.ts";
import type { TaskPosition, TaskStore } from "./task_store.ts";

/** @throws {RpcError} -32602 for a page token that is not ours. */
export function taskPage(
  store: TaskStore,
  caller: string,
  params: ListTasksParams,
): ListTasksResult {
  const pageSize = params.pageSize ?? PAGE_SIZE_DEFAULT;
  const { status, statusTimestampAfter } = params;
  const { records, totalSize } = store.list({
    caller,
    contextId: params.contextId || undefined,
    state: status === "TASK_STATE_UNSPECIFIED" ? undefined : status,
    updatedSinceMs: statusTimestampAfter === undefined
      ? undefined
      : Date.parse(statusTimestampAfter),
    after: params.pageToken ? decodeToken(params.pageToken) : undefined,
    // One more than asked for tells whether there is a next page.
    limit: pageSize + 1,
  });
  const page = records.slice(0, pageSize);
  const last = page.at(-1);
  return {
    tasks: page.map(({ task }) => {
      const { artifacts, ...rest } = withHistoryLength(task, params.historyLength);
      return params.includeArtifacts && artifacts !== undefined ? { ...rest, artifacts } : rest;
    }),
    nextPageToken: last !== undefined && records.length > pageSize
      ? encodeToken({ updatedAtMs: last.updatedAtMs, taskId: last.task.id })
      : "",
    pageSize,
    totalSize,
  };
}

/** The task with at most the `length` latest messages; 0 leaves the history out, undefined leaves it whole. */
export function withHistoryLength(task: Task, length: number | undefined): Task {
  if (length === undefined || task.history === undefined) return task;
  const { history, ...rest } = task;
  return length === 0 ? rest : { ...rest, history: history.slice(-length) };
}

function encodeToken({ updatedAtMs, taskId }: TaskPosition): string {
  return `${updatedAtMs}.${taskId}`;
}

function decodeToken(token: string): TaskPosition {
  const match = /^(\d+)\.(.+)$/.exec(token);
  if (match?.[1] === undefined || match[2] === undefined) {
    throw invalidParams([{ field: "pageToken", description: "Not a token of this agent" }]);
  }
  return { updatedAtMs: Number(match[1]), taskId: match[2] };
}
