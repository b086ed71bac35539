/** When `--delete` must not delete without being told again. Pure. */

export interface GoneCounts {
  /** Files that would be removed. */
  filesGone: number;
  /** Files that were recorded before the first of those was missed. */
  filesBefore: number;
  /** Files, links and nodes that the source has now. */
  inSource: number;
  /** A folder that still stands in the source with nothing in it, and what would be removed below it. */
  emptied?: { folder: string; filesGone: number };
}

/** With fewer recorded files than this, half of them is no sign of a mistake. */
export const HALF_COUNTS_FROM_FILES = 10;

/** An empty folder that had so many files looks like a mount point without its disk. */
export const EMPTIED_COUNTS_FROM_FILES = 10;

/** Why nothing may be deleted, as the end of a sentence; undefined when it may. */
export function deletionGuard(counts: GoneCounts): string | undefined {
  const { filesGone, filesBefore, inSource, emptied } = counts;
  if (filesGone === 0) return undefined;
  if (inSource === 0) return `the source is empty, and ${files(filesGone)} would be removed`;
  if (filesBefore >= HALF_COUNTS_FROM_FILES && filesGone * 2 > filesBefore) {
    return `more than half of the copy, ${filesGone} of ${files(filesBefore)}, would be removed`;
  }
  if (emptied !== undefined && emptied.filesGone >= EMPTIED_COUNTS_FROM_FILES) {
    return `${emptied.folder} is empty now, and ${files(emptied.filesGone)} below it would be ` +
      "removed: is a disk not mounted there?";
  }
  return undefined;
}

function files(count: number): string {
  return count === 1 ? "1 file" : `${count} files`;
}
