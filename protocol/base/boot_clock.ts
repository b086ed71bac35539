/**
 * Time that goes on while the machine sleeps, for leases and liveness. Rule: a peer that did not sleep counts every
 * second, so whoever promises something to it must count them too; the plain monotonic clock stands still in suspend.
 */
import { readFileSync } from "node:fs";
import { kernelBootMs } from "./boot_time.ts";

export interface BootClock {
  /** Milliseconds since an arbitrary start, suspend included; never goes back. */
  bootMs(): number;
}

/** What the kernel counts since boot, at a resolution of 10 ms. */
const UPTIME_FILE = "/proc/uptime";

/**
 * Reads CLOCK_BOOTTIME where Linux shows it. Elsewhere the wall clock is the only one that runs in suspend; it may be
 * set back, so it is combined with the monotonic one and only ever goes forward.
 */
export function openBootClock(
  read: () => string = readUptime,
  fallback: { nowMs(): number; monotonicMs(): number } = {
    nowMs: () => Date.now(),
    monotonicMs: () => performance.now(),
  },
): BootClock {
  let lastMs = -Infinity;
  let wallMs = fallback.nowMs();
  let steadyMs = fallback.monotonicMs();
  let elapsedMs = 0;
  let hasUptime = uptimeMs(read) !== undefined;

  function fallbackMs(): number {
    const nowMs = fallback.nowMs();
    const nowSteadyMs = fallback.monotonicMs();
    elapsedMs += Math.max(nowMs - wallMs, nowSteadyMs - steadyMs, 0);
    wallMs = nowMs;
    steadyMs = nowSteadyMs;
    return elapsedMs;
  }

  return {
    bootMs() {
      const uptime = hasUptime ? uptimeMs(read) : undefined;
      // Two clocks must not be mixed: once it could not be read, time goes on from there by the other.
      if (hasUptime && uptime === undefined) {
        hasUptime = false;
        elapsedMs = Math.max(0, lastMs);
        wallMs = fallback.nowMs();
        steadyMs = fallback.monotonicMs();
      }
      lastMs = Math.max(lastMs, uptime ?? fallbackMs());
      return lastMs;
    },
  };
}

/** In seconds. By a call of its own where that goes, as threads ask for it. */
function readUptime(): string {
  const ms = kernelBootMs();
  return ms === undefined ? readFileSync(UPTIME_FILE, "utf8") : String(ms / 1000);
}

function uptimeMs(read: () => string): number | undefined {
  try {
    const seconds = Number(read().split(" ", 1)[0]);
    return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined;
  } catch {
    return undefined;
  }
}
