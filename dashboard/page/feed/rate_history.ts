/** How fast each lane was in the last minute. Rule: bounded, by the server's clock, and forgotten with its run. */
import type { ConsoleState } from "../../../protocol/mesh/console_state.ts";

export const RATE_WINDOW_MS = 60_000;
/** Four a second for a minute. */
const SAMPLES_MAX = 240;

export interface RateSample {
  atMs: number;
  bytesPerSecond: number;
}

export type RateHistory = ReadonlyMap<string, readonly RateSample[]>;

export function laneKey(runId: string, destination: string): string {
  return `${runId}\n${destination}`;
}

/** With one more sample of every lane that is told of; what has ended keeps the picture of its last minute. */
export function withRates(history: RateHistory, state: ConsoleState, atMs: number): RateHistory {
  const next = new Map<string, readonly RateSample[]>();
  for (const [runId, { progress }] of Object.entries(state.live)) {
    for (const { destination, state: lane, gauges } of progress?.destinations ?? []) {
      const key = laneKey(runId, destination);
      const known = history.get(key) ?? [];
      const isOver = lane === "verified" || lane === "failed" || lane === "cancelled";
      const last = known.at(-1);
      if ((isOver && known.length > 0) || (last !== undefined && last.atMs >= atMs)) {
        next.set(key, known);
        continue;
      }
      const bytesPerSecond = isOver || gauges.stalledForMs > 0 ? 0 : gauges.bytesPerSecond;
      const kept = known.filter((sample) => sample.atMs > atMs - RATE_WINDOW_MS);
      next.set(key, [...kept, { atMs, bytesPerSecond }].slice(-SAMPLES_MAX));
    }
  }
  return next;
}
