/**
 * Third stage: one mirror task a source, and each destination closed the moment its last lane ends. Rule: no
 * destination ever waits for another.
 */
import { newId } from "../../protocol/base/ids.ts";
import type { Unreadable } from "../../protocol/mesh/progress.ts";
import { mirrorHoldsSlot } from "../../protocol/mesh/holds_slot.ts";
import type { AttemptEnd, Dispatch } from "./dispatcher.ts";
import { finishAtHome } from "./finish_at_home.ts";
import { createLaneLedger, type LaneLedger } from "./lane_ledger.ts";
import {
  type DestinationState,
  endDestination,
  openDestinations,
  type RunContext,
  type SourceState,
} from "./run_context.ts";
import { joinUnreadable, resultOf, withUnreadable } from "./unreadable.ts";
import { wireErrorOf } from "./wire_error.ts";

/** Attempts in all for one directory whose agent failed with an error that may pass. */
export const TASK_ATTEMPTS_MAX = 3;

export async function copyStage(context: RunContext): Promise<void> {
  const { runId, job, store, progress, signal, dispatcher, home } = context;
  const destinations = openDestinations(context);
  const tasks = context.sources.filter((s) => s.scan !== undefined);
  const ledger = createLaneLedger(destinations.map((d) => d.key), tasks.length);
  context.tasks = tasks;
  context.ledger = ledger;

  const requires = ["mirror", ...job.requiredCapabilities];
  const dispatches = tasks.map((state, index) => mirrorTask(index, state));
  store.transact((tx) => {
    dispatches.forEach(({ taskId, sizeBytes }, i) =>
      tx.insertTask({ taskId, runId, source: tasks[i]!.source, requires, sizeBytes })
    );
  });
  progress.apply({
    kind: "planned",
    tasks: dispatches.map(({ taskId }, i) => ({ taskId, scan: tasks[i]!.scan!.counters })),
  });

  const closings = new Map<string, Promise<void>>();
  const { promise: broken, reject: breakOff } = Promise.withResolvers<never>();
  const ended = Promise.all(dispatches.map((task) => dispatcher.dispatch(task, signal)));
  await Promise.race([ended, broken]);
  signal.throwIfAborted();
  closeSettled();
  await Promise.all(closings.values());

  function closeSettled(): void {
    if (signal.aborted) return;
    for (const destination of destinations) {
      if (closings.has(destination.key) || !ledger.isSettled(destination.key)) continue;
      ledger.close(destination.key);
      const closing = closeDestination(context, ledger, destination);
      // What fails here is the store, not the destination: the run cannot go on.
      closing.catch(breakOff);
      closings.set(destination.key, closing);
    }
  }

  function mirrorTask(index: number, state: SourceState): Dispatch {
    const taskId = newId("task");
    let left: Unreadable | undefined;
    const attempt: Dispatch["attempt"] = async (agentId, epoch, begun) => {
      const owed = ledger.begin(index);
      if (owed.length === 0) return endOf(ledger, destinations, index);
      const spec = {
        op: "mirror",
        runId,
        taskId,
        epoch,
        source: state.source,
        destinations: owed,
        options: job.options,
      } as const;
      let isOver = false;
      try {
        const result = await home.client.run(spec, {
          signal,
          onProgress({ seq, lanes, verified, unreadable }) {
            if (isOver || signal.aborted) return;
            if (unreadable !== undefined) {
              left = joinUnreadable(left, unreadable);
              state.mirrored = resultOf(left);
            }
            begun();
            const held = mirrorHoldsSlot(ledger.statesOf(index));
            progress.apply({ kind: "lanes", taskId, agentId, epoch, seq, lanes });
            ledger.heard(index, lanes, verified);
            closeSettled();
            if (held && !mirrorHoldsSlot(ledger.statesOf(index))) dispatcher.nudge();
          },
        });
        isOver = true;
        state.mirrored = withUnreadable(left, result);
        ledger.reported(index, result);
      } catch (thrown) {
        isOver = true;
        const error = wireErrorOf(thrown);
        const mayRetry = error.retry === "later" && epoch < TASK_ATTEMPTS_MAX && !signal.aborted;
        if (ledger.broke(index, error, mayRetry)) {
          context.log("warn", "A directory's copy failed and is tried again", {
            runId,
            source: state.source.name,
            attempt: epoch,
            error: error.message,
          });
          closeSettled();
          return { kind: "retry", reason: error.message };
        }
        if (signal.aborted) return { kind: "cancelled" };
      }
      closeSettled();
      return endOf(ledger, destinations, index);
    };
    return {
      taskId,
      runId,
      requires,
      sizeBytes: state.scan!.counters.bytes,
      onlyAgents: [home.id],
      holdsSlot: () => mirrorHoldsSlot(ledger.statesOf(index)),
      attempt,
    };
  }
}

function endOf(
  ledger: LaneLedger,
  destinations: readonly DestinationState[],
  index: number,
): AttemptEnd {
  const lanes = destinations.map(({ key }) => ({ key, lane: ledger.accounts(key)[index]! }));
  const bad = lanes.filter(({ lane }) => lane.state !== "verified" && lane.state !== "planned");
  if (bad.length === 0) return { kind: "succeeded" };
  return { kind: "failed", reason: `Not verified at ${bad.map((b) => b.key).join(", ")}` };
}

async function closeDestination(
  context: RunContext,
  ledger: LaneLedger,
  destination: DestinationState,
): Promise<void> {
  const outcome = await finishAtHome(context, destination.key, ledger);
  if (outcome !== undefined) endDestination(context, destination, outcome.state, outcome.error);
}
