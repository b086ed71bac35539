/** Where one entry stands at one destination: one byte in shared memory, written only by that destination's threads. */

export const STATUS_NONE = 0;
/** To be copied, made or linked. */
export const STATUS_WANTED = 1;
/** As the manifest says, nothing to do. */
export const STATUS_UNCHANGED = 2;
/** Whole under its temporary name, not yet flushed. */
export const STATUS_STAGED = 3;
/** Under its final name, flushed, not yet read back. */
export const STATUS_PUBLISHED = 4;
/** Read back and equal to what this run read from the source. */
export const STATUS_VERIFIED = 5;
export const STATUS_FAILED = 6;
/** Left by an interrupted run under its final name; still to be read back. */
export const STATUS_ADOPTED = 7;
/** A directory whose mode, owner or times are still to be set. */
export const STATUS_UNFINISHED = 8;
/** Read back and equal to the hash that the manifest or journal knew; the source was not read again. */
export const STATUS_REVERIFIED = 9;
/** The destination cannot hold it: its line in the manifest is all there is, see recorded_only.ts. */
export const STATUS_RECORDED = 10;

/** Under its final name, and still to be read back. */
export function isPublished(status: number | undefined): boolean {
  return status === STATUS_PUBLISHED || status === STATUS_ADOPTED;
}
