/** Which snapshots to keep. Rule: a pure function with restic's answers; an empty policy removes nothing. */
import { compareTimes, type Instant, offsetOf } from "./go_time.ts";
import { type StoredSnapshot, timeOf } from "./snapshot_file.ts";

/** Calendar first, then hours, as restic counts. */
export interface KeepDuration {
  years?: number;
  months?: number;
  days?: number;
  hours?: number;
}

export const BUCKETS = ["hourly", "daily", "weekly", "monthly", "yearly"] as const;
export type Bucket = (typeof BUCKETS)[number];

export interface KeepPolicy {
  /** So many newest; -1 is all. */
  last?: number;
  /** The newest of so many hours, days …; -1 is all. */
  counts?: Partial<Record<Bucket, number>>;
  within?: KeepDuration;
  /** The newest of every hour, day … within a time before the newest snapshot. */
  withinBuckets?: Partial<Record<Bucket, KeepDuration>>;
  /** Snapshots that have all the tags of any of the lists. */
  tags?: readonly (readonly string[])[];
  /** The oldest is kept while a rule's count is not used up, as restic does since 0.15. */
  keepOldest?: boolean;
}

export interface KeptSnapshot {
  snapshot: StoredSnapshot;
  reasons: string[];
}

export interface ForgetDecision {
  keep: KeptSnapshot[];
  remove: StoredSnapshot[];
}

export type GroupBy = "host" | "paths" | "tags";

export interface SnapshotGroup {
  host?: string;
  paths?: readonly string[];
  tags?: readonly string[];
  snapshots: StoredSnapshot[];
}

/** Snapshots that are judged together. */
export function groupSnapshots(
  snapshots: Iterable<StoredSnapshot>,
  by: readonly GroupBy[] = ["host", "paths"],
): SnapshotGroup[] {
  const groups = new Map<string, SnapshotGroup>();
  for (const snapshot of snapshots) {
    const facts: Omit<SnapshotGroup, "snapshots"> = {};
    if (by.includes("host")) facts.host = snapshot.hostname ?? "";
    if (by.includes("paths")) facts.paths = [...snapshot.paths].sort();
    if (by.includes("tags")) facts.tags = [...snapshot.tags ?? []].sort();
    const key = JSON.stringify(facts);
    const group = groups.get(key) ?? { ...facts, snapshots: [] };
    group.snapshots.push(snapshot);
    groups.set(key, group);
  }
  return [...groups.values()];
}

export function isEmptyPolicy(policy: KeepPolicy): boolean {
  return !policy.last && !policy.within && !policy.tags?.length &&
    Object.values(policy.counts ?? {}).every((count) => count === 0) &&
    Object.keys(policy.withinBuckets ?? {}).length === 0;
}

/** Decides over one group. The newest come first in both lists. */
export function applyPolicy(
  snapshots: readonly StoredSnapshot[],
  policy: KeepPolicy,
  now: Instant,
): ForgetDecision {
  const sorted = [...snapshots].sort((a, b) => compareTimes(timeOf(b), timeOf(a)));
  if (isEmptyPolicy(policy)) {
    return { keep: sorted.map((snapshot) => ({ snapshot, reasons: [] })), remove: [] };
  }
  const rules = makeRules(policy, sorted, now);
  const decision: ForgetDecision = { keep: [], remove: [] };
  sorted.forEach((snapshot, position) => {
    const isOldest = position === sorted.length - 1;
    // Every rule is asked: each counts for itself.
    const reasons = rules.map((rule) => rule(snapshot, position, isOldest))
      .filter((reason) => reason !== undefined);
    if (reasons.length > 0) decision.keep.push({ snapshot, reasons });
    else decision.remove.push(snapshot);
  });
  return decision;
}

/** Why the rule keeps the snapshot; undefined when it does not. */
type Rule = (snapshot: StoredSnapshot, position: number, isOldest: boolean) => string | undefined;

function makeRules(policy: KeepPolicy, sorted: readonly StoredSnapshot[], now: Instant): Rule[] {
  const rules: Rule[] = [];
  const keepOldest = policy.keepOldest ?? true;
  const newest = sorted.find((snapshot) => compareTimes(timeOf(snapshot), now) < 0);
  const after = (duration: KeepDuration): Instant | undefined =>
    newest === undefined ? undefined : subtract(newest, duration);

  for (const tags of policy.tags ?? []) {
    rules.push((snapshot) =>
      tags.every((tag) => snapshot.tags?.includes(tag)) ? `has tags ${tags.join(",")}` : undefined
    );
  }
  if (policy.within !== undefined) {
    const start = after(policy.within);
    rules.push((snapshot) => isAfter(snapshot, start) ? "within" : undefined);
  }
  const counted = (count: number | undefined, reason: string, key: BucketKey) => {
    if (!count) return;
    let left = count;
    let last: string | undefined;
    rules.push((snapshot, position, isOldest) => {
      if (left === 0) return undefined;
      const value = key(snapshot, position);
      if (value === last && !(isOldest && keepOldest)) return undefined;
      const isOther = value !== last;
      last = value;
      if (left > 0) left--;
      return isOther ? reason : `oldest ${reason}`;
    });
  };
  counted(policy.last, "last snapshot", (_, position) => String(position));
  for (const bucket of BUCKETS) {
    counted(policy.counts?.[bucket], `${bucket} snapshot`, (snapshot) => keyOf(bucket, snapshot));
  }
  for (const bucket of BUCKETS) {
    const duration = policy.withinBuckets?.[bucket];
    if (duration === undefined) continue;
    const start = after(duration);
    let last: string | undefined;
    rules.push((snapshot, _, isOldest) => {
      if (!isAfter(snapshot, start)) return undefined;
      const value = keyOf(bucket, snapshot);
      if (value === last && !(isOldest && keepOldest)) return undefined;
      last = value;
      return `${bucket} within`;
    });
  }
  return rules;
}

type BucketKey = (snapshot: StoredSnapshot, position: number) => string;

function isAfter(snapshot: StoredSnapshot, start: Instant | undefined): boolean {
  return start !== undefined && compareTimes(timeOf(snapshot), start) > 0;
}

/** The time of the snapshot where it was made, as if that were UTC. */
function localDate(snapshot: StoredSnapshot): Date {
  return new Date((timeOf(snapshot).sec + offsetOf(snapshot.time) * 60) * 1000);
}

function keyOf(bucket: Bucket, snapshot: StoredSnapshot): string {
  const date = localDate(snapshot);
  const text = date.toISOString();
  switch (bucket) {
    case "hourly":
      return text.slice(0, 13);
    case "daily":
      return text.slice(0, 10);
    case "weekly":
      return isoWeek(date);
    case "monthly":
      return text.slice(0, 7);
    case "yearly":
      return text.slice(0, 4);
  }
}

/** The week belongs to the year in which its Thursday lies. */
function isoWeek(date: Date): string {
  const thursday = new Date(date);
  thursday.setUTCDate(date.getUTCDate() + 3 - (date.getUTCDay() + 6) % 7);
  const yearStart = Date.UTC(thursday.getUTCFullYear(), 0, 1);
  const week = 1 + Math.floor((thursday.getTime() - yearStart) / (7 * 86_400_000));
  return `${thursday.getUTCFullYear()}-${week}`;
}

function subtract(snapshot: StoredSnapshot, duration: KeepDuration): Instant {
  const { years = 0, months = 0, days = 0, hours = 0 } = duration;
  const date = localDate(snapshot);
  const moved = new Date(date);
  // 31 March less a month is 31 February, which is 3 March, as Go has it too.
  moved.setUTCFullYear(
    date.getUTCFullYear() - years,
    date.getUTCMonth() - months,
    date.getUTCDate() - days,
  );
  const sec = moved.getTime() / 1000 - offsetOf(snapshot.time) * 60 - hours * 3600;
  return { sec: Math.floor(sec), nsec: timeOf(snapshot).nsec };
}

/** `1y5m7d2h`; undefined for what is none. */
export function parseKeepDuration(text: string): KeepDuration | undefined {
  const match = /^(?:(\d+)y)?(?:(\d+)m)?(?:(\d+)d)?(?:(\d+)h)?$/.exec(text);
  if (match === null || text === "") return undefined;
  const [years, months, days, hours] = match.slice(1).map((digits) => Number(digits ?? 0));
  return { years: years!, months: months!, days: days!, hours: hours! };
}
