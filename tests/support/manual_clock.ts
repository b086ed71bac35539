/** A clock moved by hand: sleepers and ticks fire in time order inside `advance`, and never otherwise. */
import type { Clock } from "../../protocol/base/clock.ts";

interface Alarm {
  atMs: number;
  seq: number;
  fire(): void;
}

export class ManualClock implements Clock {
  #nowMs: number;
  #wallOffsetMs = 0;
  #seq = 0;
  #alarms: Alarm[] = [];

  constructor(startMs = 1_700_000_000_000) {
    this.#nowMs = startMs;
  }

  nowMs(): number {
    return this.#nowMs + this.#wallOffsetMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  /** Sets the wall clock forward or back without moving monotonic time. */
  jumpWallClock(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const alarm = this.#add(ms, () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      });
      const onAbort = () => {
        this.#alarms = this.#alarms.filter((a) => a !== alarm);
        reject(signal!.reason);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  every(ms: number, tick: () => void): () => void {
    let stopped = false;
    const arm = () => {
      this.#add(ms, () => {
        if (stopped) return;
        arm();
        tick();
      });
    };
    arm();
    return () => {
      stopped = true;
    };
  }

  /** Moves time on by `ms`, firing what falls due, and lets promise reactions run after each alarm. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settle();
    for (;;) {
      this.#alarms.sort((a, b) => a.atMs - b.atMs || a.seq - b.seq);
      const next = this.#alarms[0];
      if (next === undefined || next.atMs > untilMs) break;
      this.#alarms.shift();
      this.#nowMs = next.atMs;
      next.fire();
      await settle();
    }
    this.#nowMs = untilMs;
  }

  #add(ms: number, fire: () => void): Alarm {
    const alarm = { atMs: this.#nowMs + Math.max(0, ms), seq: this.#seq++, fire };
    this.#alarms.push(alarm);
    return alarm;
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}
