import assert from "node:assert/strict";
import { livenessOf } from "./liveness.ts";

const FACTS = {
  heardAtMs: 0,
  probeFailedAtMs: undefined,
  heartbeatMs: 10_000,
  deadAfterMs: 30_000,
};

Deno.test("an agent is suspect when heartbeats are missing, and dead only when a probe has failed too", () => {
  const cases = [
    [0, undefined, "alive"],
    [24_999, undefined, "alive"],
    [25_000, undefined, "suspect"],
    [29_999, 26_000, "suspect"],
    [30_000, undefined, "suspect"],
    [30_000, 26_000, "dead"],
    [1e9, undefined, "suspect"],
  ] as const;
  for (const [nowMs, probeFailedAtMs, expected] of cases) {
    assert.equal(livenessOf({ ...FACTS, probeFailedAtMs }, nowMs), expected, `${nowMs}`);
  }
});

Deno.test("a probe that failed before it was heard last says nothing", () => {
  const facts = { ...FACTS, heardAtMs: 40_000, probeFailedAtMs: 39_000 };
  assert.equal(livenessOf(facts, 80_000), "suspect");
});

Deno.test("S1-39: with the defaults the timeout is 30 seconds and three heartbeats fit into it", () => {
  assert.ok(FACTS.heartbeatMs <= FACTS.deadAfterMs / 3);
  assert.equal(livenessOf({ ...FACTS, probeFailedAtMs: 1 }, 29_999), "suspect");
});
