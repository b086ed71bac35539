import assert from "node:assert/strict";
import fc from "fast-check";
import { nextWorkerCount, startWorkerCount, withLimits } from "./worker_count.ts";

Deno.test("whatever the limits become, the count is within them, and the same limits change nothing", () => {
  const range = fc.tuple(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 8 }))
    .map(([a, b]) => ({ min: Math.min(a, b), max: Math.max(a, b) }));
  const step = fc.oneof(
    range,
    fc.double({ min: 0.1, max: 1e9, noNaN: true }).map((score) => ({ score })),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    let state = startWorkerCount(0, {});
    let atMs = 0;
    for (const s of steps) {
      if ("min" in s) state = withLimits(state, s);
      else {
        atMs += 10_000;
        state = nextWorkerCount(state, { atMs, score: s.score });
      }
      const { count, limits } = state;
      assert.ok(count >= limits.min && count <= limits.max, JSON.stringify(state));
      assert.equal(withLimits(state, limits), state);
    }
  }));
});
