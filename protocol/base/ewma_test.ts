import assert from "node:assert/strict";
import fc from "fast-check";
import { Ewma } from "./ewma.ts";

Deno.test("an average without samples is 0 and the first sample is taken as it is", () => {
  const ewma = new Ewma(1000);
  assert.equal(ewma.value, 0);
  ewma.add(42, 5000);
  assert.equal(ewma.value, 42);
});

Deno.test("a step is 63 percent in after one time constant, however many samples report it", () => {
  for (const samples of [1, 7, 100]) {
    const ewma = new Ewma(1000);
    ewma.add(0, 0);
    for (let i = 1; i <= samples; i++) ewma.add(100, (1000 * i) / samples);
    assert.ok(Math.abs(ewma.value - 63.212) < 0.001, `${samples} samples: ${ewma.value}`);
  }
});

Deno.test("values that are not finite and times that do not move change nothing", () => {
  const ewma = new Ewma(1000);
  ewma.add(10, 100);
  ewma.add(Number.NaN, 200);
  ewma.add(Number.POSITIVE_INFINITY, 300);
  ewma.add(99, 100);
  ewma.add(99, 50);
  assert.equal(ewma.value, 10);
});

Deno.test("the average always lies between the smallest and the largest sample", () => {
  const sample = fc.record({
    value: fc.double({ min: 0, max: 1e12, noNaN: true }),
    stepMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
  });
  fc.assert(fc.property(fc.array(sample, { minLength: 1 }), (samples) => {
    const ewma = new Ewma(5000);
    let atMs = 0;
    for (const { value, stepMs } of samples) ewma.add(value, atMs += stepMs);
    const values = samples.map((s) => s.value);
    const slack = 1e-6 * Math.max(...values);
    assert.ok(ewma.value >= Math.min(...values) - slack);
    assert.ok(ewma.value <= Math.max(...values) + slack);
  }));
});

Deno.test("a time constant that is not positive is refused", () => {
  assert.throws(() => new Ewma(0), RangeError);
  assert.throws(() => new Ewma(Number.NaN), RangeError);
});
