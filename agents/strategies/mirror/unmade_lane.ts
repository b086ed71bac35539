/** A dry run at a destination that does not exist yet. Rule: nothing is opened or made; everything would be copied. */
import { type LaneProgress, ZERO_COUNTERS, ZERO_GAUGES } from "../../../protocol/mesh/progress.ts";
import { type LaneReport, nothingDone } from "../../../protocol/mesh/lane_report.ts";

/** What `DestinationLane.mirror` gives, for a source of so many files and bytes. */
export function planUnmade(
  destination: string,
  source: { files: number; bytes: number },
): { report: Promise<LaneReport>; progress(): LaneProgress } {
  const report: LaneReport = {
    destination,
    state: "planned",
    ...nothingDone(),
    filesTotal: source.files,
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
