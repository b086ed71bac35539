/**
 * Owners, modes, times and extended attributes that a destination did not take, counted by all of its threads. Rule: one
 * warning a kind, since the content matters more.
 */

export const NOT_KEPT_BYTES = 16;
/** Places in the counters. */
export const NOT_KEPT_OWNERS = 0;
export const NOT_KEPT_MODES = 1;
export const NOT_KEPT_TIMES = 2;
export const NOT_KEPT_XATTRS = 3;

/** What can never be kept there was said when the destination was opened. */
export function notKeptWarnings(
  counts: Int32Array,
  keeps: { modes: boolean; owners: boolean },
): string[] {
  const owners = counts[NOT_KEPT_OWNERS]!;
  const modes = counts[NOT_KEPT_MODES]!;
  const times = counts[NOT_KEPT_TIMES]!;
  const xattrs = counts[NOT_KEPT_XATTRS]!;
  const warnings: string[] = [];
  if (owners > 0 && keeps.owners) {
    warnings.push(
      `${owners} owners could not be kept: that needs root and a file system with owners`,
    );
  }
  if (modes > 0 && keeps.modes) {
    warnings.push(`modes of ${modes} files and folders could not be kept on this file system`);
  }
  if (times > 0) {
    warnings.push(`times of ${times} files and folders could not be kept on this file system`);
  }
  if (xattrs > 0) {
    warnings.push(
      `extended attributes or ACLs of ${xattrs === 1 ? "one entry" : `${xattrs} entries`} ` +
        "could not be kept here; the manifest has them",
    );
  }
  return warnings;
}
