/** When `--delete` must not delete without being told again. Pure. */

export interface GoneCounts {
  /** Files that would be removed. */
  filesGone: number;
  /** Files that were recorded before the first of those was missed. */
  filesBefore: number;
  /** Files, links and nodes that the source has now. */
  inSource: number;
}

/** With fewer recorded files than this, half of them is no sign of a mistake. */
export const HALF_COUNTS_FROM_FILES = 10;

/** Why nothing may be deleted, as the end of a sentence; undefined when it may. */
export function deletionGuard(counts: GoneCounts): string | undefined {
  const { filesGone, filesBefore, inSource } = counts;
  if (filesGone === 0) return undefined;
  if (inSource === 0) return `the source is empty, and ${files(filesGone)} would be removed`;
  if (filesBefore >= HALF_COUNTS_FROM_FILES && filesGone * 2 > filesBefore) {
    return `more than half of the copy, ${filesGone} of ${files(filesBefore)}, would be removed`;
  }
  return undefined;
}

function files(count: number): string {
  return count === 1 ? "1 file" : `${count} files`;
}
