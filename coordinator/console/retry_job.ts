/** What is left to do of a run that has ended. Rule: only what is not verified everywhere is asked for again. */
import { BackupError } from "../../protocol/base/errors.ts";
import type { JobSpec } from "../../protocol/mesh/job.ts";
import type { StoredRun } from "../store/records.ts";

/** @throws {BackupError} `rejected` when it has not ended, or nothing failed */
export function retryJob({ runId, state, spec, report, endedAtMs }: StoredRun): JobSpec {
  if (endedAtMs === null) {
    throw new BackupError("rejected", `Run ${runId} is not over: it is ${state}`);
  }
  if (report === null) return spec;
  const unread = new Set(
    report.sources.filter((s) => s.error !== undefined || s.unreadableCount > 0)
      .map((s) => s.source.name),
  );
  const failed = report.destinations.filter(({ state }) => state !== "verified");
  const failedKeys = new Set(failed.map((d) => d.destination));
  // A source that could not be read is owed to every destination.
  const keys = unread.size > 0 ? undefined : failedKeys;
  const sources = new Set([
    ...unread,
    ...failed.flatMap((d) =>
      d.lanes.length === 0
        ? spec.sources.map((s) => s.name)
        : d.lanes.filter(({ report }) => report.state !== "verified").map(({ source }) => source)
    ),
    // All lanes are good, and it failed at its own end: any source will do to end it again.
    ...failed.filter((d) =>
      d.lanes.length > 0 && d.lanes.every(({ report }) => report.state === "verified")
    ).flatMap((d) => d.lanes.map(({ source }) => source)),
  ]);
  if (sources.size === 0) {
    throw new BackupError("rejected", `Nothing failed in run ${runId}`);
  }
  return {
    ...spec,
    sources: spec.sources.filter(({ name }) => sources.has(name)).map(({ after, ...source }) => ({
      ...source,
      ...(after === undefined ? {} : { after: after.filter((name) => sources.has(name)) }),
    })),
    destinations: spec.destinations.filter(({ key }) => keys?.has(key) ?? true),
  };
}
