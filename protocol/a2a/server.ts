/** A2A 1.0 as an agent answers it. Rule: everything is checked before anything has an effect. */
import type { Clock } from "../base/clock.ts";
import { newId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { RPC_CODES } from "../rpc/error_codes.ts";
import {
  type Binding,
  type CallContext,
  type EventStream,
  onCall,
  onStream,
} from "../rpc/method.ts";
import { invalidParams, RpcError } from "../rpc/rpc_error.ts";
import { a2aError, taskNotFound } from "./a2a_error.ts";
import type { AgentExecutor } from "./executor.ts";
import { bodyHashOf, idempotencyKeyOf } from "./idempotency.ts";
import type { Message } from "./message.ts";
import * as methods from "./methods.ts";
import { pushBindings, requirePush } from "./push_bindings.ts";
import { createPushNotifications } from "./push_notifications.ts";
import { type Accepted, asSender, onlyEvent, untilInput, untilSettled } from "./sender_stream.ts";
import type { StreamEvent } from "./stream_event.ts";
import type { Task } from "./task.ts";
import { taskPage, withHistoryLength } from "./task_page.ts";
import { isSettled, isTerminal } from "./task_state.ts";
import type { TaskStore } from "./task_store.ts";
import { agentMessage, createTaskTable } from "./task_table.ts";
import { createTurns } from "./turns.ts";
import type { Webhooks } from "./webhooks.ts";

export interface A2AServerDeps {
  executor: AgentExecutor;
  store: TaskStore;
  clock: Clock;
  log: Log;
  /** Media types this agent takes; a part that declares another one is refused with -32005. */
  inputModes: readonly string[];
  /** Own extension: its metadata carries `idempotencyKey` in requests and `cancelRequested` in tasks. */
  extensionUri: string;
  /** Whether the card offers streaming; without it both streaming methods are -32004. Default true. */
  streaming?: boolean | undefined;
  /** How callers are called back; without it everything about push notifications is -32003. */
  webhooks?: Webhooks | undefined;
}

export interface A2AServer {
  /** To be given to the dispatcher. */
  bindings: Binding[];
  /** Cancels what runs, waits for it (at most 10 s), ends all streams. New messages are refused from now on. */
  close(): Promise<void>;
}

export function createA2AServer(deps: A2AServerDeps): A2AServer {
  const { store, clock, extensionUri } = deps;
  const table = createTaskTable({ store, clock });
  const turns = createTurns({ ...deps, table });
  const { webhooks } = deps;
  const push = webhooks && createPushNotifications({ ...deps, table, webhooks });
  let isClosed = false;

  function taskOf(taskId: string, { caller }: CallContext): Task {
    const record = store.get(taskId);
    if (record === undefined || record.caller !== caller) throw taskNotFound(taskId);
    return record.task;
  }

  /** What a message led to. A resend joins the task that is already there. */
  function accept(params: methods.SendMessageParams, context: CallContext): Accepted {
    checkContent(params, deps.inputModes);
    const pushConfig = params.configuration?.taskPushNotificationConfig;
    if (pushConfig !== undefined) requirePush(push).check(pushConfig);
    if (params.message.taskId) return nextTurn(params, params.message.taskId, context);
    const { caller } = context;
    const key = idempotencyKeyOf(params, extensionUri);
    const idempotency = key === undefined ? undefined : { key, bodyHash: bodyHashOf(params) };
    const earlier = key === undefined ? undefined : store.findByKey(caller, key);
    if (earlier !== undefined) {
      if (earlier.idempotency?.bodyHash === idempotency?.bodyHash) {
        const { id, status } = earlier.task;
        return { taskId: id, events: table.subscribe(id), isSettled: isSettled(status.state) };
      }
      throw invalidParams([
        { field: "message", description: "This idempotency key was used for another message" },
      ]);
    }
    refuseWhenClosed();
    const { message } = params;
    const contextId = message.contextId || newId("run");
    const answer = deps.executor.answer?.(message);
    if (answer !== undefined) return { message: agentMessage(answer, contextId) };
    const { id } = table.create({
      caller,
      contextId,
      message,
      ...(idempotency && { idempotency }),
    });
    const events = table.subscribe(id);
    if (pushConfig !== undefined) push?.create(id, pushConfig);
    return { taskId: id, events, turn: turns.start(id, contextId, message), isSettled: false };
  }

  function nextTurn(
    { message, configuration }: methods.SendMessageParams,
    taskId: string,
    context: CallContext,
  ): Accepted {
    const { contextId, status } = taskOf(taskId, context);
    if (message.contextId && message.contextId !== contextId) {
      throw invalidParams([
        { field: "message.contextId", description: "The task belongs to another context" },
      ]);
    }
    if (isTerminal(status.state)) {
      throw a2aError("UNSUPPORTED_OPERATION", "The task has already ended", { taskId });
    }
    if (turns.isLive(taskId)) {
      throw a2aError("UNSUPPORTED_OPERATION", "The task is not waiting for a message", { taskId });
    }
    refuseWhenClosed();
    const pushConfig = configuration?.taskPushNotificationConfig;
    if (pushConfig !== undefined) push?.create(taskId, pushConfig);
    table.addMessage(taskId, { ...message, contextId });
    const events = table.subscribe(taskId);
    return { taskId, events, turn: turns.start(taskId, contextId, message), isSettled: false };
  }

  function refuseWhenClosed(): void {
    if (isClosed) throw new RpcError(RPC_CODES.unavailable, "The agent is closing");
  }

  async function sendMessage(
    params: methods.SendMessageParams,
    context: CallContext,
  ): Promise<{ task: Task } | { message: Message }> {
    const accepted = accept(params, context);
    if ("message" in accepted) return accepted;
    const { taskId, turn } = accepted;
    const events = asSender(accepted);
    try {
      const first = await events.next();
      if (first.done || !("task" in first.value)) {
        throw new Error("A stream began without its task");
      }
      const { historyLength, returnImmediately } = params.configuration ?? {};
      const { task } = first.value;
      if (!returnImmediately && !accepted.isSettled) await untilSettled(events);
      if (!returnImmediately && turn?.refusal) throw turn.refusal;
      const latest = returnImmediately ? task : table.find(taskId) ?? task;
      return { task: withHistoryLength(latest, historyLength) };
    } finally {
      await events.return();
    }
  }

  function sendStreaming(
    params: methods.SendMessageParams,
    context: CallContext,
  ): EventStream<StreamEvent> {
    requireStreaming();
    const accepted = accept(params, context);
    return "message" in accepted ? onlyEvent(accepted) : untilInput(asSender(accepted));
  }

  function requireStreaming(): void {
    if (deps.streaming ?? true) return;
    throw a2aError("UNSUPPORTED_OPERATION", "This agent does not stream");
  }

  async function cancelTask(taskId: string, context: CallContext): Promise<Task> {
    const before = taskOf(taskId, context);
    const { state } = before.status;
    if (isTerminal(state) && state !== "TASK_STATE_CANCELED") {
      throw a2aError("TASK_NOT_CANCELABLE", "The task has already ended", { taskId });
    }
    await turns.cancel(taskId);
    const task = table.find(taskId) ?? before;
    if (isTerminal(task.status.state)) return task;
    const own = { [extensionUri]: { cancelRequested: true } };
    return { ...task, metadata: { ...task.metadata, ...own } };
  }

  return {
    bindings: [
      onCall(methods.SendMessage, sendMessage),
      onStream(methods.SendStreamingMessage, sendStreaming),
      onCall(
        methods.GetTask,
        ({ id, historyLength }, context) => withHistoryLength(taskOf(id, context), historyLength),
      ),
      onCall(methods.ListTasks, (params, { caller }) => taskPage(store, caller, params)),
      onCall(methods.CancelTask, ({ id }, context) => cancelTask(id, context)),
      onStream(methods.SubscribeToTask, ({ id }, context) => {
        requireStreaming();
        if (isTerminal(taskOf(id, context).status.state)) {
          throw a2aError("UNSUPPORTED_OPERATION", "The task has already ended", { taskId: id });
        }
        return table.subscribe(id);
      }),
      onCall(methods.GetExtendedAgentCard, () => {
        throw a2aError("UNSUPPORTED_OPERATION", "This agent has no extended card");
      }),
      ...pushBindings(push, taskOf),
    ],
    async close() {
      isClosed = true;
      await turns.close();
      table.endStreams();
      await push?.close();
    },
  };
}

function checkContent(params: methods.SendMessageParams, inputModes: readonly string[]): void {
  if (params.message.role !== "ROLE_USER") {
    throw invalidParams([{ field: "message.role", description: "Expected ROLE_USER" }]);
  }
  for (const { mediaType } of params.message.parts) {
    const bare = mediaType?.split(";")[0]?.trim().toLowerCase();
    if (bare && !inputModes.includes(bare)) {
      throw a2aError(
        "CONTENT_TYPE_NOT_SUPPORTED",
        `This agent does not take ${bare.slice(0, 100)}`,
      );
    }
  }
}
