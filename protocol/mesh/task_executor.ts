/** Tasks that arrive over A2A, done by a handler. Rule: progress has no text, so the history stays short. */
import type { AgentExecutor, TurnEvents } from "../a2a/executor.ts";
import { asBackupError, BackupError } from "../base/errors.ts";
import type { TaskResult } from "./task.ts";
import { reportOf, specOf, toMetadata, toWireError } from "./task_mapping.ts";
import type { TaskHandler } from "./task_port.ts";

/** Serves tasks that arrive over A2A with a handler. A message that is not a task we know is REJECTED. */
export function createTaskExecutor(handler: TaskHandler): AgentExecutor {
  return {
    async execute({ message, signal }, events) {
      const spec = specOf(message);
      if (spec instanceof BackupError) return end(events, "TASK_STATE_REJECTED", spec);
      events.status("TASK_STATE_WORKING");
      let result: TaskResult;
      try {
        signal.throwIfAborted();
        result = await handler(spec, {
          progress: (progress) =>
            events.status("TASK_STATE_WORKING", { metadata: toMetadata({ progress }) }),
          signal,
        });
      } catch (thrown) {
        const error = asBackupError(thrown);
        if (signal.aborted) return end(events, "TASK_STATE_CANCELED", error);
        return end(
          events,
          error.code === "rejected" ? "TASK_STATE_REJECTED" : "TASK_STATE_FAILED",
          error,
        );
      }
      for (const { artifact, ...chunk } of reportOf(result)) events.artifact(artifact, chunk);
      if (signal.aborted && isCutShort(result)) {
        return end(events, "TASK_STATE_CANCELED", new BackupError("cancelled", "Cancelled"));
      }
      events.status("TASK_STATE_COMPLETED");
    },
  };
}

/** What a cancelled engine reports says how far it came; one that was through before it heard of that has all of it. */
function isCutShort(result: TaskResult): boolean {
  return result.op === "mirror" && result.lanes.some(({ state }) => state === "cancelled");
}

function end(
  events: TurnEvents,
  state: "TASK_STATE_REJECTED" | "TASK_STATE_FAILED" | "TASK_STATE_CANCELED",
  error: BackupError,
): void {
  events.status(state, {
    text: error.message,
    metadata: toMetadata({ error: toWireError(error) }),
  });
}
