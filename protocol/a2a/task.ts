/** The A2A task, its artifacts and the events that change it. Rule: values are never changed in place. */
import * as v from "valibot";
import { Message, Part } from "./message.ts";
import { JsonObject, protoMessage, someOf, Timestamp } from "./proto_json.ts";
import { TaskState } from "./task_state.ts";

export const TaskStatus = protoMessage({
  state: TaskState,
  message: v.exactOptional(Message),
  timestamp: v.exactOptional(Timestamp),
});
export type TaskStatus = v.InferOutput<typeof TaskStatus>;

/** `artifactId` is unique within its task. */
export const Artifact = protoMessage({
  artifactId: v.pipe(v.string(), v.minLength(1)),
  parts: someOf(Part),
  name: v.exactOptional(v.string()),
  description: v.exactOptional(v.string()),
  metadata: v.exactOptional(JsonObject),
  extensions: v.exactOptional(v.array(v.string())),
});
export type Artifact = v.InferOutput<typeof Artifact>;

export const Task = protoMessage({
  id: v.pipe(v.string(), v.minLength(1)),
  contextId: v.exactOptional(v.string(), ""),
  status: TaskStatus,
  artifacts: v.exactOptional(v.array(Artifact)),
  history: v.exactOptional(v.array(Message)),
  metadata: v.exactOptional(JsonObject),
});
export type Task = v.InferOutput<typeof Task>;

export const TaskStatusUpdateEvent = protoMessage({
  taskId: v.string(),
  contextId: v.string(),
  status: TaskStatus,
  metadata: v.exactOptional(JsonObject),
});
export type TaskStatusUpdateEvent = v.InferOutput<typeof TaskStatusUpdateEvent>;

/** `append` adds the parts to the artifact of that id; without it the artifact is new or replaced. */
export const TaskArtifactUpdateEvent = protoMessage({
  taskId: v.string(),
  contextId: v.string(),
  artifact: Artifact,
  append: v.exactOptional(v.boolean()),
  lastChunk: v.exactOptional(v.boolean()),
  metadata: v.exactOptional(JsonObject),
});
export type TaskArtifactUpdateEvent = v.InferOutput<typeof TaskArtifactUpdateEvent>;

/** The artifacts after one update. An append to an unknown artifact starts it. */
export function withArtifact(
  artifacts: readonly Artifact[],
  { artifact, append }: Pick<TaskArtifactUpdateEvent, "artifact" | "append">,
): Artifact[] {
  const known = artifacts.find((a) => a.artifactId === artifact.artifactId);
  if (known === undefined) return [...artifacts, artifact];
  const next = append ? { ...known, parts: [...known.parts, ...artifact.parts] } : artifact;
  return artifacts.map((a) => (a === known ? next : a));
}
