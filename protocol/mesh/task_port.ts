/**
 * The two ends of a task: `TaskClient` is what a coordinator calls, `TaskHandler` is what a worker implements. What
 * lies between them (A2A over an injected fetch) is in `task_over_a2a.ts`.
 */
import { BackupError } from "../base/errors.ts";
import type { TaskProgress } from "./progress.ts";
import type { ResultOf, TaskResult, TaskSpec } from "./task.ts";

/** The agent does not know the task any more, as it was started again: says nothing about the task itself. */
export class AgentLostError extends BackupError {
  override readonly name: string = "AgentLostError";

  constructor(message: string) {
    super("io", message, { retry: "later" });
  }
}

/** The agent takes nothing more at the moment: says nothing about the task, which may be asked for again, or elsewhere. */
export class AgentBusyError extends BackupError {
  override readonly name: string = "AgentBusyError";

  constructor(message: string) {
    super("rejected", message, { retry: "later" });
  }
}

export interface TaskClient {
  /**
   * Runs one task on one agent to its end. `onProgress` gets every event in order, the last one before the promise
   * settles. Aborting `signal` cancels the task on the agent and rejects with code `cancelled`.
   * @throws {BackupError} with the agent's code when the task failed or was rejected; `protocol` for nonsense.
   */
  run<T extends TaskSpec>(
    spec: T,
    options?: { onProgress?: (progress: TaskProgress) => void; signal?: AbortSignal },
  ): Promise<ResultOf<T>>;
}

/** Called once per A2A task. Throws BackupError for an expected failure; must settle soon after `signal` aborts. */
export type TaskHandler = (
  spec: TaskSpec,
  context: { progress(progress: TaskProgress): void; signal: AbortSignal },
) => Promise<TaskResult>;
