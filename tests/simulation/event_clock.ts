/**
 * Time for simulations of hundreds of thousands of events. Rule: nothing happens but what was scheduled, in the order of
 * its time, and all promise reactions of one event run before the next.
 */
import type { BootClock } from "../../protocol/base/boot_clock.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import { PriorityQueue } from "../../protocol/base/priority_queue.ts";

interface Event {
  readonly atMs: number;
  readonly fire: () => void;
  isOff: boolean;
}

/** Reactions to reactions that one event may cause. */
const REACTION_DEPTH = 12;

export class EventClock implements Clock, BootClock {
  #nowMs = 0;
  readonly #events = new PriorityQueue<Event>((a, b) => a.atMs - b.atMs);

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  bootMs(): number {
    return this.#nowMs;
  }

  /** Calls `fire` in `ms`, unless the returned function is called before. */
  in(ms: number, fire: () => void): () => void {
    const event: Event = { atMs: this.#nowMs + Math.max(0, ms), fire, isOff: false };
    this.#events.push(event);
    return () => {
      event.isOff = true;
    };
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const stop = this.in(ms, () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      });
      const onAbort = () => {
        stop();
        reject(signal!.reason);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  every(ms: number, tick: () => void): () => void {
    let stop = () => {};
    const arm = () => {
      stop = this.in(ms, () => {
        arm();
        tick();
      });
    };
    arm();
    return () => stop();
  }

  /** Lets time pass until `isOver` or the end of `untilMs`. */
  async run(untilMs: number, isOver: () => boolean): Promise<void> {
    await settle();
    while (!isOver()) {
      const next = this.#events.peek();
      if (next === undefined || next.atMs > untilMs) return;
      this.#events.pop();
      if (next.isOff) continue;
      this.#nowMs = next.atMs;
      next.fire();
      await settle();
    }
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < REACTION_DEPTH; i++) await Promise.resolve();
}
