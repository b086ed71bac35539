import assert from "node:assert/strict";
import fc from "fast-check";
import { createPacer } from "./pacer.ts";

/** Waits this short are carried over. */
const CARRIED_MS = 2;
/** Idle time that earns credit. */
const CREDIT_MS = 250;

function paced(
  rate: number,
): { pay: (bytes: number) => void; now: () => number; idle: (ms: number) => void } {
  let nowMs = 5000;
  const pacer = createPacer(rate, { monotonicMs: () => nowMs }, (ms) => nowMs += ms);
  return { pay: (bytes) => pacer.pay(bytes), now: () => nowMs, idle: (ms) => nowMs += ms };
}

Deno.test("over any stretch no more passes than rate × (time + credit) and one piece", () => {
  const step = fc.record({ bytes: fc.integer({ min: 0, max: 300_000 }), idleMs: fc.nat(1000) });
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 1000, max: 10_000_000 }),
      (steps, rate) => {
        const pacer = paced(rate);
        const passed: { atMs: number; bytes: number }[] = [];
        for (const { bytes, idleMs } of steps) {
          pacer.idle(idleMs);
          pacer.pay(bytes);
          passed.push({ atMs: pacer.now(), bytes });
        }
        for (let from = 0; from < passed.length; from++) {
          let sum = 0;
          for (let to = from; to < passed.length; to++) {
            sum += passed[to]!.bytes;
            const spanMs = passed[to]!.atMs - passed[from]!.atMs + CREDIT_MS + CARRIED_MS;
            const allowed = rate * spanMs / 1000 + passed[from]!.bytes;
            assert.ok(sum <= allowed + 1e-6 * sum, `${sum} > ${allowed}`);
          }
        }
      },
    ),
  );
});

Deno.test("another rate counts from the next piece on, and what is owed stays owed", () => {
  let nowMs = 0;
  const pacer = createPacer(1_000, { monotonicMs: () => nowMs }, (ms) => nowMs += ms);
  for (let i = 0; i < 10; i++) pacer.pay(1_000);
  const halfMs = nowMs;
  assert.ok(Math.abs(halfMs - 10_000) <= CREDIT_MS + CARRIED_MS, `${halfMs}`);
  pacer.setRate(10_000);
  for (let i = 0; i < 10; i++) pacer.pay(1_000);
  assert.ok(Math.abs(nowMs - halfMs - 1_000) <= CARRIED_MS, `${nowMs}`);
});

Deno.test("work without pauses runs at the rate, not below", () => {
  const pacer = paced(1_000_000);
  const startMs = pacer.now();
  for (let k = 0; k < 1000; k++) pacer.pay(10_000);
  const tookMs = pacer.now() - startMs;
  assert.ok(tookMs >= 10_000 - CREDIT_MS - CARRIED_MS && tookMs <= 10_000, `${tookMs}`);
});

Deno.test("an hour of idling earns no more than a moment does", () => {
  const after = (idleMs: number) => {
    const pacer = paced(1_000_000);
    pacer.pay(1);
    pacer.idle(idleMs);
    const startMs = pacer.now();
    pacer.pay(2_000_000);
    return pacer.now() - startMs;
  };
  assert.equal(after(3_600_000), after(1000));
  assert.ok(after(3_600_000) >= 2000 - CREDIT_MS);
});
