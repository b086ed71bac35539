/**
 * An A2A executor that plays a table. Rule: the longest prefix of a message's id decides; the task stays in the last
 * state its script names, and a script that names none, like a message that no script is for, completes.
 */
import * as v from "valibot";
import { A2A_ERROR_CODES, a2aError, type A2AErrorReason } from "../../protocol/a2a/a2a_error.ts";
import type { AgentExecutor, TurnEvents } from "../../protocol/a2a/executor.ts";
import { Part } from "../../protocol/a2a/message.ts";
import { JsonObject, protoMessage } from "../../protocol/a2a/proto_json.ts";
import { Artifact } from "../../protocol/a2a/task.ts";
import { isInterrupted, isSettled, TaskState } from "../../protocol/a2a/task_state.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import { RpcError } from "../../protocol/rpc/rpc_error.ts";

const parts = v.pipe(v.array(Part), v.minLength(1));
/** Ids and role are the agent's to give, whatever the table says. */
const Said = v.pipe(protoMessage({ parts }), v.transform((message) => message.parts));

const Step = v.union([
  v.strictObject({
    state: TaskState,
    message: v.exactOptional(Said),
    metadata: v.exactOptional(JsonObject),
  }),
  v.strictObject({
    artifact: v.pipe(
      JsonObject,
      v.transform((artifact) => ({ artifactId: "artifact", ...artifact })),
      Artifact,
    ),
    append: v.exactOptional(v.boolean()),
    lastChunk: v.exactOptional(v.boolean()),
  }),
  v.strictObject({ message: Said }),
  v.strictObject({
    error: v.object({
      code: v.pipe(v.number(), v.integer()),
      message: v.exactOptional(v.string(), "Refused by the script"),
      data: v.exactOptional(v.unknown()),
    }),
  }),
  /** Not in the table's first form: a pause, for suites that must see a task at work. */
  v.strictObject({ waitMs: v.pipe(v.number(), v.minValue(0), v.maxValue(60_000)) }),
]);
type Step = v.InferOutput<typeof Step>;

export const ScriptTable = v.array(v.strictObject({
  messageIdPrefix: v.string(),
  reply: v.array(Step),
}));
export type ScriptTable = v.InferOutput<typeof ScriptTable>;

export function createScriptedExecutor(table: ScriptTable, clock: Clock): AgentExecutor {
  const byLength = table.toSorted((a, b) => b.messageIdPrefix.length - a.messageIdPrefix.length);

  function scriptFor(messageId: string): readonly Step[] {
    return byLength.find((entry) => messageId.startsWith(entry.messageIdPrefix))?.reply ?? [];
  }

  return {
    answer({ messageId }) {
      const [first] = scriptFor(messageId);
      if (first === undefined) return undefined;
      if ("error" in first) throw toRpcError(first.error);
      return "message" in first && !("state" in first) ? first.message : undefined;
    },

    async execute({ message, signal }, events) {
      const script = scriptFor(message.messageId);
      let state: TaskState | undefined;
      // A task that waits goes on before it can wait again.
      if (message.taskId !== undefined && isInterrupted(firstState(script))) {
        events.status("TASK_STATE_WORKING");
      }
      for (const step of script) {
        signal.throwIfAborted();
        if ("waitMs" in step) await clock.sleep(step.waitMs, signal);
        else if ("error" in step) throw toRpcError(step.error);
        else state = play(step, state, events);
      }
      if (state === undefined) events.status("TASK_STATE_COMPLETED");
      else if (!isSettled(state)) events.leaveOpen();
    },
  };
}

/** Tells one step; the state the script is in after it. */
function play(
  step: Exclude<Step, { waitMs: number } | { error: unknown }>,
  state: TaskState | undefined,
  events: TurnEvents,
): TaskState | undefined {
  if ("artifact" in step) {
    const { artifact, ...detail } = step;
    events.artifact(artifact, detail);
    return state;
  }
  if (!("state" in step)) {
    // A message on the way is progress with words.
    events.status("TASK_STATE_WORKING", { parts: step.message });
    return state ?? "TASK_STATE_WORKING";
  }
  // Every task begins as submitted.
  if (step.state === "TASK_STATE_SUBMITTED") return step.state;
  events.status(step.state, {
    ...(step.message && { parts: step.message }),
    ...(step.metadata && { metadata: step.metadata }),
  });
  return step.state;
}

function firstState(script: readonly Step[]): TaskState {
  for (const step of script) if ("state" in step) return step.state;
  return "TASK_STATE_COMPLETED";
}

/** A code of A2A gets the ErrorInfo that belongs to it, unless the script has data of its own. */
function toRpcError({ code, message, data }: { code: number; message: string; data?: unknown }) {
  const reason = (Object.keys(A2A_ERROR_CODES) as A2AErrorReason[])
    .find((name) => A2A_ERROR_CODES[name] === code);
  if (reason !== undefined && data === undefined) return a2aError(reason, message);
  return new RpcError(code, message, data);
}
