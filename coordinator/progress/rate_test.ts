/** Throughput and ETA: smoothed, per phase, and null rather than wrong. */
import assert from "node:assert/strict";
import { etaMs, type Rate, sampleRate, STALLED_AFTER_MS } from "./rate.ts";

function after(steps: number, bytesPerStep: number, from?: Rate): Rate {
  let rate = from ?? sampleRate(undefined, "copy", 0, 0);
  for (let i = 0; i < steps; i++) {
    rate = sampleRate(rate, "copy", rate.bytes + bytesPerStep, rate.atMs + 250);
  }
  return rate;
}

Deno.test("the first look gives no rate and the second gives what moved between", () => {
  assert.equal(after(0, 0).bytesPerSecond, null);
  assert.equal(after(1, 250).bytesPerSecond, 1000);
});

Deno.test("a steady flow gives its own rate and a change is taken over bit by bit", () => {
  const steady = after(40, 250);
  assert.ok(Math.abs(steady.bytesPerSecond! - 1000) < 1e-6);
  const faster = after(1, 2500, steady).bytesPerSecond!;
  assert.ok(faster > 1000 && faster < 3000);
  assert.ok(after(80, 2500, steady).bytesPerSecond! > 9900);
});

Deno.test("a rate does not depend on how often it is looked at", () => {
  const rare = sampleRate(after(40, 250), "copy", 20_000, 15_000).bytesPerSecond!;
  const often = after(20, 500, after(40, 250)).bytesPerSecond!;
  assert.ok(Math.abs(rare - often) < 1);
});

Deno.test("looks that are too close together change nothing", () => {
  const rate = after(4, 250);
  assert.equal(sampleRate(rate, "copy", rate.bytes + 1e9, rate.atMs + 1), rate);
});

Deno.test("a new phase starts from nothing", () => {
  assert.equal(sampleRate(after(9, 250), "verify", 5, 9999).bytesPerSecond, null);
});

Deno.test("when nothing has moved for long the rate is 0 and the ETA unknown", () => {
  const stalled = after(STALLED_AFTER_MS / 250, 0, after(40, 250));
  assert.equal(stalled.bytesPerSecond, 0);
  assert.equal(etaMs(1e6, stalled.bytesPerSecond), null);
});

Deno.test("an ETA is the remaining bytes at the rate, and null without one", () => {
  assert.equal(etaMs(2000, 1000), 2000);
  assert.equal(etaMs(0, 1000), 0);
  assert.equal(etaMs(2000, null), null);
  assert.equal(etaMs(2000, 0.5), null);
});
