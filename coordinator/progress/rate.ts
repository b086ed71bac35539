/** Smoothed throughput of one destination. Rule: pure; taken from our own counters, one phase at a time. */

/** Weight of the past: after this long without bytes a rate has fallen to 37 %. */
export const SMOOTHING_MS = 3000;
/** With no byte moved for this long the rate is 0 and there is no ETA. */
export const STALLED_AFTER_MS = 10_000;
/** Of the rate; nobody knows the future better than the one, and more than the other says nothing. */
const SPREAD_MIN = 0.1;
const SPREAD_MAX = 0.5;
/** Rates from shorter spans are noise. */
const SPAN_MIN_MS = 100;

export interface Rate {
  readonly phase: string;
  readonly bytes: number;
  readonly atMs: number;
  readonly movedAtMs: number;
  /** null until the first span is over. */
  readonly bytesPerSecond: number | null;
  /** How far single spans are from it, smoothed in the same way. */
  readonly deviation: number;
}

/** `bytes` is what has been moved in `phase` so far; a new phase starts from nothing. */
export function sampleRate(
  old: Rate | undefined,
  phase: string,
  bytes: number,
  nowMs: number,
): Rate {
  if (old === undefined || old.phase !== phase) {
    return { phase, bytes, atMs: nowMs, movedAtMs: nowMs, bytesPerSecond: null, deviation: 0 };
  }
  const spanMs = nowMs - old.atMs;
  if (spanMs < SPAN_MIN_MS) return old;
  const moved = Math.max(0, bytes - old.bytes);
  const movedAtMs = moved > 0 ? nowMs : old.movedAtMs;
  const now = moved / spanMs * 1000;
  const pastWeight = old.bytesPerSecond === null ? 0 : Math.exp(-spanMs / SMOOTHING_MS);
  const smoothed = pastWeight * (old.bytesPerSecond ?? 0) + (1 - pastWeight) * now;
  const deviation = pastWeight * old.deviation + (1 - pastWeight) * Math.abs(now - smoothed);
  const isStalled = nowMs - movedAtMs >= STALLED_AFTER_MS;
  return {
    phase,
    bytes,
    atMs: nowMs,
    movedAtMs,
    bytesPerSecond: isStalled ? 0 : smoothed,
    deviation,
  };
}

/** The same with the rate as much higher and lower as it varies, but at least a tenth of it. */
export function etaRangeMs(
  remainingBytes: number,
  rate: Rate | undefined,
): { low: number; high: number } | null {
  if (rate === undefined) return null;
  const { bytesPerSecond, deviation } = rate;
  if (bytesPerSecond === null || bytesPerSecond < 1) return null;
  const spread = Math.min(SPREAD_MAX, Math.max(SPREAD_MIN, deviation / bytesPerSecond));
  const at = (factor: number) => Math.round(remainingBytes / (bytesPerSecond * factor) * 1000);
  return { low: at(1 + spread), high: at(1 - spread) };
}

/** Time left at this rate; null while it is unknown or nothing moves. */
export function etaMs(remainingBytes: number, bytesPerSecond: number | null): number | null {
  if (bytesPerSecond === null || bytesPerSecond < 1) return null;
  return Math.round(remainingBytes / bytesPerSecond * 1000);
}
