import assert from "node:assert/strict";
import fc from "fast-check";
import { BACKOFF_MAX_MS, backoffMs } from "./backoff.ts";

Deno.test("without jitter the waits are 0.5, 1 and 2 seconds", () => {
  const waits = [1, 2, 3].map((attempt) => backoffMs(attempt, { jitterFraction: 0 }));
  assert.deepEqual(waits, [500, 1000, 2000]);
});

Deno.test("jitter moves a wait both ways by at most its fraction", () => {
  assert.equal(backoffMs(2, { jitterFraction: 0.2, random: () => 0 }), 800);
  assert.equal(backoffMs(2, { jitterFraction: 0.2, random: () => 0.5 }), 1000);
  assert.equal(backoffMs(2, { jitterFraction: 0.2, random: () => 1 }), 1200);
});

Deno.test("no wait is negative, endless or above its limit, whatever the attempt", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 10_000 }),
    fc.double({ min: 0, max: 1, noNaN: true }),
    (attempt, fraction) => {
      const waitMs = backoffMs(attempt, { random: () => fraction });
      assert.ok(waitMs >= 0 && waitMs <= BACKOFF_MAX_MS, `${waitMs}`);
    },
  ));
});

Deno.test("an attempt that is not counted from one is refused", () => {
  assert.throws(() => backoffMs(0), RangeError);
  assert.throws(() => backoffMs(1.5), RangeError);
});
