/**
 * One run from its first line to its report. Rule: whatever happens, what the agent holds is given back, every
 * destination has an end, and the run has a final state.
 */
import { asBackupError } from "../../protocol/base/errors.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import type { RunReport } from "../../protocol/mesh/run.ts";
import { copyStage } from "./copy_stage.ts";
import { untilAborted, within } from "./deadline.ts";
import { prepareStage } from "./prepare_stage.ts";
import { runReport } from "./report.ts";
import { endDestination, openDestinations, type RunContext } from "./run_context.ts";
import { scanStage } from "./scan_stage.ts";
import { wireError, wireErrorOf } from "./wire_error.ts";

/** How long agents may take to end their tasks after a cancel. */
export const CANCEL_GRACE_MS = 500;
/** From the cancel to the report, at most. */
export const CANCEL_BUDGET_MS = 900;
/** How long the agent may take to give everything back after a run that was not cancelled. */
export const RELEASE_DEADLINE_MS = 10_000;

/**
 * @throws {BackupError} `usage` from the prepare task, and whatever makes the run itself impossible (the store cannot
 * be written); the run is stored as failed then, when that is possible. Failures of sources and destinations are no
 * errors here, they are in the report.
 */
export async function backupRun(context: RunContext, abort: AbortController): Promise<RunReport> {
  const { store, runId, clock, progress } = context;
  const startedAtMs = clock.nowMs();
  const abortedAt = abortTime(context.signal, clock);
  let failure: unknown;
  try {
    store.transact((tx) => tx.moveRun(runId, "planning"));
    progress.apply({ kind: "run_state", state: "planning" });
    await untilAborted(stages(context), context.signal, clock, CANCEL_GRACE_MS);
  } catch (thrown) {
    if (!context.signal.aborted) failure = thrown;
  }
  // After a failure of ours, tasks may still run.
  if (failure !== undefined) abort.abort();
  await release(context, abortedAt());
  try {
    context.dispatcher.abandon(runId);
    if (failure !== undefined) throw failure;
    for (const destination of openDestinations(context)) {
      endDestination(context, destination, "cancelled");
    }
    const report = runReport(context, startedAtMs);
    store.transact((tx) => tx.moveRun(runId, report.state, report));
    progress.apply({ kind: "run_state", state: report.state });
    return report;
  } catch (thrown) {
    recordFailure(context, thrown);
    throw thrown;
  } finally {
    progress.end();
  }
}

async function stages(context: RunContext): Promise<void> {
  const { signal, store, runId, progress } = context;
  signal.throwIfAborted();
  await prepareStage(context);
  if (openDestinations(context).length === 0) return;
  await scanStage(context);
  signal.throwIfAborted();
  if (context.sources.every((s) => s.scan === undefined)) {
    const error = wireError("not_found", "No source could be read, so nothing was copied");
    for (const d of openDestinations(context)) endDestination(context, d, "failed", error);
    return;
  }
  store.transact((tx) => tx.moveRun(runId, "running"));
  progress.apply({ kind: "run_state", state: "running" });
  await copyStage(context);
}

/** The time of the abort, once there was one. */
function abortTime(signal: AbortSignal, clock: Clock): () => number | undefined {
  let atMs = signal.aborted ? clock.monotonicMs() : undefined;
  signal.addEventListener("abort", () => atMs = clock.monotonicMs(), { once: true });
  return () => atMs;
}

async function release(context: RunContext, abortedAtMs: number | undefined): Promise<void> {
  const { clock, home, runId, log, signal } = context;
  const spentMs = abortedAtMs === undefined ? 0 : clock.monotonicMs() - abortedAtMs;
  const graceMs = Math.max(0, CANCEL_BUDGET_MS - spentMs);
  const released = within(
    (cut) => home.client.run({ op: "release", runId }, { signal: cut }),
    clock,
    RELEASE_DEADLINE_MS,
  );
  try {
    await untilAborted(released, signal, clock, graceMs);
  } catch (thrown) {
    log("warn", "The agent did not confirm that it gave back what it held for the run", {
      runId,
      error: asBackupError(thrown).message,
    });
  }
}

function recordFailure(context: RunContext, thrown: unknown): void {
  const { store, runId, progress, log } = context;
  const error = wireErrorOf(thrown);
  try {
    store.transact((tx) => {
      tx.note({ kind: "run_error", runId, error });
      tx.moveRun(runId, "failed");
    });
  } catch (storeError) {
    // The first error is the one to report; this one says why the store does not know.
    log("error", "The end of the run could not be stored", {
      runId,
      error: asBackupError(storeError).message,
    });
  }
  progress.apply({ kind: "run_state", state: "failed" });
}
