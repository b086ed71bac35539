/** What people see of a run: phases and pills from lanes, totals before copying, ETA, the fastest. */
import assert from "node:assert/strict";
import {
  type LaneCounters,
  type LaneGauges,
  type LaneState,
  ZERO_COUNTERS,
  ZERO_GAUGES,
  ZERO_SCAN,
} from "../../protocol/mesh/progress.ts";
import { phaseOf } from "./destination_state.ts";
import { emptyModel, type ProgressEvent, type ProgressModel } from "./model.ts";
import { reduce } from "./reduce.ts";
import { type Rates, runView, sampleRates } from "./run_view.ts";

const A = "/mnt/a";
const B = "/mnt/b";

function plannedModel(tasks: number, keys: readonly string[] = [A, B]): ProgressModel {
  return reduce(emptyModel("run-1", keys), {
    kind: "planned",
    tasks: Array.from({ length: tasks }, (_, i) => ({
      taskId: `t${i}`,
      scan: { ...ZERO_SCAN, files: 2, bytes: 1000 },
    })),
  });
}

let seq = 0;
function word(
  taskId: string,
  destination: string,
  state: LaneState,
  counters: Partial<LaneCounters> = {},
  gauges: Partial<LaneGauges> = {},
): ProgressEvent {
  return {
    kind: "lanes",
    taskId,
    agentId: "agent-1",
    epoch: 1,
    seq: seq++,
    lanes: [{
      destination,
      state,
      counters: { ...ZERO_COUNTERS, ...counters },
      gauges: { ...ZERO_GAUGES, ...gauges },
    }],
  };
}

const PHASES_OF_LANES: readonly [LaneState[], LaneState][] = [
  [["manifest", "manifest"], "manifest"],
  [["copy", "manifest"], "copy"],
  [["verified", "manifest"], "copy"],
  [["verify", "copy"], "copy"],
  [["verify", "flush"], "flush"],
  [["verified", "verify"], "verify"],
  [["verified", "verified"], "verify"],
  [["failed", "verify"], "verify"],
];

for (const [lanes, expected] of PHASES_OF_LANES) {
  Deno.test(`a destination with lanes at ${lanes.join(" and ")} is in ${expected}`, () => {
    let model = plannedModel(lanes.length);
    lanes.forEach((state, i) => model = reduce(model, word(`t${i}`, A, state)));
    assert.equal(phaseOf(model.destinations[0]!), expected);
  });
}

Deno.test("a destination is analysed until the run is planned, then its totals stand before any byte", () => {
  const empty = runView(emptyModel("run-1", [A]), new Map(), 0).destinations[0]!;
  assert.equal(empty.state, "analyze");
  const planned = runView(plannedModel(3), new Map(), 0).destinations[0]!;
  assert.equal(planned.counters.filesTotal, 6);
  assert.equal(planned.counters.bytesTotal, 3000);
  assert.equal(planned.counters.bytesDone, 0);
});

Deno.test("the agent's frozen list replaces the estimate of the scan, and not with a zero", () => {
  const frozen = reduce(plannedModel(1), word("t0", A, "copy", { filesTotal: 1, bytesTotal: 900 }));
  assert.equal(runView(frozen, new Map(), 0).destinations[0]!.counters.bytesTotal, 900);
  const silent = reduce(plannedModel(1), word("t0", A, "copy"));
  assert.equal(runView(silent, new Map(), 0).destinations[0]!.counters.bytesTotal, 1000);
});

Deno.test("pills follow the phase, and the phase in which it failed is marked", () => {
  let model = reduce(plannedModel(1), word("t0", A, "flush"));
  const pills = () => Object.values(runView(model, new Map(), 0).destinations[0]!.pills);
  assert.deepEqual(pills(), ["done", "done", "done", "active", "pending"]);
  model = reduce(model, word("t0", A, "failed"));
  model = reduce(model, {
    kind: "destination_ended",
    destination: A,
    state: "failed",
    elapsedMs: 9,
  });
  assert.deepEqual(pills(), ["done", "done", "done", "failed", "pending"]);
});

Deno.test("a verified destination has five pills done, and a refused one failed at the first", () => {
  let model = plannedModel(1);
  for (const [destination, state] of [[A, "verified"], [B, "failed"]] as const) {
    model = reduce(model, { kind: "destination_ended", destination, state, elapsedMs: 9 });
  }
  const [a] = runView(model, new Map(), 0).destinations;
  assert.deepEqual(new Set(Object.values(a!.pills)), new Set(["done"]));
  const out = reduce(emptyModel("run-1", [A]), {
    kind: "destination_ended",
    destination: A,
    state: "failed",
    elapsedMs: 1,
  });
  const pills = Object.values(runView(out, new Map(), 0).destinations[0]!.pills);
  assert.deepEqual(pills, ["failed", "pending", "pending", "pending", "pending"]);
});

Deno.test("rate and ETA are each destination's own, unchanged files do not count as speed, and the faster is marked", () => {
  let model = plannedModel(1);
  let rates: Rates = new Map();
  const at = (bytesA: number, bytesB: number, nowMs: number) => {
    const counters = (bytesDone: number) => ({ bytesTotal: 1000, bytesDone, bytesUnchanged: 100 });
    model = reduce(model, word("t0", A, "copy", counters(bytesA)));
    model = reduce(model, word("t0", B, "copy", counters(bytesB)));
    rates = sampleRates(model, rates, nowMs);
    return runView(model, rates, nowMs).destinations;
  };
  assert.deepEqual(at(100, 100, 0).map((d) => [d.etaMs, d.fastest]), [[null, false], [
    null,
    false,
  ]]);
  const [a, b] = at(200, 600, 1000);
  assert.deepEqual([a!.gauges.bytesPerSecond, a!.etaMs, a!.fastest], [100, 8000, false]);
  assert.deepEqual([b!.gauges.bytesPerSecond, b!.etaMs, b!.fastest], [500, 800, true]);
});

Deno.test("verification has its own rate and remainder", () => {
  let model = plannedModel(1, [A]);
  let rates: Rates = new Map();
  for (const [verifyBytesDone, nowMs] of [[0, 0], [50, 1000]] as const) {
    const counters = { bytesTotal: 1000, bytesDone: 1000, verifyBytesTotal: 100, verifyBytesDone };
    model = reduce(model, word("t0", A, "verify", counters));
    rates = sampleRates(model, rates, nowMs);
  }
  const [a] = runView(model, rates, 1000).destinations;
  assert.equal(a!.gauges.bytesPerSecond, 50);
  assert.equal(a!.etaMs, 1000);
});

Deno.test("a destination that its agent calls stalled has no ETA", () => {
  let model = plannedModel(1, [A]);
  let rates: Rates = new Map();
  for (const [bytesDone, nowMs] of [[0, 0], [500, 1000]] as const) {
    model = reduce(model, word("t0", A, "copy", { bytesDone }, { stalledForMs: 15_000 }));
    rates = sampleRates(model, rates, nowMs);
  }
  assert.equal(runView(model, rates, 1000).destinations[0]!.etaMs, null);
});

Deno.test("the first verified is the fastest, whatever rate the others reach", () => {
  let model = plannedModel(1);
  for (const destination of [B, A]) {
    const state = "verified";
    model = reduce(model, { kind: "destination_ended", destination, state, elapsedMs: 9 });
  }
  const view = runView(model, new Map(), 10);
  assert.deepEqual(view.destinations.map((d) => d.fastest), [false, true]);
  assert.equal(view.statusLine, "All verified");
});

Deno.test("tasks on one agent share a queue: gauges are its last word, two agents add up, and an idle one is gone", () => {
  let model = plannedModel(3, [A]);
  const workers = () => runView(model, new Map(), 0).destinations[0]!.gauges.workers;
  model = reduce(model, word("t0", A, "copy", {}, { workers: 2 }));
  model = reduce(model, word("t1", A, "copy", {}, { workers: 3 }));
  assert.equal(workers(), 3);
  const other = word("t2", A, "copy", {}, { workers: 4 });
  assert.ok(other.kind === "lanes");
  model = reduce(model, { ...other, agentId: "agent-2" });
  assert.equal(workers(), 7);
  model = reduce(model, word("t0", A, "verified"));
  assert.equal(workers(), 7);
  model = reduce(model, word("t1", A, "verified"));
  assert.equal(workers(), 4);
});
