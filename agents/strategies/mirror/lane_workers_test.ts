import assert from "node:assert/strict";
import { laneWorkers } from "./lane_workers.ts";

const PLAIN = { workersMin: 1, workersMax: 8 };
const ENCODED = { ...PLAIN, encoding: { codec: "zst" as const, recipients: [] } };

Deno.test("a destination begins with two threads while processors are left, else with one", () => {
  const start = (processors: number, unlimited: number) =>
    laneWorkers({}, PLAIN, { processors, unlimited }).workersStart;
  assert.deepEqual([start(2, 1), start(2, 2), start(1, 1), start(8, 3)], [2, 1, 1, 2]);
});

Deno.test("a limit leaves one thread", () => {
  const spec = { limitBytesPerSecond: 1000 };
  const workers = laneWorkers(spec, ENCODED, { processors: 8, unlimited: 0 });
  assert.deepEqual(workers, { workersMin: 1, workersMax: 1, workersStart: 1 });
});

Deno.test("encoding gets all processors, shared evenly, within what was asked for", () => {
  const min = (processors: number, unlimited: number, options = ENCODED) =>
    laneWorkers({}, options, { processors, unlimited }).workersMin;
  assert.deepEqual([min(2, 1), min(8, 1), min(8, 3), min(2, 5), min(16, 1)], [2, 8, 2, 1, 8]);
  assert.equal(min(8, 1, { ...ENCODED, workersMax: 3 }), 3);
  assert.equal(min(1, 1, { ...ENCODED, workersMin: 4 }), 4);
  assert.equal(laneWorkers({}, ENCODED, { processors: 8, unlimited: 1 }).workersStart, 8);
});
