/** Numbers as people read them. Rule: never NaN, never Infinity, and the same width class for the same size. */

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** `0 B`, `999 B`, `1.5 kB`, `34 MB`: decimal units, at most three digits and one unit. */
export function formatBytes(bytes: number): string {
  let value = Number.isFinite(bytes) && bytes > 0 ? bytes : 0;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 9.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}

/** `12,345`: grouped the same in every locale, so that scripts and people see one form. */
export function formatCount(count: number): string {
  return Math.max(0, Math.trunc(count)).toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

/** `1 file`, `2,000 files`. */
export function formatPlural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

/** `0.4 s`, `42 s`, `3m 07s`, `2h 05m`, `4d 03h`. */
export function formatDuration(ms: number): string {
  const safeMs = Number.isFinite(ms) && ms > 0 ? ms : 0;
  if (safeMs < 9_950) return `${(safeMs / 1000).toFixed(1)} s`;
  const seconds = Math.round(safeMs / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.trunc(seconds / 60)}m ${pad(seconds % 60)}s`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 1440) return `${Math.trunc(minutes / 60)}h ${pad(minutes % 60)}m`;
  const hours = Math.trunc(minutes / 60);
  return `${Math.trunc(hours / 24)}d ${pad(hours % 24)}h`;
}

/** A clock that counts: `0:42`, `12:07`, `1:02:03`. */
export function formatClock(ms: number): string {
  const seconds = Math.round(Number.isFinite(ms) && ms > 0 ? ms / 1000 : 0);
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 60) return `${minutes}:${pad(seconds % 60)}`;
  return `${Math.trunc(minutes / 60)}:${pad(minutes % 60)}:${pad(seconds % 60)}`;
}

/** `2026-03-01 14:05` in the local time zone. */
export function formatDate(atMs: number): string {
  const at = new Date(atMs);
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return `${day} ${pad(at.getHours())}:${pad(at.getMinutes())}`;
}

/** 0–100 whole percent; 100 only when everything is done. */
export function formatPercent(fraction: number): string {
  return `${Math.floor(clampFraction(fraction) * 100)}%`;
}

/** A number in [0, 1]; anything else, NaN too, is moved to the nearest end. */
export function clampFraction(fraction: number): number {
  return fraction >= 1 ? 1 : fraction > 0 ? fraction : 0;
}

function pad(value: number): string {
  return value.toString().padStart(2, "0");
}
