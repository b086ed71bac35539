/**
 * A limit on bytes per second. Rule: first come, first served, and the long-run rate is exact; what was granted
 * beyond the tokens at hand is a debt that the next ones wait for.
 */
import type { Clock } from "./clock.ts";

/** A bucket holds at least this many bytes, so that slow limits do not split small files into single packets. */
export const BURST_MIN_BYTES = 64 * 1024;
/** … and otherwise what flows in this time. */
export const BURST_SECONDS = 0.25;

interface Waiter {
  readonly bytes: number;
  readonly grant: () => void;
}

export class TokenBucket {
  readonly bytesPerSecond: number;
  /** The most that can pass at once after a pause. */
  readonly burstBytes: number;
  readonly #clock: Clock;
  readonly #waiters: Waiter[] = [];
  #tokens: number;
  #filledAtMs: number;
  /** Aborts the sleep of the pump; undefined while nobody waits. */
  #pumping: AbortController | undefined;

  /** @throws {RangeError} unless the rate is finite and > 0. */
  constructor(clock: Clock, bytesPerSecond: number) {
    if (!(bytesPerSecond > 0 && Number.isFinite(bytesPerSecond))) {
      throw new RangeError(`Not a rate: ${bytesPerSecond} bytes per second`);
    }
    this.#clock = clock;
    this.bytesPerSecond = bytesPerSecond;
    this.burstBytes = Math.max(BURST_MIN_BYTES, bytesPerSecond * BURST_SECONDS);
    this.#tokens = this.burstBytes;
    this.#filledAtMs = clock.monotonicMs();
  }

  /**
   * Resolves when `bytes` may pass. A request larger than the burst is granted early and paid off by those after
   * it. Rejects with the signal's reason when aborted while waiting; it then costs nothing.
   */
  take(bytes: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (!(bytes >= 0)) return Promise.reject(new RangeError(`Cannot take ${bytes} bytes`));
    if (this.#waiters.length === 0 && this.#waitMs(bytes) === 0) {
      this.#tokens -= bytes;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        if (this.#waiters.length === 0) this.#pumping?.abort();
        reject(signal!.reason);
      };
      const waiter: Waiter = {
        bytes,
        grant: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiters.push(waiter);
      if (this.#pumping === undefined) this.#pump();
    });
  }

  /** Serves waiters in order until none is left. */
  async #pump(): Promise<void> {
    const pumping = new AbortController();
    this.#pumping = pumping;
    for (let head = this.#waiters[0]; head !== undefined; head = this.#waiters[0]) {
      const waitMs = this.#waitMs(head.bytes);
      if (waitMs === 0) {
        this.#waiters.shift();
        this.#tokens -= head.bytes;
        head.grant();
        continue;
      }
      try {
        await this.#clock.sleep(waitMs, pumping.signal);
      } catch {
        // The last waiter gave up. One that came since then has seen a pump at work, so look again.
        if (this.#waiters.length > 0) return this.#pump();
      }
    }
    this.#pumping = undefined;
  }

  /** 0 when `bytes` can pass now, otherwise whole ms until they can. */
  #waitMs(bytes: number): number {
    const nowMs = this.#clock.monotonicMs();
    const flowed = ((nowMs - this.#filledAtMs) / 1000) * this.bytesPerSecond;
    this.#tokens = Math.min(this.burstBytes, this.#tokens + flowed);
    this.#filledAtMs = nowMs;
    // Half a burst is enough to pass: a timer that fires late then wastes no tokens on a full bucket.
    const missing = Math.min(bytes, this.burstBytes / 2) - this.#tokens;
    return missing <= 0 ? 0 : Math.ceil((missing / this.bytesPerSecond) * 1000);
  }
}
