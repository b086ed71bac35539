/**
 * Carries out the scheduler's plan for all runs of one coordinator. Rule: the store moves first, then the world; an
 * attempt that was given up changes nothing any more.
 */
import { backoffMs } from "../../protocol/base/backoff.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import type { JobStore } from "../store/job_store.ts";
import { plan } from "../scheduler/plan.ts";
import type { AgentView, Command, TaskView } from "../scheduler/view.ts";

export type AttemptEnd =
  | { readonly kind: "succeeded" }
  | { readonly kind: "failed"; readonly reason: string }
  | { readonly kind: "cancelled" }
  /** Try again after a backoff. */
  | { readonly kind: "retry"; readonly reason: string };

export interface Dispatch extends Pick<TaskView, "taskId" | "runId" | "requires" | "sizeBytes"> {
  readonly onlyAgents: readonly string[] | null;
  holdsSlot(): boolean;
  /** One try. `begun` says that the agent has taken it up. Resolves, whatever happened. */
  attempt(agentId: string, epoch: number, begun: () => void): Promise<AttemptEnd>;
}

export interface Dispatcher {
  /**
   * Queues a stored task; resolves when it is in a final state. Aborting `signal` cancels a task that is queued; a
   * running attempt has to see to itself.
   */
  dispatch(task: Dispatch, signal: AbortSignal): Promise<void>;
  /** Plans again; to be called when a task has freed its slot. */
  nudge(): void;
  /** Ends every task of a run that has not ended, without waiting for its agent. */
  abandon(runId: string): void;
}

interface Entry {
  readonly task: Dispatch;
  readonly signal: AbortSignal;
  agentId: string | null;
  epoch: number;
  isRunning: boolean;
  notBeforeMs: number;
  finish(failure?: unknown): void;
}

export function createDispatcher(dependencies: {
  store: JobStore;
  clock: Clock;
  agents: readonly Omit<AgentView, "load">[];
}): Dispatcher {
  const { store, clock, agents } = dependencies;
  const entries = new Map<string, Entry>();
  let isPlanning = false;
  let isStale = false;

  function nudge(): void {
    isStale = true;
    if (isPlanning) return;
    isPlanning = true;
    try {
      while (isStale) {
        isStale = false;
        const tasks = [...entries.values()].map(viewOf);
        const view = { agents: agents.map((a) => ({ ...a, load: 0 })), tasks };
        for (const command of plan(view, clock.monotonicMs())) apply(command);
      }
    } finally {
      isPlanning = false;
    }
  }

  function apply(command: Command): void {
    const entry = entries.get(command.taskId);
    if (entry === undefined) return;
    try {
      if (command.kind === "wait") {
        store.transact((tx) => tx.explainTask(command.taskId, command.reason));
        return;
      }
      entry.epoch = store.transact((tx) => tx.assignTask(command.taskId, command.agentId)).epoch;
      entry.agentId = command.agentId;
      void attempt(entry, command.agentId, entry.epoch);
    } catch (thrown) {
      entry.finish(thrown);
    }
  }

  async function attempt(entry: Entry, agentId: string, epoch: number): Promise<void> {
    const isCurrent = (): boolean => entries.get(entry.task.taskId) === entry;
    try {
      const end = await entry.task.attempt(agentId, epoch, () => {
        if (isCurrent()) begin(entry);
      });
      if (isCurrent()) settle(entry, end);
    } catch (thrown) {
      entry.finish(thrown);
    }
    nudge();
  }

  /** Called out of the agent's progress, where nobody could catch what the store throws. */
  function begin(entry: Entry): void {
    try {
      run(entry);
    } catch (thrown) {
      entry.finish(thrown);
    }
  }

  function run(entry: Entry): void {
    if (entry.isRunning) return;
    store.transact((tx) => tx.moveTask(entry.task.taskId, entry.epoch, "running"));
    entry.isRunning = true;
  }

  function settle(entry: Entry, end: AttemptEnd): void {
    const { taskId } = entry.task;
    const reason = "reason" in end ? end.reason : undefined;
    const retries = end.kind === "retry" && !entry.signal.aborted;
    const to = retries ? "queued" : end.kind === "retry" ? "cancelled" : end.kind;
    if (to !== "cancelled") run(entry);
    store.transact((tx) => tx.moveTask(taskId, entry.epoch, to, reason));
    if (!retries) return entry.finish();
    const waitMs = backoffMs(entry.epoch);
    entry.agentId = null;
    entry.isRunning = false;
    entry.notBeforeMs = clock.monotonicMs() + waitMs;
    clock.sleep(waitMs, entry.signal).then(nudge, () => {});
  }

  function cancelNow(entry: Entry): void {
    try {
      store.transact((tx) => tx.moveTask(entry.task.taskId, entry.epoch, "cancelled"));
      entry.finish();
    } catch (thrown) {
      entry.finish(thrown);
    }
  }

  return {
    nudge,
    dispatch(task, signal) {
      return new Promise((resolve, reject) => {
        const onAbort = (): void => {
          if (entry.agentId === null) cancelNow(entry);
        };
        const entry: Entry = {
          task,
          signal,
          agentId: null,
          epoch: 0,
          isRunning: false,
          notBeforeMs: 0,
          finish(failure) {
            entries.delete(task.taskId);
            signal.removeEventListener("abort", onAbort);
            if (failure === undefined) resolve();
            else reject(failure);
          },
        };
        if (entries.has(task.taskId)) {
          reject(new BackupError("internal", `Task ${task.taskId} was dispatched twice`));
          return;
        }
        entries.set(task.taskId, entry);
        if (signal.aborted) return onAbort();
        signal.addEventListener("abort", onAbort, { once: true });
        // In the next turn, so that the tasks of one burst are planned together, the largest first.
        queueMicrotask(nudge);
      });
    },
    abandon(runId) {
      for (const entry of [...entries.values()]) if (entry.task.runId === runId) cancelNow(entry);
    },
  };
}

function viewOf(entry: Entry): TaskView {
  const { taskId, runId, requires, sizeBytes, onlyAgents } = entry.task;
  const holdsSlot = entry.agentId !== null && entry.task.holdsSlot();
  const { agentId, notBeforeMs } = entry;
  return { taskId, runId, requires, sizeBytes, onlyAgents, agentId, holdsSlot, notBeforeMs };
}
