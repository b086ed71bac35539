import assert from "node:assert/strict";
import fc from "fast-check";
import { type Priority, score, sizeScore, staticKey } from "./score.ts";

Deno.test("the score is priority × 1000 + 100 / max(1, size / 1 MB) + age / 10", () => {
  assert.equal(score(0, 0, 0), 100);
  assert.equal(score(1, 1_000_000, 0), 1100);
  assert.equal(score(2, 10_000_000, 50), 2015);
  assert.equal(score(3, 100_000_000, 7), 3001.7);
});

Deno.test("every file up to 1 MB gets the full 100, larger ones less", () => {
  assert.deepEqual([0, 1, 1_000_000].map(sizeScore), [100, 100, 100]);
  assert.deepEqual([2_000_000, 10_000_000, 100_000_000].map(sizeScore), [50, 10, 1]);
});

Deno.test("one priority level is worth 10,000 seconds of waiting and smallness at most 1,000", () => {
  assert.equal(score(2, 0, 0), score(1, 0, 10_000));
  assert.ok(score(2, 0, 0) > score(1, 0, 9_999));
  assert.ok(score(1, 1e15, 1_001) > score(1, 0, 0));
  assert.ok(score(1, 1e15, 999) < score(1, 0, 0));
});

Deno.test("higher priority, smaller and older each go first when the rest is equal", () => {
  assert.ok(score(3, 5e6, 9) > score(2, 5e6, 9));
  assert.ok(score(1, 5e6, 9) > score(1, 6e6, 9));
  assert.ok(score(1, 5e6, 10) > score(1, 5e6, 9));
});

Deno.test("two files compare by static key as by score, at any later time", () => {
  const file = fc.record({
    priority: fc.integer({ min: 0, max: 3 }) as fc.Arbitrary<Priority>,
    sizeBytes: fc.integer({ min: 0, max: 10 ** 13 }),
    addedAtMs: fc.integer({ min: 0, max: 10 ** 9 }),
  });
  fc.assert(fc.property(file, file, fc.integer({ min: 0, max: 10 ** 9 }), (a, b, laterMs) => {
    const nowMs = Math.max(a.addedAtMs, b.addedAtMs) + laterMs;
    const scoreOf = (f: typeof a) => score(f.priority, f.sizeBytes, (nowMs - f.addedAtMs) / 1000);
    const keyOf = (f: typeof a) => staticKey(f.priority, f.sizeBytes, f.addedAtMs);
    const byScore = scoreOf(a) - scoreOf(b);
    const byKey = keyOf(a) - keyOf(b);
    assert.ok(Math.abs(byScore - byKey) < 1e-6, `${byScore} and ${byKey}`);
  }));
});
