/**
 * The copying of a run under one home: every task that has not ended goes to the dispatcher, and each destination is
 * finished the moment its last lane ends. Rule: no destination ever waits for another.
 */
import type { LaneLedger } from "../runs/lane_ledger.ts";
import { openDestinations, type StageContext } from "../runs/run_context.ts";
import { Attempts, type AttemptsDeps } from "./attempts.ts";
import type { Participants } from "./participants.ts";
import type { RunDestinations } from "./run_destinations.ts";
import { isPaused } from "./run_scope.ts";
import type { RunTasks } from "./run_tasks.ts";

export interface MeshCopyDeps extends AttemptsDeps {
  readonly participants: Pick<Participants, "join" | "drop" | "excluded">;
  readonly destinations: Pick<RunDestinations, "isCancelled" | "finish">;
  readonly tasks: Pick<RunTasks, "open" | "countOpen" | "oneHasEnded">;
}

/** `context.signal`: the home is lost, or the run is over. */
export async function meshCopyStage(
  deps: MeshCopyDeps,
  context: StageContext,
  ledger: LaneLedger,
): Promise<void> {
  const { scope, participants, destinations, tasks } = deps;
  const { dispatcher, runId } = scope;
  const { signal } = context;
  const closings = new Map<string, Promise<void>>();
  const { promise: broken, reject: breakOff } = Promise.withResolvers<never>();
  broken.catch(() => {});

  const closeSettled = (): void => {
    if (signal.aborted) return;
    for (const destination of openDestinations(context)) {
      const { key } = destination;
      if (closings.has(key) || !ledger.isSettled(key)) continue;
      ledger.close(key);
      const closing = destinations.finish(context, destination, ledger);
      closing.catch(breakOff);
      closings.set(key, closing);
    }
  };

  const attempts = new Attempts(deps, context, ledger, closeSettled);
  tasks.countOpen();
  const meshTasks = tasks.open().map(({ task, index }) => attempts.meshTask(task, index));
  dispatcher.putRun(runId, { isPaused: isPaused(scope), excluded: participants.excluded });
  const ends = dispatcher.dispatch(meshTasks, scope.signal);
  // What is announced stands on what is stored: a task's last destinations end after it.
  for (const end of ends) end.finally(() => tasks.oneHasEnded()).then(closeSettled, () => {});
  closeSettled();
  await Promise.race([Promise.all(ends), broken]);
  signal.throwIfAborted();
  closeSettled();
  await Promise.race([Promise.all(closings.values()), broken]);
  signal.throwIfAborted();
  // A lane that nobody will work on any more, with no end of its own, has failed.
  for (const destination of openDestinations(context)) {
    if (closings.has(destination.key)) continue;
    await destinations.finish(context, destination, ledger);
  }
}
