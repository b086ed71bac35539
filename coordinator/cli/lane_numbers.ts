/** What a lane's counters mean to its reader. Rule: one place derives fractions, so bar, percent and JSON agree. */
import type { DestinationProgress } from "../../protocol/mesh/run.ts";
import { clampFraction } from "../../protocol/cli/format.ts";

/** Shown as stalled once nothing has moved for this long; shorter pauses are normal. */
const STALL_SHOWN_AFTER_MS = 3_000;

export interface LaneNumbers {
  filesDone: number;
  filesTotal: number;
  bytesDone: number;
  bytesTotal: number;
  /** Of the current phase: copied, then verified. 1 only when the destination is verified or its phase is complete. */
  fraction: number;
  copiedFraction: number;
  verifiedFraction: number;
}

/** Numbers of the phase a destination is in: those of verify from verify on, else those of copy. */
export function laneNumbers(lane: DestinationProgress): LaneNumbers {
  const { counters, state } = lane;
  const isPastCopy = state === "flush" || state === "verify" || state === "verified";
  const copiedFraction = fractionOf(
    counters.bytesDone,
    counters.bytesTotal,
    counters.filesDone,
    counters.filesTotal,
    isPastCopy,
  );
  const verifiedFraction = state === "verified" ? 1 : fractionOf(
    counters.verifyBytesDone,
    counters.verifyBytesTotal,
    counters.verifyFilesDone,
    counters.verifyFilesTotal,
    false,
  );
  if (state !== "verify") {
    return {
      filesDone: counters.filesDone,
      filesTotal: counters.filesTotal,
      bytesDone: counters.bytesDone,
      bytesTotal: counters.bytesTotal,
      fraction: copiedFraction,
      copiedFraction,
      verifiedFraction,
    };
  }
  return {
    filesDone: counters.verifyFilesDone,
    filesTotal: counters.verifyFilesTotal,
    bytesDone: counters.verifyBytesDone,
    bytesTotal: counters.verifyBytesTotal,
    fraction: verifiedFraction,
    copiedFraction,
    verifiedFraction,
  };
}

/** Still working: not at its end. */
export function isActive(lane: DestinationProgress): boolean {
  return lane.state !== "verified" && lane.state !== "failed" && lane.state !== "cancelled";
}

/** How long nothing has moved, when that is worth telling; else 0. */
export function stallMs(lane: DestinationProgress): number {
  const ms = isActive(lane) ? lane.gauges.stalledForMs : 0;
  return ms >= STALL_SHOWN_AFTER_MS ? ms : 0;
}

function fractionOf(
  bytesDone: number,
  bytesTotal: number,
  filesDone: number,
  filesTotal: number,
  whenNothing: boolean,
): number {
  if (bytesTotal > 0 && bytesDone < bytesTotal) return clampFraction(bytesDone / bytesTotal);
  if (filesTotal > 0) return clampFraction(filesDone / filesTotal);
  return bytesTotal > 0 || whenNothing ? 1 : 0;
}
