/** The reports of a source's parts at one destination as one. Rule: sums of counts, the worst of states. */
import type { LaneHistory, LanePlan, LaneReport, RecordedOnly } from "../../protocol/mesh/task.ts";

const NAMES_MAX = 10_000;
const WORST: readonly LaneReport["state"][] = ["verified", "planned", "cancelled", "failed"];

/** @throws {RangeError} without any. */
export function mergeLaneReports(reports: readonly LaneReport[]): LaneReport {
  const [first] = reports;
  if (first === undefined) throw new RangeError("There is no report to merge");
  return reports.slice(1).reduce(merged, first);
}

function merged(a: LaneReport, b: LaneReport): LaneReport {
  const error = a.error ?? b.error;
  const oldest = least(a.oldestVerifiedAtMs, b.oldestVerifiedAtMs);
  const recordedOnly = summed(a.recordedOnly, b.recordedOnly, addRecorded);
  const plan = summed(a.plan, b.plan, addPlan);
  const history = summed(a.history, b.history, addHistory);
  return {
    destination: a.destination,
    state: WORST[Math.max(WORST.indexOf(a.state), WORST.indexOf(b.state))]!,
    ...(error === undefined ? {} : { error }),
    filesTotal: a.filesTotal + b.filesTotal,
    filesCopied: a.filesCopied + b.filesCopied,
    bytesCopied: a.bytesCopied + b.bytesCopied,
    filesUnchanged: a.filesUnchanged + b.filesUnchanged,
    filesVerified: a.filesVerified + b.filesVerified,
    bytesVerified: a.bytesVerified + b.bytesVerified,
    verification: verificationOf(a, b),
    ...(oldest === undefined ? {} : { oldestVerifiedAtMs: oldest }),
    failures: [...a.failures, ...b.failures].slice(0, NAMES_MAX),
    failureCount: a.failureCount + b.failureCount,
    rewritten: [...a.rewritten, ...b.rewritten].slice(0, NAMES_MAX),
    ...(recordedOnly === undefined ? {} : { recordedOnly }),
    warnings: [...new Set([...a.warnings, ...b.warnings])],
    ...(plan === undefined ? {} : { plan }),
    ...(history === undefined ? {} : { history }),
    // A source that goes to a repository is never divided.
    ...(a.snapshot === undefined ? {} : { snapshot: a.snapshot }),
  };
}

function verificationOf(a: LaneReport, b: LaneReport): LaneReport["verification"] {
  if (a.verification === b.verification) return a.verification;
  if (a.verification === "none") return b.verification;
  return b.verification === "none" ? a.verification : "mixed";
}

function summed<T>(a: T | undefined, b: T | undefined, add: (a: T, b: T) => T): T | undefined {
  return a === undefined || b === undefined ? a ?? b : add(a, b);
}

function least(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? a ?? b : Math.min(a, b);
}

function addRecorded(a: RecordedOnly, b: RecordedOnly): RecordedOnly {
  return {
    symlinks: a.symlinks + b.symlinks,
    fifos: a.fifos + b.fifos,
    devices: a.devices + b.devices,
  };
}

function addPlan(a: LanePlan, b: LanePlan): LanePlan {
  return {
    ...a,
    filesToCopy: a.filesToCopy + b.filesToCopy,
    bytesToCopy: a.bytesToCopy + b.bytesToCopy,
    filesUnchanged: a.filesUnchanged + b.filesUnchanged,
    filesGone: a.filesGone + b.filesGone,
  };
}

function addHistory(a: LaneHistory, b: LaneHistory): LaneHistory {
  const refused = a.refused ?? b.refused;
  return {
    entriesDeleted: a.entriesDeleted + b.entriesDeleted,
    foldersDeleted: a.foldersDeleted + b.foldersDeleted,
    versionsKept: a.versionsKept + b.versionsKept,
    versionsRemoved: a.versionsRemoved + b.versionsRemoved,
    ...(refused === undefined ? {} : { refused }),
  };
}
