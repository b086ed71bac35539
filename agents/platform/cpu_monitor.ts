/** How busy the machine's processors are, all of them and everybody on them. Rule: one reading a second, whoever asks. */
import { cpus } from "node:os";
import type { Clock } from "../../protocol/base/clock.ts";

const EVERY_MS = 1000;

export class CpuMonitor {
  readonly #stop: () => void;
  #busyMs = 0;
  #allMs = 0;
  #fraction: number | undefined;

  constructor(clock: Pick<Clock, "every">, read: () => CpuTimes = readCpuTimes) {
    ({ busyMs: this.#busyMs, allMs: this.#allMs } = read());
    this.#stop = clock.every(EVERY_MS, () => {
      const { busyMs, allMs } = read();
      if (allMs > this.#allMs) {
        this.#fraction = Math.min(1, (busyMs - this.#busyMs) / (allMs - this.#allMs));
      }
      this.#busyMs = busyMs;
      this.#allMs = allMs;
    });
  }

  /** 0–1 over the last second; undefined before the first is over. Waiting for a disk counts as idle. */
  busyFraction(): number | undefined {
    return this.#fraction;
  }

  close(): void {
    this.#stop();
  }
}

export interface CpuTimes {
  busyMs: number;
  allMs: number;
}

function readCpuTimes(): CpuTimes {
  let idleMs = 0;
  let allMs = 0;
  for (const { times } of cpus()) {
    idleMs += times.idle;
    allMs += times.user + times.nice + times.sys + times.irq + times.idle;
  }
  return { busyMs: allMs - idleMs, allMs };
}
