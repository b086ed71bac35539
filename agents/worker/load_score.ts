/** How busy an agent is, as one number. Rule: it is the scarcest thing that counts, be it slots, processors or disks. */
import { readFileSync } from "node:fs";
import { CpuMonitor } from "../platform/cpu_monitor.ts";
import type { Clock } from "../../protocol/base/clock.ts";

export interface LoadParts {
  /** Of the slots in use, 0–1. */
  slots: number;
  /** Of the processors' time over the last second, 0–1; undefined while unknown. */
  processor: number | undefined;
  /** Of the time in which something waited for a disk, 0–1; undefined where the system does not tell. */
  disk: number | undefined;
}

/** 0.0 idle … 1.0 busy. */
export function loadScore({ slots, processor = 0, disk = 0 }: LoadParts): number {
  const score = Math.max(slots, processor, disk);
  return Number.isFinite(score) ? Math.min(1, Math.max(0, score)) : 1;
}

export interface LoadMeter {
  parts(): Omit<LoadParts, "slots">;
  close(): void;
}

const PRESSURE_FILE = "/proc/pressure/io";

/** Measures the machine. */
export function openLoadMeter(clock: Clock): LoadMeter {
  const cpu = new CpuMonitor(clock);
  return {
    parts: () => ({ processor: cpu.busyFraction(), disk: diskPressure(readPressure()) }),
    close: () => cpu.close(),
  };
}

/** The share of the last ten seconds in which all that wanted to run waited for disks; see Linux's PSI. */
export function diskPressure(text: string | undefined): number | undefined {
  const percent = /^full avg10=([\d.]+)/m.exec(text ?? "")?.[1];
  return percent === undefined ? undefined : Number(percent) / 100;
}

function readPressure(): string | undefined {
  try {
    return readFileSync(PRESSURE_FILE, "utf8");
  } catch {
    return undefined;
  }
}
