/** One event of an A2A stream. Rule: exactly one member, and its name says what it is. */
import * as v from "valibot";
import { Message } from "./message.ts";
import { protoMessage } from "./proto_json.ts";
import { Task, TaskArtifactUpdateEvent, TaskStatusUpdateEvent } from "./task.ts";

export const StreamEvent = v.union([
  protoMessage({ statusUpdate: TaskStatusUpdateEvent }),
  protoMessage({ artifactUpdate: TaskArtifactUpdateEvent }),
  protoMessage({ task: Task }),
  protoMessage({ message: Message }),
]);
export type StreamEvent = v.InferOutput<typeof StreamEvent>;

/** What a live task tells after its snapshot. */
export type TaskUpdate = Extract<
  StreamEvent,
  { statusUpdate: unknown } | { artifactUpdate: unknown }
>;
