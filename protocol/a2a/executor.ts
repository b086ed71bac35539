/** The port between the A2A server and what an agent does. */
import type { Artifact } from "./task.ts";
import type { Message, Part } from "./message.ts";
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
  status(state: TaskState, detail?: StatusDetail): void;
  artifact(artifact: Artifact, detail?: { append?: boolean; lastChunk?: boolean }): void;
  /** The task stays as it is when this turn ends, though it has not ended: a further message or a cancel moves it. */
  leaveOpen(): void;
}

export interface StatusDetail {
  /** A message of one text part. */
  text?: string;
  /** A message of any parts, in place of `text`. */
  parts?: Part[];
  metadata?: JsonObject;
}

export interface AgentExecutor {
  /**
   * Asked about each first message before a task is made: a message is the whole answer, undefined makes a task.
   * @throws {RpcError} to refuse the message.
   */
  answer?(message: Message): Part[] | undefined;
  /**
   * Called once a turn; when it resolves the task must be final or wait for its caller. When it throws, or resolves
   * without such a state, the task becomes FAILED, or CANCELED if the signal was aborted. An `RpcError` it throws is
   * also what the sender of the message gets.
   */
  execute(turn: Turn, events: TurnEvents): Promise<void>;
}
