/**
 * Time as a port. Rule: nothing outside protocol/base reads the clock or sets a timer, so every test can
 * move time by hand.
 */

/** Wall time for people and files, monotonic time for intervals, and cancellable waiting. */
export interface Clock {
  /** Milliseconds since the Unix epoch; may jump when somebody sets the clock. */
  nowMs(): number;
  /** Milliseconds since an arbitrary start; never goes back. The only time intervals are taken from. */
  monotonicMs(): number;
  /** Resolves after `ms` (never early); rejects with the signal's reason when it is aborted first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `tick` every `ms` until the returned function is called. A tick never keeps the process alive. */
  every(ms: number, tick: () => void): () => void;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep(ms, signal) {
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal!.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  },
  every(ms, tick) {
    const timer = setInterval(tick, ms);
    Deno.unrefTimer(timer);
    return () => clearInterval(timer);
  },
};
