import assert from "node:assert/strict";
import { ZERO_COUNTERS, ZERO_GAUGES, ZERO_SCAN } from "../../protocol/mesh/progress.ts";
import type { DestinationProgress, RunProgress } from "../../protocol/mesh/run.ts";
import { leftText, liveVerdict } from "./verdict.ts";

function at(
  destination: string,
  state: DestinationProgress["state"],
  facts: Partial<DestinationProgress> = {},
): DestinationProgress {
  return {
    destination,
    state,
    pills: {
      analyze: "done",
      manifest: "done",
      copy: "done",
      flush: "done",
      verify: "done",
    },
    counters: ZERO_COUNTERS,
    gauges: ZERO_GAUGES,
    etaMs: null,
    fastest: false,
    elapsedMs: 0,
    ...facts,
  };
}

function progressOf(destinations: DestinationProgress[]): RunProgress {
  return {
    runId: "run-1",
    state: "running",
    elapsedMs: 0,
    scan: ZERO_SCAN,
    destinations,
    statusLine: "",
  };
}

const VERIFYING = {
  counters: {
    ...ZERO_COUNTERS,
    verifyFilesTotal: 0,
    verifyBytesTotal: 100,
    verifyBytesDone: 64,
  },
  etaMs: 720_000,
};

Deno.test("the verdict says how many copies are verified, how far the slowest is, and how long it takes", () => {
  const progress = progressOf([
    at("SSD", "verified"),
    at("USB", "verified"),
    at("NAS", "verify", VERIFYING),
  ]);
  const verdict = liveVerdict(progress, false);
  assert.equal(verdict.text, "2 of 3 copies verified, NAS 64 % verified, 12 min left");
  assert.deepEqual([verdict.verified, verdict.total, verdict.tone], [2, 3, "working"]);
});

Deno.test("time left while copying has room for reading back, and is not told while one cannot be known", () => {
  const copying = {
    counters: { ...ZERO_COUNTERS, bytesTotal: 100, bytesDone: 50 },
    etaMs: 60_000,
    etaRangeMs: { low: 50_000, high: 70_000 },
  };
  const known = liveVerdict(progressOf([at("a", "copy", copying)]), false);
  // Half is left to write, and all of it to read.
  assert.deepEqual(known.leftMs, { low: 150_000, high: 210_000 });
  const unknown = liveVerdict(progressOf([at("a", "copy", copying), at("b", "analyze")]), false);
  assert.equal(unknown.leftMs, null);
  assert.match(unknown.text, /b is being compared/);
});

Deno.test("a pause and a loss are said, and a loss never counts as verified", () => {
  const paused = liveVerdict(progressOf([at("a", "copy"), at("b", "verified")]), true);
  assert.equal(paused.text, "1 of 2 copies verified, a 0 %, paused");
  assert.equal(paused.tone, "paused");
  const lost = liveVerdict(progressOf([at("a", "failed"), at("b", "verified")]), false);
  assert.equal(lost.text, "1 of 2 copies verified, a is not");
  assert.equal(lost.tone, "bad");
});

Deno.test("times are told in the unit a person would use", () => {
  assert.equal(leftText({ low: 40_000, high: 40_000 }), "40 s");
  assert.equal(leftText({ low: 600_000, high: 840_000 }), "10–14 min");
  assert.equal(leftText({ low: 7_000_000, high: 11_000_000 }), "2–3 h");
  assert.equal(leftText({ low: 0, high: 0 }), "1 s");
});
