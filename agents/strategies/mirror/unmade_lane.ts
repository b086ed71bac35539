/** A dry run at a destination that does not exist yet. Rule: nothing is opened or made; everything would be copied. */
import { type LaneProgress, ZERO_COUNTERS, ZERO_GAUGES } from "../../../protocol/mesh/progress.ts";
import type { LaneReport } from "../../../protocol/mesh/task.ts";

/** What `DestinationLane.mirror` gives, for a source of so many files and bytes. */
export function planUnmade(
  destination: string,
  source: { files: number; bytes: number },
): { report: Promise<LaneReport>; progress(): LaneProgress } {
  const report: LaneReport = {
    destination,
    state: "planned",
    filesTotal: source.files,
    filesCopied: 0,
    bytesCopied: 0,
    filesUnchanged: 0,
    filesVerified: 0,
    bytesVerified: 0,
    verification: "none",
    failures: [],
    failureCount: 0,
    rewritten: [],
    warnings: [],
    plan: {
      filesToCopy: source.files,
      bytesToCopy: source.bytes,
      filesUnchanged: 0,
      filesGone: 0,
    },
  };
  return {
    report: Promise.resolve(report),
    progress: () => ({
      destination,
      state: "manifest",
      counters: { ...ZERO_COUNTERS, filesTotal: source.files, bytesTotal: source.bytes },
      gauges: ZERO_GAUGES,
    }),
  };
}
