/** The methods of A2A 1.0 with their params and results, as the specification has them. */
import * as v from "valibot";
import { defineMethod, defineStreamMethod } from "../rpc/method.ts";
import { AgentCard } from "./agent_card.ts";
import { Message } from "./message.ts";
import { JsonObject, protoMessage, Timestamp } from "./proto_json.ts";
import {
  DeletePushConfigResult,
  InlinePushConfig,
  ListPushConfigsParams,
  ListPushConfigsResult,
  PushConfigName,
  TaskPushNotificationConfig,
} from "./push_config.ts";
import { StreamEvent } from "./stream_event.ts";
import { Task } from "./task.ts";
import { TaskState } from "./task_state.ts";

export const PAGE_SIZE_MAX = 100;
export const PAGE_SIZE_DEFAULT = 50;

const taskId = v.pipe(v.string(), v.minLength(1));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
/** Unset: the whole history; 0: none; n: at most the n latest messages. */
const historyLength = v.exactOptional(count);

export const SendMessageParams = protoMessage({
  message: Message,
  configuration: v.exactOptional(protoMessage({
    acceptedOutputModes: v.exactOptional(v.array(v.string())),
    historyLength,
    returnImmediately: v.exactOptional(v.boolean()),
    taskPushNotificationConfig: v.exactOptional(InlinePushConfig),
  })),
  metadata: v.exactOptional(JsonObject),
  tenant: v.exactOptional(v.string()),
});
export type SendMessageParams = v.InferOutput<typeof SendMessageParams>;

export const SendMessageResult = v.union([
  protoMessage({ task: Task }),
  protoMessage({ message: Message }),
]);

export const SendMessage = defineMethod({
  name: "SendMessage",
  params: SendMessageParams,
  result: SendMessageResult,
});

export const SendStreamingMessage = defineStreamMethod({
  name: "SendStreamingMessage",
  params: SendMessageParams,
  event: StreamEvent,
});

export const GetTask = defineMethod({
  name: "GetTask",
  params: protoMessage({ id: taskId, historyLength }),
  result: Task,
});

export const ListTasksParams = protoMessage({
  contextId: v.exactOptional(v.string()),
  status: v.exactOptional(v.union([TaskState, v.literal("TASK_STATE_UNSPECIFIED")])),
  pageSize: v.exactOptional(
    v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(PAGE_SIZE_MAX)),
  ),
  pageToken: v.exactOptional(v.string()),
  historyLength,
  /** Inclusive. */
  statusTimestampAfter: v.exactOptional(Timestamp),
  includeArtifacts: v.exactOptional(v.boolean()),
});
export type ListTasksParams = v.InferOutput<typeof ListTasksParams>;

export const ListTasksResult = protoMessage({
  tasks: v.array(Task),
  /** Empty on the last page. */
  nextPageToken: v.string(),
  pageSize: count,
  totalSize: count,
});
export type ListTasksResult = v.InferOutput<typeof ListTasksResult>;

export const ListTasks = defineMethod({
  name: "ListTasks",
  params: ListTasksParams,
  result: ListTasksResult,
});

export const CancelTask = defineMethod({
  name: "CancelTask",
  params: protoMessage({ id: taskId, metadata: v.exactOptional(JsonObject) }),
  result: Task,
});

export const SubscribeToTask = defineStreamMethod({
  name: "SubscribeToTask",
  params: protoMessage({ id: taskId }),
  event: StreamEvent,
});

export const GetExtendedAgentCard = defineMethod({
  name: "GetExtendedAgentCard",
  params: JsonObject,
  result: AgentCard,
});

export const CreatePushConfig = defineMethod({
  name: "CreateTaskPushNotificationConfig",
  params: TaskPushNotificationConfig,
  result: TaskPushNotificationConfig,
});

export const GetPushConfig = defineMethod({
  name: "GetTaskPushNotificationConfig",
  params: PushConfigName,
  result: TaskPushNotificationConfig,
});

export const ListPushConfigs = defineMethod({
  name: "ListTaskPushNotificationConfigs",
  params: ListPushConfigsParams,
  result: ListPushConfigsResult,
});

export const DeletePushConfig = defineMethod({
  name: "DeleteTaskPushNotificationConfig",
  params: PushConfigName,
  result: DeletePushConfigResult,
});
