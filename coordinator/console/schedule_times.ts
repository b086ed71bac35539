/** When a schedule is due. Rule: pure; the time it is now is handed in, and what cannot be understood is refused when it is made. */
import { Cron } from "croner";
import { BackupError } from "../../protocol/base/errors.ts";
import type { Schedule, ScheduleTimes } from "../../protocol/mesh/console_documents.ts";

/** The first time after `afterMs`; null: never. */
export function nextTimeMs(
  times: ScheduleTimes,
  afterMs: number,
  createdAtMs: number,
): number | null {
  if (times.kind === "interval") {
    const { everyMs } = times;
    const passed = Math.max(0, Math.floor((afterMs - createdAtMs) / everyMs));
    return createdAtMs + (passed + 1) * everyMs;
  }
  return cronOf(times).nextRun(new Date(afterMs))?.getTime() ?? null;
}

/** Undefined: not yet, or off. `missed`: how many times have passed without anybody seeing to them, this one too. */
export function dueMs(
  { times, isOn, seenToMs, createdAtMs }: Schedule,
  nowMs: number,
): { firstMs: number; lastMs: number } | undefined {
  if (!isOn) return undefined;
  const firstMs = nextTimeMs(times, seenToMs, createdAtMs);
  if (firstMs === null || firstMs > nowMs) return undefined;
  let lastMs = firstMs;
  for (let i = 0; i < TIMES_LOOKED_AT_MAX; i++) {
    const next = nextTimeMs(times, lastMs, createdAtMs);
    if (next === null || next > nowMs) break;
    lastMs = next;
  }
  return { firstMs, lastMs };
}

/** A machine that slept for a year has missed many; that it missed some is all that counts. */
const TIMES_LOOKED_AT_MAX = 1_000;

/** @throws {BackupError} `usage` for what is no time, or will never be one */
export function checkTimes(times: ScheduleTimes, nowMs: number): void {
  if (times.kind === "interval") return;
  let next: Date | null;
  try {
    next = cronOf(times).nextRun(new Date(nowMs));
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message.split("\n")[0] : String(thrown);
    throw new BackupError("usage", `${times.expression} is no cron expression: ${why}`, {
      hint: "Such as 0 3 * * * for three o'clock each night",
    });
  }
  if (next === null) throw new BackupError("usage", `${times.expression} is never due`);
}

/** Never started: it only says when it would be. */
function cronOf({ expression, timeZone }: Extract<ScheduleTimes, { kind: "cron" }>): Cron {
  return new Cron(expression, {
    paused: true,
    mode: "5-part",
    ...(timeZone === undefined ? {} : { timezone: timeZone }),
  });
}
