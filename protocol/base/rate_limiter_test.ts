/** Allowances, and that no caller can fill the table. */
import assert from "node:assert/strict";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { createRateLimiter } from "./rate_limiter.ts";

Deno.test("a key has its burst, then its rate, and no other key pays for it", async () => {
  const clock = new ManualClock();
  const { take } = createRateLimiter(clock, { perSecond: 2, burst: 3 });
  assert.deepEqual([take("a"), take("a"), take("a"), take("a"), take("b")], [0, 0, 0, 500, 0]);
  await clock.advance(500);
  assert.deepEqual([take("a"), take("a")], [0, 500]);
  await clock.advance(3_600_000);
  assert.deepEqual([take("a"), take("a"), take("a"), take("a")], [0, 0, 0, 500]);
});

Deno.test("the key unused for longest is forgotten when there are too many", () => {
  const { take } = createRateLimiter(new ManualClock(), { perSecond: 1, burst: 1 }, 2);
  assert.deepEqual([take("a"), take("b"), take("a"), take("c")], [0, 0, 1000, 0]);
  assert.deepEqual([take("a"), take("b")], [1000, 0]);
});
