/**
 * When a running task uses a slot. Rule: a task that only waits for its slow lanes holds none, so its agent reads
 * ahead into the next directories and the fast lane never starves.
 */
import type { LaneState } from "./progress.ts";

const COPYING: ReadonlySet<LaneState> = new Set(["analyze", "manifest", "copy"]);

/** True until at least one lane is past its copying, whether it went on to flush and verify or ended. */
export function mirrorHoldsSlot(laneStates: Iterable<LaneState>): boolean {
  for (const state of laneStates) if (!COPYING.has(state)) return false;
  return true;
}
