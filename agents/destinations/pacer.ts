/**
 * Keeps one thread below a byte rate. Rule: over any stretch, bytes ≤ rate × time + one piece; the wait ends early when
 * the call is cancelled.
 */
import type { Clock } from "../../protocol/base/clock.ts";

export interface Pacer {
  /** Waits until the rate allows what was moved so far plus `bytes`. Blocks the thread. */
  pay(bytes: number): void;
}

export const unlimited: Pacer = { pay: () => {} };

/**
 * `wait(ms)` blocks. Idle time earns no credit: after a pause the rate starts anew.
 */
export function createPacer(
  bytesPerSecond: number,
  clock: Pick<Clock, "monotonicMs">,
  wait: (ms: number) => void,
): Pacer {
  let freeAtMs = 0;
  return {
    pay(bytes) {
      const nowMs = clock.monotonicMs();
      freeAtMs = Math.max(freeAtMs, nowMs) + bytes / bytesPerSecond * 1000;
      const waitMs = freeAtMs - nowMs;
      if (waitMs > MIN_WAIT_MS) wait(waitMs);
    },
  };
}

/** Shorter debts are carried over: waking a thread costs more than they are worth. */
const MIN_WAIT_MS = 2;
