import assert from "node:assert/strict";
import fc from "fast-check";
import { nextWorkerCount, startWorkerCount, withHelp, withLimits } from "./worker_count.ts";

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

Deno.test("S2-05: helpers come at once, within the limits, stay when they pay and go when they do not", () => {
  const climb = (paysUpTo: number) => {
    let state = startWorkerCount(0, { max: 8 });
    let atMs = 0;
    const run = (samples: number) => {
      for (let n = 0; n < samples; n++) {
        atMs += 1_000;
        state = nextWorkerCount(state, { atMs, score: Math.min(state.count, paysUpTo) * 1e6 });
      }
    };
    return { run, help: (more: number) => state = withHelp(state, more), count: () => state.count };
  };
  const paying = climb(6);
  paying.run(2);
  paying.help(4);
  const before = paying.count();
  assert.ok(before >= 6, "at once, not one by one");
  paying.run(60);
  assert.equal(paying.count(), 6);
  const useless = climb(2);
  useless.run(20);
  assert.equal(useless.count(), 2);
  useless.help(20);
  assert.equal(useless.count(), 8, "never more than the limit");
  useless.run(120);
  assert.ok(useless.count() <= 3, String(useless.count()));
  const state = startWorkerCount(0, { max: 2 });
  assert.equal(withHelp(state, 5), state, "where there is no room nothing begins anew");
});
