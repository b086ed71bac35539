/** One destination's report summed over the sources. */
import { nothingDone } from "../../protocol/mesh/lane_report.ts";
import type { DestinationReport } from "../../protocol/mesh/run.ts";
import type {
  LaneHistory,
  LanePlan,
  LaneReport,
  SnapshotReport,
} from "../../protocol/mesh/task.ts";

export type LaneSums =
  & Pick<
    LaneReport,
    | "filesTotal"
    | "filesCopied"
    | "bytesCopied"
    | "filesUnchanged"
    | "filesVerified"
    | "bytesVerified"
    | "verification"
    | "failures"
    | "failureCount"
    | "rewritten"
    | "recordedOnly"
    | "warnings"
    | "oldestVerifiedAtMs"
    | "plan"
    | "history"
  >
  & {
    /** With the names of their sources; empty at a folder. */
    snapshots: (SnapshotReport & { source: string })[];
  };

/** Sums of all lanes; the oldest verification of all; `mixed` when the lanes were verified in different ways. */
export function sumLanes({ lanes }: Pick<DestinationReport, "lanes">): LaneSums {
  const sums: LaneSums = {
    ...nothingDone(),
    snapshots: [],
  };
  for (const { source, report } of lanes) {
    if (report.snapshot !== undefined) sums.snapshots.push({ source, ...report.snapshot });
    sums.filesTotal += report.filesTotal;
    sums.filesCopied += report.filesCopied;
    sums.bytesCopied += report.bytesCopied;
    sums.filesUnchanged += report.filesUnchanged;
    sums.filesVerified += report.filesVerified;
    sums.bytesVerified += report.bytesVerified;
    sums.verification = joinVerification(sums.verification, report.verification);
    sums.failures.push(...report.failures);
    sums.failureCount += report.failureCount;
    sums.rewritten.push(...report.rewritten);
    if (report.recordedOnly !== undefined) {
      const { symlinks, fifos, devices } = sums.recordedOnly ??
        { symlinks: 0, fifos: 0, devices: 0 };
      sums.recordedOnly = {
        symlinks: symlinks + report.recordedOnly.symlinks,
        fifos: fifos + report.recordedOnly.fifos,
        devices: devices + report.recordedOnly.devices,
      };
    }
    sums.warnings.push(...report.warnings);
    if (report.oldestVerifiedAtMs !== undefined) {
      sums.oldestVerifiedAtMs = Math.min(
        sums.oldestVerifiedAtMs ?? Infinity,
        report.oldestVerifiedAtMs,
      );
    }
    if (report.history !== undefined) {
      sums.history = addHistory(sums.history, report.history);
    }
    if (report.plan === undefined) continue;
    const plan: LanePlan = sums.plan ??
      { filesToCopy: 0, bytesToCopy: 0, filesUnchanged: 0, filesGone: 0 };
    sums.plan = {
      filesToCopy: plan.filesToCopy + report.plan.filesToCopy,
      bytesToCopy: plan.bytesToCopy + report.plan.bytesToCopy,
      filesUnchanged: plan.filesUnchanged + report.plan.filesUnchanged,
      filesGone: plan.filesGone + report.plan.filesGone,
      ...addDeletion(plan, report.plan),
    };
  }
  return sums;
}

/** Entries of all kinds that only the manifest has. */
export function recordedCount({ recordedOnly }: LaneSums): number {
  if (recordedOnly === undefined) return 0;
  return recordedOnly.symlinks + recordedOnly.fifos + recordedOnly.devices;
}

function addHistory(a: LaneHistory | undefined, b: LaneHistory): LaneHistory {
  if (a === undefined) return b;
  return {
    entriesDeleted: a.entriesDeleted + b.entriesDeleted,
    foldersDeleted: a.foldersDeleted + b.foldersDeleted,
    versionsKept: a.versionsKept + b.versionsKept,
    versionsRemoved: a.versionsRemoved + b.versionsRemoved,
    ...(a.refused ?? b.refused) === undefined ? {} : { refused: (a.refused ?? b.refused)! },
  };
}

/** Only with `--delete`. */
function addDeletion(a: LanePlan, b: LanePlan): Partial<LanePlan> {
  if (a.filesToDelete === undefined && b.filesToDelete === undefined) return {};
  return {
    filesToDelete: (a.filesToDelete ?? 0) + (b.filesToDelete ?? 0),
    entriesToDelete: (a.entriesToDelete ?? 0) + (b.entriesToDelete ?? 0),
    deletionNames: [...a.deletionNames ?? [], ...b.deletionNames ?? []],
  };
}

function joinVerification(
  a: LaneReport["verification"],
  b: LaneReport["verification"],
): LaneReport["verification"] {
  if (a === "none") return b;
  return b === "none" || a === b ? a : "mixed";
}
