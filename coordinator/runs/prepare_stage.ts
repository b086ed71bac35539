/** First stage: open and lock the destinations. Rule: one that cannot take part is out by name, the others go on. */
import { asBackupError } from "../../protocol/base/errors.ts";
import type { PreparedDestination, PrepareResult } from "../../protocol/mesh/task.ts";
import { endDestination, openDestinations, type StageContext } from "./run_context.ts";
import { wireError, wireErrorOf } from "./wire_error.ts";

/** @throws {BackupError} `usage` when the job as a whole makes no sense; nothing has been written then. */
export async function prepareStage(context: StageContext): Promise<void> {
  const { home, runId, job, signal } = context;
  const open = new Set(openDestinations(context).map((d) => d.key));
  const expectedIds = new Map(
    openDestinations(context).flatMap(({ key, id }) => id === undefined ? [] : [[key, id]]),
  );
  // What the run itself has found counts for more.
  const knownIds = Object.entries(context.knownIds ?? {})
    .filter(([key]) => open.has(key) && !expectedIds.has(key));
  const spec = {
    op: "prepare",
    runId,
    ...(context.runEpoch === undefined ? {} : { runEpoch: context.runEpoch }),
    sources: job.sources,
    // What the run has made or accepted as new is not new any more.
    destinations: job.destinations.filter((d) => open.has(d.key))
      .map((d) => expectedIds.has(d.key) ? { ...d, isNew: false } : d),
    ...(expectedIds.size === 0 ? {} : { expectedIds: Object.fromEntries(expectedIds) }),
    ...(knownIds.length === 0 ? {} : { knownIds: Object.fromEntries(knownIds) }),
    options: job.options,
  } as const;
  let result: PrepareResult;
  try {
    result = await home.client.run(spec, { signal });
  } catch (thrown) {
    signal.throwIfAborted();
    if (context.isHomeLost?.(thrown, "prepare")) throw thrown;
    if (asBackupError(thrown).code === "usage") throw thrown;
    for (const d of openDestinations(context)) {
      endDestination(context, d, "failed", wireErrorOf(thrown));
    }
    return;
  }
  signal.throwIfAborted();
  result = { ...result, destinations: result.destinations.map((d) => asExpected(d, expectedIds)) };
  context.prepared?.(result);
  for (const destination of openDestinations(context)) {
    const prepared = result.destinations.find((p) => p.destination === destination.key);
    if (prepared === undefined) {
      const error = wireError("protocol", "The agent did not say whether it can use it");
      endDestination(context, destination, "failed", error);
      continue;
    }
    destination.warnings = prepared.warnings;
    if (prepared.destinationId !== undefined) destination.id = prepared.destinationId;
    const { freeBytes } = prepared;
    if (freeBytes !== undefined) {
      context.progress.apply({ kind: "opened", destination: destination.key, freeBytes });
    }
    if (prepared.error !== undefined) {
      endDestination(context, destination, "failed", prepared.error);
    }
  }
}

/** What is done counts at the disk where it was done, and at no other that has its path. */
function asExpected(
  prepared: PreparedDestination,
  expectedIds: ReadonlyMap<string, string>,
): PreparedDestination {
  const { destination, destinationId } = prepared;
  const expected = expectedIds.get(destination);
  if (expected === undefined || destinationId === undefined || destinationId === expected) {
    return prepared;
  }
  const error = wireError(
    "destination_changed",
    `${destination} is another disk than the one that this run has begun with`,
  );
  return { ...prepared, error };
}
