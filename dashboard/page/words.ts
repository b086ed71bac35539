/** Words and numbers of the page. Rule: pure, the same for everybody, and of one width while only digits change. */
import { formatDuration } from "../../protocol/cli/format.ts";
import { CAPABILITIES, missingCapabilities } from "../../protocol/mesh/capability.ts";
import type { RunState } from "../../protocol/mesh/job.ts";
import type { FileMark } from "../../protocol/mesh/run.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** `40 s`, `12 min`, `2–3 h`: coarse enough not to jump. */
export function formatLeft({ low, high }: { low: number; high: number }): string {
  const [unitMs, name] = high < 1.5 * MINUTE_MS
    ? [1_000, "s"] as const
    : high < 1.5 * HOUR_MS
    ? [MINUTE_MS, "min"] as const
    : [HOUR_MS, "h"] as const;
  const from = Math.max(1, Math.round(low / unitMs));
  const to = Math.max(from, Math.round(high / unitMs));
  return from === to ? `${to} ${name}` : `${from}–${to} ${name}`;
}

/** `just now`, `12 s ago`, `3 min ago`, `2 h ago`, `5 d ago`. */
export function formatAgo(ageMs: number): string {
  if (ageMs < 2_000) return "just now";
  if (ageMs < MINUTE_MS) return `${Math.floor(ageMs / 1_000)} s ago`;
  if (ageMs < HOUR_MS) return `${Math.floor(ageMs / MINUTE_MS)} min ago`;
  if (ageMs < 2 * DAY_MS) return `${Math.floor(ageMs / HOUR_MS)} h ago`;
  return `${Math.floor(ageMs / DAY_MS)} d ago`;
}

/** `in 12 min`. */
export function formatUntil(leftMs: number): string {
  if (leftMs <= 0) return "now";
  if (leftMs < MINUTE_MS) return `in ${Math.ceil(leftMs / 1_000)} s`;
  if (leftMs < HOUR_MS) return `in ${Math.round(leftMs / MINUTE_MS)} min`;
  if (leftMs < 2 * DAY_MS) return `in ${Math.round(leftMs / HOUR_MS)} h`;
  return `in ${Math.round(leftMs / DAY_MS)} d`;
}

/** `every 15 min`. */
export function formatEvery(ms: number): string {
  for (const [unitMs, name] of [[DAY_MS, "d"], [HOUR_MS, "h"], [MINUTE_MS, "min"]] as const) {
    if (ms >= unitMs && ms % unitMs === 0) return `every ${ms / unitMs} ${name}`;
  }
  return `every ${formatDuration(ms)}`;
}

export const RUN_STATE_WORDS: Record<RunState, string> = {
  queued: "Waiting",
  planning: "Looking at the files",
  running: "Running",
  completed: "Completed",
  partial: "Incomplete",
  failed: "Failed",
  cancelled: "Cancelled",
};

export const MARK_WORDS: Record<FileMark, string> = {
  copied: "copied",
  verified: "verified",
  failed: "failed",
};

/** The last part of a path, for where the whole does not fit. */
export function lastPart(path: string): string {
  return path.replace(/\/+$/, "").split("/").at(-1) || path;
}

/** `Documents, Projects and 3 more`. */
export function listSome(names: readonly string[], most = 3): string {
  if (names.length <= most) return names.join(", ");
  return `${names.slice(0, most).join(", ")} and ${names.length - most} more`;
}

/** Made once: it is asked a thousand times a tick. */
const COLLATOR = new Intl.Collator("en", { numeric: true });

/** `worker-2` comes before `worker-10`. */
export function byName(a: string, b: string): number {
  return COLLATOR.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
}

export function canEverything(capabilities: readonly string[]): boolean {
  return missingCapabilities(CAPABILITIES, capabilities).length === 0;
}

/** What an agent can, as short as it can be said. */
export function capabilityWords(capabilities: readonly string[]): string {
  if (canEverything(capabilities)) return "everything";
  return capabilities.map((id) => id.replace(/^backup\./, "")).join(", ");
}

/** What a look at a place came to, as `testDestination` answers it. */
export function placeTestWords(name: string, answer: unknown): { isWell: boolean; text: string } {
  const { found: { exists, isWritable, problem } } = answer as {
    found: { exists: boolean; isWritable?: boolean; problem?: string };
  };
  if (problem !== undefined) return { isWell: false, text: `${name}: ${problem}` };
  if (!exists) return { isWell: true, text: `${name} is not there yet; the first run makes it` };
  return { isWell: true, text: `${name} ${isWritable === true ? "can be written" : "is there"}` };
}
