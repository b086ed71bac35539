/**
 * Times that a weak file system cannot hold: vfat and exFAT count from 1980 to 2107. Rule: such a time is stored as the
 * nearest one there is, and that is no change of the copy. Pure.
 */

const DAY_SEC = 86_400;
/** 1980-01-01; a day more or less, since these file systems may store local time. */
const FIRST_SEC = 315_532_800;
/** 2107-12-31. */
const LAST_SEC = 4_354_732_800;
/** 2038-01-01: exfat-fuse puts what lies beyond its end into 2071. */
const LATE_SEC = 2_145_916_800;

/** Whether `foundSec` is what became of `wantedSec`, which lies outside of what can be stored. */
export function isClamped(wantedSec: number, foundSec: number): boolean {
  if (wantedSec < FIRST_SEC + DAY_SEC) return Math.abs(foundSec - FIRST_SEC) <= DAY_SEC;
  return wantedSec > LAST_SEC - DAY_SEC && foundSec >= LATE_SEC && foundSec <= LAST_SEC + DAY_SEC;
}
