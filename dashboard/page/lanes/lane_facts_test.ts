import assert from "node:assert/strict";
import fc from "fast-check";
import { PHASES, ZERO_COUNTERS, ZERO_GAUGES } from "../../../protocol/mesh/progress.ts";
import type { DestinationProgress } from "../../../protocol/mesh/run.ts";
import { laneFacts, pillsOf, STALLED_AFTER_MS, workerDots } from "./lane_facts.ts";

function lane(more: Partial<DestinationProgress> = {}): DestinationProgress {
  return {
    destination: "nas",
    state: "copy",
    pills: {
      analyze: "done",
      manifest: "done",
      copy: "active",
      flush: "pending",
      verify: "pending",
    },
    counters: { ...ZERO_COUNTERS, filesTotal: 10, bytesTotal: 90, filesDone: 1, bytesDone: 49 },
    gauges: ZERO_GAUGES,
    etaMs: null,
    fastest: false,
    elapsedMs: 1_000,
    ...more,
  };
}

const count = fc.nat(1_000_000);
const lanes: fc.Arbitrary<DestinationProgress> = fc.record({
  state: fc.constantFrom(...PHASES, "verified", "failed", "cancelled"),
  counters: fc.record({
    filesTotal: count,
    bytesTotal: count,
    filesDone: count,
    bytesDone: count,
    filesUnchanged: count,
    bytesUnchanged: count,
    filesFailed: count,
    verifyFilesTotal: count,
    verifyBytesTotal: count,
    verifyFilesDone: count,
    verifyBytesDone: count,
  }),
  stalledForMs: fc.nat(60_000),
}).map(({ state, counters, stalledForMs }) =>
  lane({ state, counters, gauges: { ...ZERO_GAUGES, stalledForMs } })
);

Deno.test("whatever is told, 0 ≤ shown ≤ total, 100 % is said of what is done only, and nothing is NaN", () => {
  fc.assert(fc.property(lanes, fc.boolean(), (some, isPaused) => {
    const facts = laneFacts(some, isPaused);
    for (const fraction of [facts.copied, facts.verified, facts.percent / 100]) {
      assert.ok(fraction >= 0 && fraction <= 1, String(fraction));
    }
    assert.ok(facts.files.done <= facts.files.total);
    assert.ok(facts.bytes.done <= facts.bytes.total);
    if (facts.percent === 100) assert.ok(facts.copied === 1 || facts.verified === 1);
    assert.ok(!facts.label.includes("NaN") && !facts.left.includes("NaN"));
  }));
});

Deno.test("copying fills the bar, verifying replaces that in the same bar", () => {
  assert.deepEqual(pick(laneFacts(lane(), false)), [0.5, 0, 50, "Copying 50 %"]);
  const counters = {
    ...ZERO_COUNTERS,
    ...{ filesTotal: 10, bytesTotal: 90, filesDone: 10, bytesDone: 90 },
    ...{ verifyFilesTotal: 10, verifyBytesTotal: 90, verifyFilesDone: 2, verifyBytesDone: 18 },
  };
  assert.deepEqual(
    pick(laneFacts(lane({ state: "verify", counters }), false)),
    [1, 0.2, 20, "Verifying 20 %"],
  );
  assert.deepEqual(
    pick(laneFacts(lane({ state: "verified", counters }), false)),
    [1, 1, 100, "Verified"],
  );
});

Deno.test("a lane that does not move says so instead of a time that is left", () => {
  const gauges = { ...ZERO_GAUGES, stalledForMs: 20_000 };
  const stalled = laneFacts(lane({ gauges, etaMs: 5_000 }), false);
  assert.equal(stalled.left, "stalled 20 s");
  assert.equal(stalled.tone, "stalled");
  const brief = { ...ZERO_GAUGES, stalledForMs: STALLED_AFTER_MS - 1 };
  const goesOn = laneFacts(
    lane({ gauges: brief, etaRangeMs: { low: 120_000, high: 180_000 } }),
    false,
  );
  assert.equal(goesOn.left, "2–3 min to copy");
  assert.equal(laneFacts(lane({ gauges }), true).label, "Paused at 50 %");
  assert.equal(laneFacts(lane({ gauges }), true).left, "");
});

Deno.test("a lane whose agent is silent names it, unless the lane is at its end", () => {
  const waitsFor = [{ agent: "attic", silentForMs: 12_400 }];
  assert.equal(laneFacts(lane(), false).waits, "");
  assert.equal(
    laneFacts(lane({ waitsFor }), false).waits,
    "Waiting for agent attic, silent for 12 s",
  );
  assert.equal(laneFacts(lane({ waitsFor, state: "verified" }), false).waits, "");
  const two = [...waitsFor, { agent: "cellar", silentForMs: 30_000 }];
  assert.equal(
    laneFacts(lane({ waitsFor: two }), false).waits,
    "Waiting for agent cellar and 1 other, silent for 30 s",
  );
});

Deno.test("five pills in order, and one to eight dots", () => {
  assert.deepEqual(
    pillsOf(lane().pills).map(({ name, state }) => `${name} ${state}`),
    ["Analyze done", "Manifest done", "Copy active", "Flush pending", "Verify pending"],
  );
  assert.deepEqual(workerDots({ ...ZERO_GAUGES, workers: 0 }), { busy: 0, shown: 1 });
  assert.deepEqual(workerDots({ ...ZERO_GAUGES, workers: 2, workersTarget: 3 }), {
    busy: 2,
    shown: 3,
  });
  assert.deepEqual(workerDots({ ...ZERO_GAUGES, workers: 20, workersTarget: 24 }), {
    busy: 8,
    shown: 8,
  });
});

function pick({ copied, verified, percent, label }: ReturnType<typeof laneFacts>) {
  return [copied, verified, percent, label];
}
