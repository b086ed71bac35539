/** The port between the A2A server and what an agent does. */
import type { Artifact } from "./task.ts";
import type { Message } from "./message.ts";
import type { JsonObject } from "./proto_json.ts";
import type { TaskState } from "./task_state.ts";

/** One message to work on. */
export interface Turn {
  readonly taskId: string;
  readonly contextId: string;
  readonly message: Message;
  /** Aborted when the task is cancelled or the agent closes; the executor then ends soon. */
  readonly signal: AbortSignal;
}

/** How an executor tells what happens. What it says after a final state, or after `execute` has settled, is dropped. */
export interface TurnEvents {
  /**
   * A new state, or progress when the state stays WORKING. Progress has no `text`, as every text becomes history.
   * `metadata` members replace those of the task with the same name.
   * @throws {RangeError} for a step the state table does not have.
   */
  status(state: TaskState, detail?: { text?: string; metadata?: JsonObject }): void;
  artifact(artifact: Artifact, detail?: { append?: boolean; lastChunk?: boolean }): void;
}

export interface AgentExecutor {
  /**
   * Called once a turn; when it resolves the task must be final or wait for its caller. When it throws, or resolves
   * without such a state, the task becomes FAILED, or CANCELED if the signal was aborted.
   */
  execute(turn: Turn, events: TurnEvents): Promise<void>;
}
