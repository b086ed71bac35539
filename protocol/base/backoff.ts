/** How long to wait before the next attempt. Rule: waits grow, have a limit, and are never the same for everybody. */
import { randomFraction } from "./ids.ts";

export const BACKOFF_BASE_MS = 500;
export const BACKOFF_FACTOR = 2;
export const BACKOFF_MAX_MS = 30_000;
export const BACKOFF_JITTER_FRACTION = 0.2;

export interface BackoffOptions {
  /** The wait after the first failed attempt, before jitter. */
  baseMs?: number;
  factor?: number;
  /** No wait is longer, jitter included. */
  maxMs?: number;
  /** 0–1: a wait is spread evenly over ± this part of itself. */
  jitterFraction?: number;
  /** A number in [0, 1). */
  random?: () => number;
}

/**
 * The wait in ms after failed attempt number `attempt` (1, 2, …): 0.5, 1, 2 s … ± 20 % by default.
 * @throws {RangeError} when `attempt` is not a whole number ≥ 1.
 */
export function backoffMs(attempt: number, options: BackoffOptions = {}): number {
  if (!Number.isInteger(attempt) || attempt < 1) {
    throw new RangeError(`Attempts are counted from 1, got ${attempt}`);
  }
  const {
    baseMs = BACKOFF_BASE_MS,
    factor = BACKOFF_FACTOR,
    maxMs = BACKOFF_MAX_MS,
    jitterFraction = BACKOFF_JITTER_FRACTION,
    random = randomFraction,
  } = options;
  const plainMs = Math.min(maxMs, baseMs * factor ** (attempt - 1));
  return Math.min(maxMs, plainMs * (1 + jitterFraction * (2 * random() - 1)));
}
