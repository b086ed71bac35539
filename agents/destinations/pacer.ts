/**
 * Keeps one thread at a byte rate. Rule: over any stretch, bytes ≤ rate × (time + 0.25 s) + one piece; the wait ends early
 * when the call is cancelled.
 */
import type { Clock } from "../../protocol/base/clock.ts";

export interface Pacer {
  /** Waits until the rate allows what was moved so far plus `bytes`. Blocks the thread. */
  pay(bytes: number): void;
  /** From the next piece on; what is owed stays owed. */
  setRate(bytesPerSecond: number): void;
}

export const unlimited: Pacer = { pay: () => {}, setRate: () => {} };

/** `wait(ms)` blocks. A quarter of a second of idle time earns credit, so that small pauses cost no speed; more does not. */
export function createPacer(
  bytesPerSecond: number,
  clock: Pick<Clock, "monotonicMs">,
  wait: (ms: number) => void,
): Pacer {
  let freeAtMs = clock.monotonicMs();
  let rate = bytesPerSecond;
  return {
    setRate: (next) => void (rate = next),
    pay(bytes) {
      const nowMs = clock.monotonicMs();
      freeAtMs = Math.max(freeAtMs, nowMs - CREDIT_MS) + bytes / rate * 1000;
      const waitMs = freeAtMs - nowMs;
      if (waitMs > MIN_WAIT_MS) wait(waitMs);
    },
  };
}

const CREDIT_MS = 250;
/** Shorter debts are carried over: waking a thread costs more than they are worth. */
const MIN_WAIT_MS = 2;
