import assert from "node:assert/strict";
import fc from "fast-check";
import { judgeStall } from "./stall_detector.ts";

const limits = { reportAfterMs: 5_000, cutAfterMs: 30_000 };

Deno.test("an idle lane never stalls, however long nothing moved", () => {
  const verdict = judgeStall({ busySinceMs: undefined, lastProgressAtMs: 0 }, limits, 1e9);
  assert.deepEqual(verdict, { stalledForMs: 0, cut: false });
});

Deno.test("a lane that starts work after a long pause has its full time", () => {
  const activity = { busySinceMs: 100_000, lastProgressAtMs: 10 };
  assert.deepEqual(judgeStall(activity, limits, 104_999), { stalledForMs: 0, cut: false });
  assert.deepEqual(judgeStall(activity, limits, 105_000), { stalledForMs: 5_000, cut: false });
});

Deno.test("a long operation that makes progress is neither stalled nor cut", () => {
  const activity = { busySinceMs: 0, lastProgressAtMs: 3_599_000 };
  assert.deepEqual(judgeStall(activity, limits, 3_600_000), { stalledForMs: 0, cut: false });
});

Deno.test("an operation without any progress is reported first and cut at its deadline", () => {
  const activity = { busySinceMs: 1_000, lastProgressAtMs: undefined };
  assert.deepEqual(judgeStall(activity, limits, 30_999), { stalledForMs: 29_999, cut: false });
  assert.deepEqual(judgeStall(activity, limits, 31_000), { stalledForMs: 30_000, cut: true });
});

Deno.test("without progress a stall only gets longer, and a cut is never taken back", () => {
  const time = fc.integer({ min: 0, max: 200_000 });
  fc.assert(
    fc.property(time, fc.option(time, { nil: undefined }), time, time, (busy, last, a, b) => {
      const activity = { busySinceMs: busy, lastProgressAtMs: last };
      const earlier = judgeStall(activity, limits, Math.min(a, b));
      const later = judgeStall(activity, limits, Math.max(a, b));
      assert.ok(later.stalledForMs >= earlier.stalledForMs && earlier.stalledForMs >= 0);
      assert.ok(later.cut || !earlier.cut);
    }),
  );
});
