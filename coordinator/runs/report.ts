/** The report of a run, from what is known at its end. Rule: a destination is verified only when every account says so. */
import type { FileFailure, RunState } from "../../protocol/mesh/job.ts";
import { ZERO_SCAN } from "../../protocol/mesh/progress.ts";
import type { DestinationReport, RunReport, SourceReport } from "../../protocol/mesh/run.ts";
import type { LaneReport } from "../../protocol/mesh/task.ts";
import type { LaneAccount } from "./lane_ledger.ts";
import type { DestinationState, SourceState, StageContext } from "./run_context.ts";
import { mergeLaneReports } from "./merge_lane_reports.ts";
import { type SourceOutcome, verdict } from "./verdict.ts";
import { wireError } from "./wire_error.ts";

/** As many names as one scan or task reports at most. */
const UNREADABLE_NAMES_MAX = 10_000;

export function runReport(
  context: StageContext,
  startedAtMs: number,
): RunReport & { state: Extract<RunState, "completed" | "partial" | "failed" | "cancelled"> } {
  const sources = context.sources.map(sourceReport);
  const destinations = context.destinations.map((d) => destinationReport(context, d));
  const { state, exitCode } = verdict({
    sources: context.sources.map((s, i) => outcomeOf(s, sources[i]!)),
    destinations: destinations.map((d) => ({ state: d.state, errorCode: d.error?.code })),
  });
  const elapsedMs = context.progress.elapsedMs();
  return { runId: context.runId, state, startedAtMs, elapsedMs, sources, destinations, exitCode };
}

function outcomeOf(state: SourceState, report: SourceReport): SourceOutcome {
  if (state.error !== undefined) return "unreadable";
  return report.unreadableCount > 0 ? "partly_unreadable" : "read";
}

function sourceReport({ source, error, scan, mirrored }: SourceState): SourceReport {
  const scanned = scan?.unreadable ?? [];
  const copied = mirrored?.unreadable ?? [];
  const byPath = new Map<string, FileFailure>();
  for (const failure of [...scanned, ...copied]) byPath.set(failure.path, failure);
  const twice = scanned.length + copied.length - byPath.size;
  const counted = (scan?.counters.unreadable ?? 0) + (mirrored?.unreadableCount ?? 0);
  return {
    source,
    ...(error === undefined ? {} : { error }),
    counters: scan?.counters ?? ZERO_SCAN,
    excluded: scan?.excluded ?? [],
    unreadable: [...byPath.values()].slice(0, UNREADABLE_NAMES_MAX),
    // Never fewer than the names we have.
    unreadableCount: Math.max(byPath.size, counted - twice),
    warnings: scan?.warnings ?? [],
  };
}

function destinationReport(
  context: StageContext,
  destination: DestinationState,
): DestinationReport {
  const { end, key, warnings } = destination;
  const ended = end ?? {
    destination: key,
    state: "cancelled" as const,
    elapsedMs: context.progress.elapsedMs(),
  };
  const lanes = lanesOf(context, key)
    .map(({ source, report }) => ({ source, report: withReason(report, ended.state) }));
  const reason = ended.state === "failed" && ended.error === undefined
    ? lanes.find((l) => l.report.error !== undefined)?.report.error
    : undefined;
  const report: DestinationReport = {
    ...ended,
    ...(reason === undefined ? {} : { error: reason }),
    warnings: [...warnings],
    lanes,
  };
  if (ended.state !== "verified" || lanes.every((l) => l.report.state === "verified")) {
    return report;
  }
  // Announced from live progress, and the agent's own report then said otherwise.
  context.log("error", "A destination was announced as verified and is not", {
    runId: context.runId,
    destination: key,
  });
  const error = lanes.find((l) => l.report.error !== undefined)?.report.error ??
    wireError("protocol", "The agent announced it as verified, then reported otherwise");
  return { ...report, state: "failed", error };
}

/** Whoever reads that something is not safe is told why; files that failed are named beside it. */
function withReason(report: LaneReport, end: DestinationReport["state"]): LaneReport {
  if (report.error !== undefined || report.failureCount > 0) return report;
  if (report.state === "failed") {
    return {
      ...report,
      error: wireError("internal", "The agent said that it failed, and not why"),
    };
  }
  if (report.state !== "cancelled" || end === "cancelled") return report;
  return { ...report, error: wireError("cancelled", "It was given up before it was done") };
}

function lanesOf(context: StageContext, key: string): DestinationReport["lanes"] {
  const { ledger, tasks } = context;
  const tookPart = ledger?.destinations.includes(key) ?? false;
  if (ledger === undefined || !tookPart) return [];
  // Parts of one source, in their order, make one report.
  const bySource = new Map<string, LaneReport[]>();
  ledger.accounts(key).forEach((account, i) => {
    const { name } = tasks[i]!.source;
    bySource.set(name, [...bySource.get(name) ?? [], laneReport(key, account)]);
  });
  return [...bySource].map(([source, reports]) => ({ source, report: mergeLaneReports(reports) }));
}

/** What is known of a lane, also when no report of it has come. */
export function laneReport(destination: string, lane: LaneAccount): LaneReport {
  const isEnd = lane.state === "verified" || lane.state === "failed" || lane.state === "planned";
  const state = isEnd ? lane.state as LaneReport["state"] : "cancelled";
  const error = lane.error === undefined ? {} : { error: lane.error };
  if (lane.report !== undefined) return { ...lane.report, state, ...error };
  const { counters } = lane;
  return {
    destination,
    state,
    ...error,
    filesTotal: counters.filesTotal,
    filesCopied: Math.max(0, counters.filesDone - counters.filesUnchanged),
    bytesCopied: Math.max(0, counters.bytesDone - counters.bytesUnchanged),
    filesUnchanged: counters.filesUnchanged,
    filesVerified: counters.verifyFilesDone,
    bytesVerified: counters.verifyBytesDone,
    // Nothing proves the disk was read, so the weaker of the two is claimed.
    verification: counters.verifyFilesDone > 0 ? "cache" : "none",
    failures: [],
    failureCount: counters.filesFailed,
    rewritten: [],
    // Of what was stopped nobody expects one.
    warnings: state === "cancelled"
      ? []
      : ["It ended without a report; these counts are from its last progress"],
  };
}
