import assert from "node:assert/strict";
import { parseReadDataSubset } from "./check.ts";
import { applyPolicy, groupSnapshots, type KeepPolicy, parseKeepDuration } from "./forget.ts";
import type { StoredSnapshot } from "./snapshot_file.ts";

const now = { sec: Date.parse("2026-06-15T12:00:00Z") / 1000, nsec: 0 };

function at(time: string, more: Partial<StoredSnapshot> = {}): StoredSnapshot {
  return { id: time, time, tree: "t", paths: ["/a"], hostname: "here", ...more };
}

function kept(times: readonly string[], policy: KeepPolicy): string[] {
  return applyPolicy(times.map((time) => at(time)), policy, now).keep.map(({ snapshot }) =>
    snapshot.id
  );
}

Deno.test("forget: an empty policy keeps everything, minus one is all", () => {
  const times = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"];
  assert.equal(kept(times, {}).length, 2);
  assert.equal(kept(times, { last: 0, counts: { daily: 0 }, tags: [] }).length, 2);
  assert.equal(kept(times, { last: -1 }).length, 2);
});

Deno.test("forget: the oldest is kept while a rule's count lasts, and only then", () => {
  const times = ["2026-05-01T01:00:00Z", "2026-05-01T02:00:00Z", "2026-05-01T03:00:00Z"];
  assert.deepEqual(kept(times, { counts: { daily: 5 } }), [times[2], times[0]]);
  assert.deepEqual(kept(times, { counts: { daily: 1 } }), [times[2]]);
  assert.deepEqual(kept(times, { counts: { daily: 5 }, keepOldest: false }), [times[2]]);
});

Deno.test("forget: days are those of the place where the snapshot was made", () => {
  const times = ["2026-05-01T23:30:00+02:00", "2026-05-01T22:30:00Z"];
  assert.equal(kept(times, { counts: { daily: 5 }, keepOldest: false }).length, 1);
  assert.equal(kept([times[0]!, "2026-05-02T00:30:00+02:00"], { counts: { daily: 5 } }).length, 2);
});

Deno.test("forget: weeks are ISO weeks over the turn of the year", () => {
  // Wednesday 31 December 2025 and Thursday 1 January 2026 are in one week.
  const times = ["2025-12-31T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-05T00:00:00Z"];
  const policy = { counts: { weekly: 9 }, keepOldest: false };
  assert.deepEqual(kept(times, policy), [times[2], times[1]]);
});

Deno.test("forget: within counts back from the newest that is not of the future, in calendar months", () => {
  const times = [
    "2026-02-28T00:00:00Z",
    "2026-03-03T00:00:00Z",
    "2026-03-04T00:00:00Z",
    "2026-03-31T00:00:00Z",
    "2027-01-01T00:00:00Z",
  ];
  // 31 February is 3 March, and what is exactly as old is out.
  assert.deepEqual(kept(times, { within: { months: 1 } }), [times[4], times[3], times[2]]);
});

Deno.test("forget: each rule counts for itself and the reasons are told", () => {
  const snapshots = [
    at("2026-05-03T00:00:00Z", { tags: ["a", "b"] }),
    at("2026-05-02T00:00:00Z", { tags: ["a"] }),
  ];
  const { keep, remove } = applyPolicy(snapshots, {
    tags: [["a", "b"]],
    last: 1,
    counts: { yearly: 1 },
  }, now);
  assert.deepEqual(keep[0]!.reasons, ["has tags a,b", "last snapshot", "yearly snapshot"]);
  assert.equal(remove.length, 1);
});

Deno.test("forget: groups are by host and sorted paths, or by what is asked", () => {
  const snapshots = [
    at("1", { paths: ["/b", "/a"] }),
    at("2", { paths: ["/a", "/b"] }),
    at("3", { hostname: "there", tags: ["x"] }),
  ];
  assert.deepEqual(groupSnapshots(snapshots).map((g) => g.snapshots.length), [2, 1]);
  assert.equal(groupSnapshots(snapshots, []).length, 1);
  assert.equal(groupSnapshots(snapshots, ["tags"]).length, 2);
});

Deno.test("forget and check: durations and subsets are read, or refused", () => {
  assert.deepEqual(parseKeepDuration("1y5m7d2h"), { years: 1, months: 5, days: 7, hours: 2 });
  assert.deepEqual(parseKeepDuration("3d"), { years: 0, months: 0, days: 3, hours: 0 });
  for (const wrong of ["", "1", "1w", "d", "2h1d"]) {
    assert.equal(parseKeepDuration(wrong), undefined);
  }
  assert.deepEqual(parseReadDataSubset("2/5"), { kind: "part", part: 2, of: 5 });
  assert.deepEqual(parseReadDataSubset("2.5%"), { kind: "fraction", fraction: 0.025 });
  assert.deepEqual(parseReadDataSubset("50M"), { kind: "size", bytes: 50 << 20 });
  for (const wrong of ["", "0/5", "6/5", "1/300", "0%", "101%", "0", "5X"]) {
    assert.equal(parseReadDataSubset(wrong), undefined, wrong);
  }
});
