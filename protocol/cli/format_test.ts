import assert from "node:assert/strict";
import fc from "fast-check";
import {
  formatBytes,
  formatClock,
  formatCount,
  formatDate,
  formatDuration,
  formatPercent,
  formatPlural,
} from "./format.ts";

Deno.test("bytes, counts, durations and dates have one form each", () => {
  assert.deepEqual(
    [0, 999, 1000, 9949, 9960, 999_499, 999_500, 34e6, 1.25e12].map(formatBytes),
    ["0 B", "999 B", "1.0 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB", "34 MB", "1.3 TB"],
  );
  assert.deepEqual([0, 999, 1000, 1234567].map(formatCount), ["0", "999", "1,000", "1,234,567"]);
  assert.deepEqual(
    [0, 440, 9949, 9960, 59_600, 187_000, 7_500_000, 356_400_000].map(formatDuration),
    ["0.0 s", "0.4 s", "9.9 s", "10 s", "1m 00s", "3m 07s", "2h 05m", "4d 03h"],
  );
  assert.deepEqual([0, 42_000, 727_000, 3_723_000].map(formatClock), [
    "0:00",
    "0:42",
    "12:07",
    "1:02:03",
  ]);
  assert.equal(formatPlural(1, "copy", "copies"), "1 copy");
  assert.equal(formatPlural(1000, "copy", "copies"), "1,000 copies");
  assert.equal(formatDate(new Date(2026, 2, 1, 14, 5).getTime()), "2026-03-01 14:05");
});

Deno.test("a percentage is 100 only when everything is done", () => {
  assert.deepEqual([0, 0.004, 0.9999, 1].map(formatPercent), ["0%", "0%", "99%", "100%"]);
});

Deno.test("no number is ever shown as NaN or Infinity", () => {
  fc.assert(fc.property(fc.double(), (value) => {
    for (const format of [formatBytes, formatDuration, formatClock, formatPercent]) {
      assert.doesNotMatch(format(value), /NaN|Infinity|-|undefined/);
    }
  }));
});
