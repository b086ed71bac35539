/** D14: whatever agents say, in whatever order, what people see stays within its totals and never goes back. */
import assert from "node:assert/strict";
import fc from "fast-check";
import * as v from "valibot";
import {
  type LaneProgress,
  type LaneState,
  ZERO_COUNTERS,
  ZERO_GAUGES,
  ZERO_SCAN,
} from "../../protocol/mesh/progress.ts";
import { RunProgress } from "../../protocol/mesh/run.ts";
import { emptyModel, type ProgressEvent, type ProgressModel } from "./model.ts";
import { reduce } from "./reduce.ts";
import { type Rates, runView, sampleRates } from "./run_view.ts";

const KEYS = ["/mnt/a", "/mnt/b"] as const;
const TASKS = ["t1", "t2"] as const;
const STATES: readonly LaneState[] = [
  "analyze",
  "manifest",
  "copy",
  "flush",
  "verify",
  "verified",
  "failed",
  "cancelled",
];

const counters = fc.record(
  Object.fromEntries(Object.keys(ZERO_COUNTERS).map((field) => [field, fc.nat(100)])) as {
    [F in keyof typeof ZERO_COUNTERS]: fc.Arbitrary<number>;
  },
);
const laneWord: fc.Arbitrary<LaneProgress> = fc.record({
  destination: fc.constantFrom(...KEYS, "/mnt/unknown"),
  state: fc.constantFrom(...STATES),
  counters,
  gauges: fc.record({
    workers: fc.nat(8),
    workersTarget: fc.nat(8),
    bytesPerSecond: fc.nat(1000),
    queueDepth: fc.nat(1000),
    stalledForMs: fc.constantFrom(0, 500, 20_000),
    currentFiles: fc.constantFrom([], ["x"]),
  }),
});
const lanesEvent: fc.Arbitrary<ProgressEvent> = fc.record({
  kind: fc.constant("lanes" as const),
  taskId: fc.constantFrom(...TASKS, "unknown"),
  agentId: fc.constantFrom("agent-1", "agent-2"),
  epoch: fc.integer({ min: 1, max: 3 }),
  // Numbers come in any order and more than once.
  seq: fc.nat(12),
  lanes: fc.array(laneWord, { maxLength: 2 }),
});
const otherEvent: fc.Arbitrary<ProgressEvent> = fc.oneof(
  fc.record({
    kind: fc.constant("scan" as const),
    source: fc.constantFrom("s1", "s2"),
    seq: fc.nat(5),
    counters: fc.constant({ ...ZERO_SCAN, files: 3, bytes: 30 }),
  }),
  fc.record({
    kind: fc.constant("destination_ended" as const),
    destination: fc.constantFrom(...KEYS),
    state: fc.constantFrom("verified" as const, "failed" as const, "cancelled" as const),
    elapsedMs: fc.nat(1000),
  }),
);
const planned: ProgressEvent = {
  kind: "planned",
  tasks: TASKS.map((taskId) => ({ taskId, scan: { ...ZERO_SCAN, files: 50, bytes: 50 } })),
};

const DONE = [
  ["filesDone", "filesTotal"],
  ["bytesDone", "bytesTotal"],
  ["verifyFilesDone", "verifyFilesTotal"],
  ["verifyBytesDone", "verifyBytesTotal"],
] as const;

Deno.test("D14: 0 ≤ done ≤ total, done never goes back, nothing is NaN, and at most one destination is the fastest", () => {
  const events = fc.array(fc.oneof({ weight: 8, arbitrary: lanesEvent }, otherEvent), {
    maxLength: 40,
  });
  fc.assert(fc.property(events, (list) => {
    let model = reduce(emptyModel("run-1", KEYS), planned);
    let rates: Rates = new Map();
    let before = runView(model, rates, 0);
    let nowMs = 0;
    for (const event of list) {
      model = reduce(model, event);
      rates = sampleRates(model, rates, nowMs += 100);
      const view = runView(model, rates, nowMs);
      v.parse(RunProgress, view);
      assert.ok(!JSON.stringify(view).includes("NaN"));
      assert.ok(view.destinations.filter((d) => d.fastest).length <= 1);
      view.destinations.forEach((d, i) => {
        const old = before.destinations[i]!;
        for (const [done, total] of DONE) {
          assert.ok(d.counters[done] >= 0 && d.counters[done] <= d.counters[total]);
          assert.ok(d.counters[done] >= old.counters[done], `${done} went back`);
        }
        assert.ok(d.etaMs === null || Number.isFinite(d.etaMs));
      });
      before = view;
    }
  }));
});

Deno.test("D14: an event heard twice, or after a later one, gives back the very same model", () => {
  fc.assert(fc.property(fc.array(lanesEvent, { maxLength: 20 }), (list) => {
    let model = reduce(emptyModel("run-1", KEYS), planned);
    for (const event of list) model = reduce(model, event);
    for (const event of list) assert.equal(reduce(model, event), model);
  }));
});

Deno.test("D9: a word about one destination leaves every other destination's counters as they were", () => {
  fc.assert(fc.property(fc.array(lanesEvent, { maxLength: 20 }), (list) => {
    const onlyFirst = list.map((e) =>
      e.kind === "lanes" ? { ...e, lanes: e.lanes.filter((l) => l.destination === KEYS[0]) } : e
    );
    const start = reduce(emptyModel("run-1", KEYS), planned);
    const end = onlyFirst.reduce<ProgressModel>(reduce, start);
    assert.equal(end.destinations[1], start.destinations[1]);
  }));
});

Deno.test("D14: once every destination has ended nothing is active, copying or verifying", () => {
  const ends = fc.constantFrom("verified" as const, "failed" as const, "cancelled" as const);
  fc.assert(fc.property(fc.array(lanesEvent, { maxLength: 20 }), ends, ends, (list, e1, e2) => {
    let model = reduce(emptyModel("run-1", KEYS), planned);
    const split = Math.floor(list.length / 2);
    for (const event of list.slice(0, split)) model = reduce(model, event);
    [e1, e2].forEach((state, i) => {
      const destination = KEYS[i]!;
      model = reduce(model, { kind: "destination_ended", destination, state, elapsedMs: 1 });
    });
    for (const event of list.slice(split)) model = reduce(model, event);
    const view = runView(model, new Map(), 5);
    assert.deepEqual(view.destinations.map((d) => d.state), [e1, e2]);
    assert.doesNotMatch(view.statusLine, /copying|Verifying:/);
    for (const d of view.destinations) {
      assert.ok(!Object.values(d.pills).includes("active"));
      assert.deepEqual(d.gauges, ZERO_GAUGES);
      assert.equal(d.elapsedMs, 1);
    }
  }));
});
