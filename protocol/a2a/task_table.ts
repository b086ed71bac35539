/**
 * The tasks of one server and who follows them. Rule: every change is one synchronous step (store, then readers), so
 * all readers of a task see the same events in the same order.
 */
import type { Clock } from "../base/clock.ts";
import { newId } from "../base/ids.ts";
import { taskNotFound } from "./a2a_error.ts";
import type { StatusDetail } from "./executor.ts";
import { withMessage } from "./history.ts";
import type { Message, Part } from "./message.ts";
import type { TaskUpdate } from "./stream_event.ts";
import { createSubscription, type Subscription } from "./subscription.ts";
import { type Artifact, type Task, type TaskStatus, withArtifact } from "./task.ts";
import { isTerminal, moveTaskState, type TaskState } from "./task_state.ts";
import type { TaskRecord, TaskStore } from "./task_store.ts";

/** Readers of one task at the same time; the longest reading one is dropped for a new one. */
const SUBSCRIBERS_MAX = 64;

export interface TaskTable {
  create(input: {
    caller: string;
    contextId: string;
    message: Message;
    idempotency?: TaskRecord["idempotency"];
  }): Task;
  /** Adds a message of the caller to the history. */
  addMessage(taskId: string, message: Message): void;
  /** Dropped when the task has ended. @throws {RangeError} for a step the state table does not have. */
  status(
    taskId: string,
    state: TaskState,
    detail?: StatusDetail,
  ): void;
  /** Dropped when the task has ended. */
  artifact(
    taskId: string,
    artifact: Artifact,
    detail?: { append?: boolean; lastChunk?: boolean },
  ): void;
  /** Undefined for an unknown task, or one that ended and was forgotten. */
  find(taskId: string): Task | undefined;
  /** A snapshot, then everything after it; of an ended task the snapshot only. @throws {RpcError} -32001. */
  subscribe(taskId: string): Subscription;
  /** Ends every stream; the tasks stay as they are. */
  endStreams(): void;
}

export function createTaskTable({ store, clock }: { store: TaskStore; clock: Clock }): TaskTable {
  const readers = new Map<string, Set<Subscription>>();

  function recordOf(taskId: string): TaskRecord {
    const record = store.get(taskId);
    if (record === undefined) throw taskNotFound(taskId);
    return record;
  }

  function statusNow(state: TaskState, message?: Message): [TaskStatus, number] {
    const nowMs = clock.nowMs();
    const timestamp = new Date(nowMs).toISOString();
    return [message === undefined ? { state, timestamp } : { state, message, timestamp }, nowMs];
  }

  function publish(taskId: string, update: TaskUpdate): void {
    for (const reader of readers.get(taskId) ?? []) reader.push(update);
  }

  return {
    create({ caller, contextId, message, idempotency }) {
      const id = newId("task");
      const [status, updatedAtMs] = statusNow("TASK_STATE_SUBMITTED");
      const history = [{ ...message, taskId: id, contextId }];
      const task: Task = { id, contextId, status, history };
      store.put({ task, caller, updatedAtMs, ...(idempotency && { idempotency }) });
      return task;
    },

    addMessage(taskId, message) {
      const record = recordOf(taskId);
      store.put({ ...record, task: afterMessage(record.task, message) });
    },

    status(taskId, state, { text, parts, metadata } = {}) {
      const record = store.get(taskId);
      if (record === undefined || isTerminal(record.task.status.state)) return;
      const { task } = record;
      const { contextId } = task;
      const said = parts ?? (text === undefined ? undefined : [{ text }]);
      const message = said && { ...agentMessage(said, contextId), taskId };
      const [status, updatedAtMs] = statusNow(moveTaskState(task.status.state, state), message);
      const next: Task = {
        ...(message === undefined ? task : afterMessage(task, message)),
        status,
        ...(metadata && { metadata: { ...task.metadata, ...metadata } }),
      };
      store.put({ ...record, task: next, updatedAtMs });
      publish(taskId, {
        statusUpdate: { taskId, contextId, status, ...(metadata && { metadata }) },
      });
      if (!isTerminal(state)) return;
      for (const reader of readers.get(taskId) ?? []) reader.end();
    },

    artifact(taskId, artifact, detail = {}) {
      const record = store.get(taskId);
      if (record === undefined || isTerminal(record.task.status.state)) return;
      const { task } = record;
      const artifacts = withArtifact(task.artifacts ?? [], { artifact, ...detail });
      store.put({ ...record, task: { ...task, artifacts } });
      const { contextId } = task;
      publish(taskId, { artifactUpdate: { taskId, contextId, artifact, ...detail } });
    },

    find: (taskId) => store.get(taskId)?.task,

    subscribe(taskId) {
      const { task } = recordOf(taskId);
      const ofTask = readers.get(taskId) ?? new Set();
      const reader = createSubscription(() => {
        ofTask.delete(reader);
        if (ofTask.size === 0) readers.delete(taskId);
      });
      if (ofTask.size >= SUBSCRIBERS_MAX) [...ofTask][0]?.end();
      ofTask.add(reader);
      readers.set(taskId, ofTask);
      reader.push({ task });
      if (isTerminal(task.status.state)) reader.end();
      return reader;
    },

    endStreams() {
      for (const ofTask of [...readers.values()]) for (const reader of [...ofTask]) reader.end();
    },
  };
}

function afterMessage(task: Task, message: Message): Task {
  return { ...task, history: withMessage(task.history, message) };
}

export function agentMessage(parts: Part[], contextId: string): Message {
  return { messageId: newId("msg"), role: "ROLE_AGENT", parts, contextId };
}
