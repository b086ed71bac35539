/**
 * One lane's counters and the next report of them. Rule: what is done never goes back and never passes its total,
 * whatever order reports come in and whatever they say.
 */
import type { LaneCounters } from "../../protocol/mesh/progress.ts";

/**
 * `isFirstTotal`: the agent has just frozen its list, so its totals replace the estimate of the scan (unless it
 * gives none); from then on totals only grow.
 */
export function mergeCounters(
  old: LaneCounters,
  next: LaneCounters,
  isFirstTotal: boolean,
): LaneCounters {
  const total = (field: "filesTotal" | "bytesTotal"): number =>
    isFirstTotal && next[field] > 0
      ? Math.max(next[field], old[field === "filesTotal" ? "filesDone" : "bytesDone"])
      : Math.max(old[field], next[field]);
  const filesTotal = total("filesTotal");
  const bytesTotal = total("bytesTotal");
  const verifyFilesTotal = Math.max(old.verifyFilesTotal, next.verifyFilesTotal);
  const verifyBytesTotal = Math.max(old.verifyBytesTotal, next.verifyBytesTotal);
  const upTo = (limit: number, field: keyof LaneCounters): number =>
    Math.min(limit, Math.max(old[field], next[field]));
  return {
    filesTotal,
    bytesTotal,
    filesDone: upTo(filesTotal, "filesDone"),
    bytesDone: upTo(bytesTotal, "bytesDone"),
    filesUnchanged: upTo(filesTotal, "filesUnchanged"),
    bytesUnchanged: upTo(bytesTotal, "bytesUnchanged"),
    filesFailed: upTo(filesTotal, "filesFailed"),
    verifyFilesTotal,
    verifyBytesTotal,
    verifyFilesDone: upTo(verifyFilesTotal, "verifyFilesDone"),
    verifyBytesDone: upTo(verifyBytesTotal, "verifyBytesDone"),
  };
}

export function sumCounters(all: readonly LaneCounters[], zero: LaneCounters): LaneCounters {
  const sum = { ...zero };
  for (const counters of all) {
    for (const field of Object.keys(sum) as (keyof LaneCounters)[]) sum[field] += counters[field];
  }
  return sum;
}
