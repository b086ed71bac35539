/**
 * How our task is written as an A2A task. Rule: a task is one message with one data part, progress and errors travel
 * in the metadata of our extension, the result is the artifact `report`.
 */
import * as v from "valibot";
import type { Message } from "../a2a/message.ts";
import type { JsonObject } from "../a2a/proto_json.ts";
import type { Artifact, Task, TaskArtifactUpdateEvent } from "../a2a/task.ts";
import {
  asBackupError,
  BackupError,
  ERROR_CODES,
  type ErrorCode,
  IntegrityError,
} from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import { TaskProgress } from "./progress.ts";
import { type ResultOf, TaskResult, TaskSpec, WireError } from "./task.ts";

/** Names our extension in cards, headers and metadata; a breaking change gets a new one. */
export const EXTENSION_URI = "urn:backup-agent:a2a:mesh:v1";

const REPORT_ARTIFACT = "report";
const JSON_MEDIA_TYPE = "application/json";
/** A longer report is sent as pieces of its JSON text, as common readers drop events over 4 MiB. */
const REPORT_PIECE_CHARS = 512 << 10;

/** What our extension says in the metadata of a task and its updates. */
export const OwnMetadata = v.object({
  progress: v.exactOptional(TaskProgress),
  error: v.exactOptional(WireError),
});
export type OwnMetadata = v.InferOutput<typeof OwnMetadata>;

/** An expected failure as it travels; its cause stays here. */
export function toWireError(thrown: unknown): WireError {
  const { code, message, path, hint, retry } = asBackupError(thrown);
  return {
    code,
    message,
    retry,
    ...(path !== undefined && { path }),
    ...(hint !== undefined && { hint }),
  };
}

/** The failure as it was thrown on the other side; a code this version does not know becomes `internal`. */
export function fromWireError({ code, message, ...detail }: WireError): BackupError {
  if (code === "damaged") return new IntegrityError(message, detail);
  const known = ERROR_CODES.find((k): k is ErrorCode => k === code) ?? "internal";
  return new BackupError(known, message, detail);
}

export function toMetadata(content: OwnMetadata): JsonObject {
  return { [EXTENSION_URI]: content };
}

/** @throws {BackupError} `protocol` when our part of the metadata is not what we write. */
export function fromMetadata(metadata: JsonObject | undefined): OwnMetadata {
  const content = metadata?.[EXTENSION_URI];
  if (content === undefined) return {};
  const parsed = v.safeParse(OwnMetadata, content);
  if (parsed.success) return parsed.output;
  const [first] = parsed.issues;
  throw new BackupError("protocol", `Bad task metadata: ${v.getDotPath(first)}: ${first.message}`);
}

/** A task as a message; the context is the run. */
export function messageOf(spec: TaskSpec): Message {
  return {
    messageId: newId("msg"),
    role: "ROLE_USER",
    contextId: spec.runId,
    parts: [{ data: spec, mediaType: JSON_MEDIA_TYPE }],
    extensions: [EXTENSION_URI],
    metadata: { [EXTENSION_URI]: { idempotencyKey: idempotencyKeyOf(spec) } },
  };
}

/**
 * An attempt is one task however often it is asked for. Other operations may be repeated on purpose within a run
 * (after a restart, say), so their key covers one call and its resends only.
 */
function idempotencyKeyOf(spec: TaskSpec): string {
  if (spec.op === "mirror") return `${spec.taskId}:${spec.epoch}`;
  return `${spec.op}:${spec.runId}:${newId("msg")}`;
}

/** The task in a message, or why there is none. */
export function specOf({ parts }: Message): TaskSpec | BackupError {
  const [part] = parts;
  if (part === undefined || parts.length > 1 || !Object.hasOwn(part, "data")) {
    return new BackupError("rejected", "A task is a message with exactly one data part");
  }
  const parsed = v.safeParse(TaskSpec, part.data);
  if (parsed.success) return parsed.output;
  const [first] = parsed.issues;
  return new BackupError(
    "rejected",
    `Not a task: ${v.getDotPath(first) ?? "data"}: ${first.message}`,
  );
}

/** A result as artifact updates: one with the value, or several with pieces of its text. */
export function reportOf(
  result: TaskResult,
): Pick<TaskArtifactUpdateEvent, "artifact" | "append" | "lastChunk">[] {
  const text = JSON.stringify(result);
  const artifact = { artifactId: REPORT_ARTIFACT, name: REPORT_ARTIFACT };
  if (text.length <= REPORT_PIECE_CHARS) {
    return [{ artifact: { ...artifact, parts: [{ data: result, mediaType: JSON_MEDIA_TYPE }] } }];
  }
  const updates = [];
  for (let start = 0; start < text.length;) {
    let next = Math.min(start + REPORT_PIECE_CHARS, text.length);
    // A character outside the BMP stays whole, as strict readers refuse half of one.
    if (next < text.length && /[\uD800-\uDBFF]/.test(text.charAt(next - 1))) next--;
    updates.push({
      artifact: {
        ...artifact,
        parts: [{ text: text.slice(start, next), mediaType: JSON_MEDIA_TYPE }],
      },
      append: start > 0,
      lastChunk: next === text.length,
    });
    start = next;
  }
  return updates;
}

/** @throws {BackupError} `protocol` when the report is missing or is not of this operation. */
export function resultOf<T extends TaskSpec>(spec: T, artifacts: readonly Artifact[]): ResultOf<T> {
  const parts = artifacts.find((a) => a.artifactId === REPORT_ARTIFACT)?.parts ?? [];
  const schema = v.pipe(
    TaskResult,
    v.check((r) => r.op === spec.op, "Result of another operation"),
  );
  const [first] = parts;
  const parsed = first !== undefined && Object.hasOwn(first, "data")
    ? v.safeParse(schema, first.data)
    : v.safeParse(v.pipe(v.string(), v.parseJson(), schema), parts.map((p) => p.text).join(""));
  if (!parsed.success) {
    const [issue] = parsed.issues;
    const where = v.getDotPath(issue) ?? REPORT_ARTIFACT;
    throw new BackupError("protocol", `Bad task result: ${where}: ${issue.message}`);
  }
  // The schema has just checked that the result is of the operation asked for.
  return parsed.output as ResultOf<T>;
}

/** Why a task that has not completed ended. */
export function failureOf({ status, metadata }: Pick<Task, "status" | "metadata">): BackupError {
  const { error } = fromMetadata(metadata);
  const text = status.message?.parts[0]?.text;
  switch (status.state) {
    case "TASK_STATE_CANCELED":
      return error?.code === "superseded" ? fromWireError(error) : cancelled();
    case "TASK_STATE_REJECTED":
      return error ? fromWireError(error) : new BackupError("rejected", text ?? "Task rejected");
    default:
      return error ? fromWireError(error) : new BackupError("internal", text ?? "Task failed");
  }
}

export function cancelled(): BackupError {
  return new BackupError("cancelled", "Cancelled");
}
