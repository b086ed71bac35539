import assert from "node:assert/strict";
import fc from "fast-check";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { TokenBucket } from "./token_bucket.ts";

const MB = 1_000_000;

/** Notes when each promise settles, in order. */
function recorder(clock: ManualClock) {
  const startMs = clock.monotonicMs();
  const log: { name: string; atMs: number; bytes: number }[] = [];
  return {
    log,
    watch(name: string, bytes: number, promise: Promise<void>): void {
      promise.then(
        () => log.push({ name, bytes, atMs: clock.monotonicMs() - startMs }),
        (reason) =>
          log.push({ name: `${name}: ${reason}`, bytes: 0, atMs: clock.monotonicMs() - startMs }),
      );
    },
  };
}

Deno.test("a full bucket lets one burst pass at once and then holds the rate exactly", async () => {
  const clock = new ManualClock();
  const bucket = new TokenBucket(clock, 8 * MB);
  assert.equal(bucket.burstBytes, 2 * MB);
  const { log, watch } = recorder(clock);
  const chunk = 100_000;
  for (let i = 0; i < 1000; i++) watch("chunk", chunk, bucket.take(chunk));
  await clock.advance(10_000);
  const passed = log.reduce((sum, entry) => sum + entry.bytes, 0);
  assert.ok(Math.abs(passed - (8 * MB * 10 + 2 * MB)) <= chunk, `${passed}`);
});

Deno.test("a request larger than the burst passes and the next one pays it off", async () => {
  const clock = new ManualClock();
  const bucket = new TokenBucket(clock, MB);
  const { log, watch } = recorder(clock);
  watch("large", 10 * MB, bucket.take(10 * MB));
  watch("small", 1, bucket.take(1));
  await clock.advance(20_000);
  assert.deepEqual(log.map((l) => l.name), ["large", "small"]);
  assert.equal(log[0]!.atMs, 0);
  assert.equal(log[1]!.atMs, 9751);
});

Deno.test("waiters are served in the order they came, small ones never overtake", async () => {
  const clock = new ManualClock();
  const bucket = new TokenBucket(clock, MB);
  const { log, watch } = recorder(clock);
  for (const [name, bytes] of [["a", MB], ["b", MB], ["c", 1], ["d", MB], ["e", 1]] as const) {
    watch(name, bytes, bucket.take(bytes));
  }
  await clock.advance(10_000);
  assert.equal(log.map((l) => l.name).join(""), "abcde");
});

Deno.test("a waiter that gives up costs nothing and the ones behind it move up", async () => {
  const clock = new ManualClock();
  const bucket = new TokenBucket(clock, MB);
  const { log, watch } = recorder(clock);
  watch("first", MB, bucket.take(MB));
  const cancel = new AbortController();
  watch("cancelled", 50 * MB, bucket.take(50 * MB, cancel.signal));
  watch("last", 1000, bucket.take(1000));
  await clock.advance(100);
  cancel.abort("gone");
  await clock.advance(2000);
  assert.deepEqual(log.map((l) => l.name), ["first", "cancelled: gone", "last"]);
  assert.ok(log[2]!.atMs <= 1000, `${log[2]!.atMs}`);
});

Deno.test("after the only waiter gave up the bucket still serves, also one that asks in the same moment", async () => {
  const clock = new ManualClock();
  const bucket = new TokenBucket(clock, MB);
  const { log, watch } = recorder(clock);
  watch("large", 2 * MB, bucket.take(2 * MB));
  const cancel = new AbortController();
  watch("cancelled", MB, bucket.take(MB, cancel.signal));
  await clock.advance(10);
  cancel.abort("gone");
  watch("same moment", 10, bucket.take(10));
  await clock.advance(5000);
  watch("later", 10, bucket.take(10));
  await clock.advance(0);
  assert.deepEqual(log.map((l) => l.name), ["large", "cancelled: gone", "same moment", "later"]);
});

Deno.test("a request with an aborted signal and a rate that is none are refused", async () => {
  const clock = new ManualClock();
  await assert.rejects(
    new TokenBucket(clock, MB).take(1, AbortSignal.abort(new Error("no"))),
    /no/,
  );
  await assert.rejects(new TokenBucket(clock, MB).take(Number.NaN), RangeError);
  assert.throws(() => new TokenBucket(clock, 0), RangeError);
});

Deno.test("in any window at most rate × window + burst + one request pass", async () => {
  const step = fc.record({
    bytes: fc.integer({ min: 0, max: 3 * MB }),
    pauseMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 1500 })),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 25 }),
      fc.integer({ min: 1000, max: 20 * MB }),
      async (steps, rate) => {
        const clock = new ManualClock();
        const bucket = new TokenBucket(clock, rate);
        const { log, watch } = recorder(clock);
        for (const { bytes, pauseMs } of steps) {
          watch("take", bytes, bucket.take(bytes));
          await clock.advance(pauseMs);
        }
        await clock.advance(1e9);
        assert.equal(log.length, steps.length, "every request is granted in the end");
        assert.deepEqual(log.map((l) => l.bytes), steps.map((s) => s.bytes), "in order");
        const largest = Math.max(...steps.map((s) => s.bytes));
        for (let from = 0; from < log.length; from++) {
          let passed = 0;
          for (let to = from; to < log.length; to++) {
            passed += log[to]!.bytes;
            const windowS = (log[to]!.atMs - log[from]!.atMs) / 1000;
            const allowed = rate * windowS + bucket.burstBytes + largest;
            assert.ok(passed <= allowed * (1 + 1e-9), `${passed} > ${allowed} in ${windowS} s`);
          }
        }
      },
    ),
    { numRuns: 60 },
  );
});
