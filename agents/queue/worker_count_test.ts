import assert from "node:assert/strict";
import fc from "fast-check";
import {
  nextWorkerCount,
  startWorkerCount,
  throughputScore,
  type WorkerCountState,
} from "./worker_count.ts";

/** Bytes per second that a destination gives with so many workers. */
type Curve = (workers: number) => number;

const cpuBoundTwoCores: Curve = (w) => 1e8 * Math.min(w, 2);
const latencyBound: Curve = (w) => 1e7 * w;
const singleStreamDisk: Curve = (w) => 1e8 / (1 + 0.3 * (w - 1));
const networkOfFive: Curve = (w) => 2e7 * Math.min(w, 5);

function run(
  curve: Curve,
  decisions: number,
  options: { state?: WorkerCountState; noise?: () => number; cpuBusyFraction?: number } = {},
): { counts: number[]; state: WorkerCountState } {
  let state = options.state ?? startWorkerCount(0);
  const counts: number[] = [];
  for (let i = 0; i < decisions; i++) {
    const score = curve(state.count) * (options.noise?.() ?? 1);
    const before = state.count;
    state = nextWorkerCount(state, {
      atMs: state.decidedAtMs + 1000,
      score,
      cpuBusyFraction: options.cpuBusyFraction,
    });
    assert.ok(Math.abs(state.count - before) <= 1, "one step at a time");
    counts.push(state.count);
  }
  return { counts, state };
}

const models = [
  ["two cores that are the limit", cpuBoundTwoCores, 2],
  ["latency that is the limit", latencyBound, 8],
  ["a disk that likes a single stream", singleStreamDisk, 1],
  ["a network that five streams fill", networkOfFive, 5],
  ["a rate limit that one worker fills", () => 8e6, 1],
] as const;

for (const [name, curve, best] of models) {
  Deno.test(`with ${name} the count settles at ${best} and stays`, () => {
    const { counts } = run(curve, 40);
    const settledAt = counts.findLastIndex((c) => c !== best) + 1;
    assert.ok(settledAt <= 20, `settled after ${settledAt}: ${counts.join(" ")}`);
  });

  Deno.test(`with ${name} new trials get rarer: under 3 % of an hour is spent off ${best}`, () => {
    const { counts } = run(curve, 3600);
    const off = counts.filter((c) => c !== best).length;
    assert.ok(off < 108, `${off} of 3600`);
  });

  Deno.test(`with ${name} and ± 10 % noise nearly all of the best throughput is reached`, () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const { counts } = run(curve, 600, { noise: noise(seed) });
        const reached = counts.slice(60).reduce((sum, c) => sum + curve(c), 0) / 540;
        assert.ok(reached >= 0.8 * curve(best), `${reached / curve(best)} of the best`);
        const moves = counts.filter((c, i) => i > 60 && c !== counts[i - 1]).length;
        assert.ok(moves <= 60, `${moves} moves in nine minutes`);
      }),
      { numRuns: 200 },
    );
  });
}

/** Factors spread evenly over 0.9–1.1, from a small generator with the given seed. */
function noise(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return 0.9 + (0.2 * ((t ^ (t >>> 14)) >>> 0)) / 2 ** 32;
  };
}

Deno.test("a machine whose CPUs are saturated gets no more workers, and gets them when they are free", () => {
  const busy = run(latencyBound, 50, { cpuBusyFraction: 0.95 });
  assert.ok(busy.counts.every((c) => c <= 2), busy.counts.join(" "));
  const free = run(latencyBound, 150, { cpuBusyFraction: 0.5, state: busy.state });
  assert.ok(free.counts.includes(8), free.counts.join(" "));
});

Deno.test("when throughput falls below 0.8 of what was settled, the next move is one worker down", () => {
  const settled = run(networkOfFive, 100).state;
  assert.equal(settled.count, 5);
  const { counts } = run((w) => networkOfFive(w) * 0.5, 8, { state: settled });
  assert.equal(counts.find((c) => c !== 5), 4);
});

Deno.test("when the destination changes its nature, the count follows", () => {
  const disk = run(singleStreamDisk, 100).state;
  const network = run((w) => 2e8 * w, 100, { state: disk });
  assert.equal(mostOften(network.counts.slice(-50)), 8);
  const again = run((w) => 1e7 / w, 100, { state: network.state });
  assert.equal(mostOften(again.counts.slice(-50)), 1);
});

function mostOften(counts: number[]): number {
  const times = (count: number) => counts.filter((c) => c === count).length;
  return counts.toSorted((a, b) => times(b) - times(a))[0]!;
}

Deno.test("samples that come too soon change nothing at all", () => {
  const state = startWorkerCount(0, { intervalMs: 5000 });
  assert.equal(nextWorkerCount(state, { atMs: 4999, score: 1e9 }), state);
  assert.notEqual(nextWorkerCount(state, { atMs: 5000, score: 1e9 }), state);
});

Deno.test("intervals with nothing to do prove nothing: the count stays", () => {
  const climbing = run(latencyBound, 3).state;
  const { counts } = run(() => 0, 50, { state: climbing });
  assert.ok(counts.every((c) => c === climbing.count));
});

Deno.test("the count never leaves its limits, whatever is measured", () => {
  const score = fc.oneof(fc.double(), fc.integer({ min: 0, max: 10 }), fc.constant(Number.NaN));
  const sample = fc.record({
    score,
    stepMs: fc.integer({ min: 0, max: 3000 }),
    cpuBusyFraction: fc.option(fc.double({ min: 0, max: 1 }), { nil: undefined }),
  });
  const limits = fc.tuple(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 8 }));
  fc.assert(fc.property(limits, fc.array(sample, { maxLength: 300 }), ([a, b], samples) => {
    const min = Math.min(a, b);
    const max = Math.max(a, b);
    let state = startWorkerCount(0, { min, max });
    let atMs = 0;
    for (const { score, stepMs, cpuBusyFraction } of samples) {
      state = nextWorkerCount(state, { atMs: atMs += stepMs, score, cpuBusyFraction });
      assert.ok(state.count >= min && state.count <= max && Number.isInteger(state.count));
    }
  }));
});

Deno.test("a range without sense is refused and a narrow one is started inside", () => {
  assert.throws(() => startWorkerCount(0, { min: 0 }), RangeError);
  assert.throws(() => startWorkerCount(0, { min: 5, max: 4 }), RangeError);
  assert.throws(() => startWorkerCount(0, { max: 9 }), RangeError);
  assert.equal(startWorkerCount(0, { max: 1 }).count, 1);
  assert.equal(startWorkerCount(0, { min: 4 }).count, 4);
  assert.equal(startWorkerCount(0).count, 2);
});

Deno.test("a thousand small files weigh as much as the 64 MiB they cost", () => {
  assert.equal(throughputScore(0, 1000), throughputScore(1000 * 65536, 0));
});
