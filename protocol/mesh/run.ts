/** What the coordinator tells about a run: live (`RunProgress`, 4 times a second) and at its end (`RunReport`). */
import * as v from "valibot";
import { FileFailure, RunState, SourceSpec } from "./job.ts";
import { LaneCounters, LaneGauges, LaneState, Phase, ScanCounters } from "./progress.ts";
import { ExcludedByRule, LaneReport, WireError } from "./task.ts";

const count = v.pipe(v.number(), v.minValue(0));

export const PillState = v.picklist(["pending", "active", "done", "failed"]);
export type PillState = v.InferOutput<typeof PillState>;

/** Where one file is at one destination. */
export const FileMark = v.picklist(["copied", "verified", "failed"]);
export type FileMark = v.InferOutput<typeof FileMark>;

/** A file that was handled a moment ago, with what is known of it at each destination. */
export const RecentFile = v.object({
  path: v.string(),
  sizeBytes: count,
  atMs: v.number(),
  /** By the destination's key; one that is missing has not had it yet, or not lately. */
  marks: v.record(v.string(), FileMark),
});
export type RecentFile = v.InferOutput<typeof RecentFile>;

/** An agent that works on a destination and is not heard; whether it has died is not known yet. */
export const SilentAgent = v.object({ agent: v.string(), silentForMs: count });
export type SilentAgent = v.InferOutput<typeof SilentAgent>;

export const DestinationProgress = v.object({
  destination: v.string(),
  state: LaneState,
  pills: v.record(Phase, PillState),
  /** Sums over the tasks of the run at this destination. */
  counters: LaneCounters,
  gauges: LaneGauges,
  /** Time left for the current phase of this destination; null while unknown or stalled. */
  etaMs: v.nullable(count),
  /** The same as a range, as wide as the rate varies; absent from older coordinators. */
  etaRangeMs: v.exactOptional(v.nullable(v.object({ low: count, high: count }))),
  /** Free there: what was when it was opened, less what has been written since. */
  freeBytes: v.exactOptional(v.nullable(count)),
  /** Agents that are waited for, in whole seconds; absent while all are heard. */
  waitsFor: v.exactOptional(v.array(SilentAgent)),
  /** True for at most one destination: the first verified, else the one with the highest rate. */
  fastest: v.boolean(),
  /** From the start of the run to this destination's end, or to now. */
  elapsedMs: count,
});
export type DestinationProgress = v.InferOutput<typeof DestinationProgress>;

export const RunProgress = v.object({
  runId: v.string(),
  state: RunState,
  elapsedMs: count,
  scan: ScanCounters,
  destinations: v.array(DestinationProgress),
  /** S2-24: "X copying, Y verifying", or "Verifying: NAME" when just one is and none copies. */
  statusLine: v.string(),
  /** The newest first, at most 15. */
  recentFiles: v.exactOptional(v.array(RecentFile)),
});
export type RunProgress = v.InferOutput<typeof RunProgress>;

export const SourceReport = v.object({
  source: SourceSpec,
  /** Set when the whole source could not be read. */
  error: v.exactOptional(WireError),
  counters: ScanCounters,
  excluded: v.array(ExcludedByRule),
  unreadable: v.array(FileFailure),
  unreadableCount: count,
  warnings: v.array(v.string()),
});
export type SourceReport = v.InferOutput<typeof SourceReport>;

export const DestinationReport = v.object({
  destination: v.string(),
  state: v.picklist(["verified", "failed", "cancelled", "planned"]),
  /** Why it took no part or was given up; file failures are in the lanes. */
  error: v.exactOptional(WireError),
  elapsedMs: count,
  warnings: v.array(v.string()),
  /** One per source, in the order of the sources; empty when it took no part. */
  lanes: v.array(v.object({ source: v.string(), report: LaneReport })),
});
export type DestinationReport = v.InferOutput<typeof DestinationReport>;

export const RunReport = v.object({
  runId: v.string(),
  state: RunState,
  startedAtMs: count,
  elapsedMs: count,
  sources: v.array(SourceReport),
  destinations: v.array(DestinationReport),
  /** 0, 1, 2, 3, 4, 10, 11 or 130; see `verdict`. */
  exitCode: v.number(),
});
export type RunReport = v.InferOutput<typeof RunReport>;
