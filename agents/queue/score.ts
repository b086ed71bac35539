/**
 * The order of files in a destination queue: priority, then smaller, then older. Rule: age grows equally for all, so
 * the order of two files never changes and a key without the current time keeps a heap valid.
 */
import { PRIORITY_LEVELS } from "../../protocol/mesh/job.ts";

/** low 0, normal 1, high 2, critical 3. */
export type Priority = (typeof PRIORITY_LEVELS)[keyof typeof PRIORITY_LEVELS];

const POINTS_PER_LEVEL = 1000;
const SMALL_FILE_POINTS = 100;
const SMALL_FILE_BYTES = 1_000_000;
const SECONDS_PER_POINT = 10;

/** 100 for files up to 1 MB, then falling with the size: 10 at 10 MB, 1 at 100 MB. */
export function sizeScore(sizeBytes: number): number {
  return SMALL_FILE_POINTS / Math.max(1, sizeBytes / SMALL_FILE_BYTES);
}

/** The score as people read it; the highest goes first. `ageS` is seconds since the file was added. */
export function score(priority: Priority, sizeBytes: number, ageS: number): number {
  return priority * POINTS_PER_LEVEL + sizeScore(sizeBytes) + ageS / SECONDS_PER_POINT;
}

/**
 * `score` without the part that is the same for all at any moment: two files compare by key as by score.
 * `addedAtMs` is monotonic time; counted from the start of the process it keeps every digit of the size score.
 */
export function staticKey(priority: Priority, sizeBytes: number, addedAtMs: number): number {
  return priority * POINTS_PER_LEVEL + sizeScore(sizeBytes) -
    addedAtMs / (1000 * SECONDS_PER_POINT);
}
