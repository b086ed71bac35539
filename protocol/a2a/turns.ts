/**
 * Running executors. Rule: a turn goes on whoever stops listening; it ends by itself, by CancelTask or by close, and
 * always leaves the task in a final state or waiting for its caller.
 */
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import { RpcError } from "../rpc/rpc_error.ts";
import type { AgentExecutor } from "./executor.ts";
import type { Message } from "./message.ts";
import { isInterrupted, isTerminal } from "./task_state.ts";
import type { TaskTable } from "./task_table.ts";

/** How long CancelTask and close wait for a turn to clean up. */
export const CANCEL_WAIT_MS = 10_000;

/** One run of the executor. */
export interface Turn {
  /** What the executor refused the message with; set before the task is said to have failed. */
  readonly refusal: RpcError | undefined;
}

export interface Turns {
  isLive(taskId: string): boolean;
  /** Starts the executor on a message. */
  start(taskId: string, contextId: string, message: Message): Turn;
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
    turn: { refusal: RpcError | undefined },
    taskId: string,
    contextId: string,
    message: Message,
    signal: AbortSignal,
  ): Promise<void> {
    let isOver = false;
    let isLeftOpen = false;
    let hasThrown = false;
    try {
      await executor.execute({ taskId, contextId, message, signal }, {
        status(state, detail) {
          if (!isOver) table.status(taskId, state, detail);
        },
        artifact(artifact, detail) {
          if (!isOver) table.artifact(taskId, artifact, detail);
        },
        leaveOpen() {
          isLeftOpen = true;
        },
      });
    } catch (thrown) {
      isLeftOpen = false;
      hasThrown = true;
      if (thrown instanceof RpcError) turn.refusal = thrown;
      log(signal.aborted || turn.refusal ? "debug" : "error", "A task ended with an exception", {
        taskId,
        error: thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown),
      });
    } finally {
      isOver = true;
      live.delete(taskId);
      if (!isLeftOpen || signal.aborted) settle(taskId, signal, hasThrown, turn.refusal);
    }
  }

  function settle(
    taskId: string,
    signal: AbortSignal,
    hasThrown: boolean,
    refusal: RpcError | undefined,
  ): void {
    const state = table.find(taskId)?.status.state;
    if (state === undefined || isTerminal(state)) return;
    if (signal.aborted) {
      table.status(taskId, "TASK_STATE_CANCELED");
    } else if (hasThrown || !isInterrupted(state)) {
      const text = refusal?.message ?? "The agent failed unexpectedly";
      table.status(taskId, "TASK_STATE_FAILED", { text });
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
      const turn: { refusal: RpcError | undefined } = { refusal: undefined };
      const done = Promise.resolve().then(() =>
        run(turn, taskId, contextId, message, abort.signal)
      );
      live.set(taskId, { abort, done });
      return turn;
    },

    async cancel(taskId) {
      if (live.has(taskId)) return await abortAndWait([taskId]);
      table.status(taskId, "TASK_STATE_CANCELED");
    },

    close: () => abortAndWait([...live.keys()]),
  };
}
