/**
 * Running executors. Rule: a turn goes on whoever stops listening; it ends by itself, by CancelTask or by close, and
 * always leaves the task in a final state or waiting for its caller.
 */
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { AgentExecutor } from "./executor.ts";
import type { Message } from "./message.ts";
import { isInterrupted, isTerminal } from "./task_state.ts";
import type { TaskTable } from "./task_table.ts";

/** How long CancelTask and close wait for a turn to clean up. */
export const CANCEL_WAIT_MS = 10_000;

export interface Turns {
  isLive(taskId: string): boolean;
  /** Starts the executor on a message. */
  start(taskId: string, contextId: string, message: Message): void;
  /** Aborts the turn and waits until it has ended, at most `CANCEL_WAIT_MS`. Ends a waiting task at once. */
  cancel(taskId: string): Promise<void>;
  /** Aborts all turns and waits as `cancel` does. */
  close(): Promise<void>;
}

export function createTurns(deps: {
  table: TaskTable;
  executor: AgentExecutor;
  clock: Clock;
  log: Log;
}): Turns {
  const { table, executor, clock, log } = deps;
  const live = new Map<string, { abort: AbortController; done: Promise<void> }>();

  async function run(
    taskId: string,
    contextId: string,
    message: Message,
    signal: AbortSignal,
  ): Promise<void> {
    let isOver = false;
    try {
      await executor.execute({ taskId, contextId, message, signal }, {
        status(state, detail) {
          if (!isOver) table.status(taskId, state, detail);
        },
        artifact(artifact, detail) {
          if (!isOver) table.artifact(taskId, artifact, detail);
        },
      });
    } catch (thrown) {
      log(signal.aborted ? "debug" : "error", "A task ended with an exception", {
        taskId,
        error: thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown),
      });
    } finally {
      isOver = true;
      live.delete(taskId);
      settle(taskId, signal);
    }
  }

  function settle(taskId: string, signal: AbortSignal): void {
    const state = table.find(taskId)?.status.state;
    if (state === undefined || isTerminal(state)) return;
    if (signal.aborted) {
      table.status(taskId, "TASK_STATE_CANCELED");
    } else if (!isInterrupted(state)) {
      table.status(taskId, "TASK_STATE_FAILED", { text: "The agent failed unexpectedly" });
    }
  }

  async function abortAndWait(taskIds: readonly string[]): Promise<void> {
    const turns = taskIds.flatMap((taskId) => live.get(taskId) ?? []);
    for (const turn of turns) turn.abort.abort(new DOMException("Cancelled", "AbortError"));
    if (turns.length === 0) return;
    const timer = new AbortController();
    await Promise.race([
      Promise.all(turns.map((turn) => turn.done)),
      clock.sleep(CANCEL_WAIT_MS, timer.signal).catch(() => {}),
    ]);
    timer.abort();
  }

  return {
    isLive: (taskId) => live.has(taskId),

    start(taskId, contextId, message) {
      const abort = new AbortController();
      // Entered before the executor runs, as it may end, or be cancelled, at once.
      const done = Promise.resolve().then(() => run(taskId, contextId, message, abort.signal));
      live.set(taskId, { abort, done });
    },

    async cancel(taskId) {
      if (live.has(taskId)) return await abortAndWait([taskId]);
      table.status(taskId, "TASK_STATE_CANCELED");
    },

    close: () => abortAndWait([...live.keys()]),
  };
}
