/** Smoothed throughput of one destination. Rule: pure; taken from our own counters, one phase at a time. */

/** Weight of the past: after this long without bytes a rate has fallen to 37 %. */
export const SMOOTHING_MS = 3000;
/** With no byte moved for this long the rate is 0 and there is no ETA. */
export const STALLED_AFTER_MS = 10_000;
/** Rates from shorter spans are noise. */
const SPAN_MIN_MS = 100;

export interface Rate {
  readonly phase: string;
  readonly bytes: number;
  readonly atMs: number;
  readonly movedAtMs: number;
  /** null until the first span is over. */
  readonly bytesPerSecond: number | null;
}

/** `bytes` is what has been moved in `phase` so far; a new phase starts from nothing. */
export function sampleRate(
  old: Rate | undefined,
  phase: string,
  bytes: number,
  nowMs: number,
): Rate {
  if (old === undefined || old.phase !== phase) {
    return { phase, bytes, atMs: nowMs, movedAtMs: nowMs, bytesPerSecond: null };
  }
  const spanMs = nowMs - old.atMs;
  if (spanMs < SPAN_MIN_MS) return old;
  const moved = Math.max(0, bytes - old.bytes);
  const movedAtMs = moved > 0 ? nowMs : old.movedAtMs;
  const now = moved / spanMs * 1000;
  const pastWeight = old.bytesPerSecond === null ? 0 : Math.exp(-spanMs / SMOOTHING_MS);
  const smoothed = pastWeight * (old.bytesPerSecond ?? 0) + (1 - pastWeight) * now;
  const isStalled = nowMs - movedAtMs >= STALLED_AFTER_MS;
  return { phase, bytes, atMs: nowMs, movedAtMs, bytesPerSecond: isStalled ? 0 : smoothed };
}

/** Time left at this rate; null while it is unknown or nothing moves. */
export function etaMs(remainingBytes: number, bytesPerSecond: number | null): number | null {
  if (bytesPerSecond === null || bytesPerSecond < 1) return null;
  return Math.round(remainingBytes / bytesPerSecond * 1000);
}
