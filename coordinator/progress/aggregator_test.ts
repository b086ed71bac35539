/** S2-27: four times a second while something changes, silent when nothing does, at once at both ends. */
import assert from "node:assert/strict";
import { ZERO_COUNTERS, ZERO_GAUGES, ZERO_SCAN } from "../../protocol/mesh/progress.ts";
import type { RunProgress } from "../../protocol/mesh/run.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { createAggregator, TICK_MS } from "./aggregator.ts";

function aggregator() {
  const clock = new ManualClock();
  const said: RunProgress[] = [];
  const made = createAggregator({
    clock,
    runId: "run-1",
    destinations: ["/mnt/a"],
    onProgress: (p) => said.push(p),
  });
  const scan = (seq: number) =>
    made.apply({ kind: "scan", source: "s", seq, counters: { ...ZERO_SCAN, files: seq } });
  return { clock, said, made, scan };
}

Deno.test("S2-21: every destination is there at zero before anything happens", () => {
  const { said } = aggregator();
  assert.equal(said.length, 1);
  assert.deepEqual(said[0]!.destinations.map((d) => [d.destination, d.counters]), [
    ["/mnt/a", ZERO_COUNTERS],
  ]);
});

Deno.test("S2-27: many changes between two ticks are one progress, with the last of them", async () => {
  const { clock, said, scan } = aggregator();
  for (let seq = 1; seq <= 100; seq++) scan(seq);
  assert.equal(said.length, 1);
  await clock.advance(TICK_MS);
  assert.equal(said.length, 2);
  assert.equal(said[1]!.scan.files, 100);
  assert.equal(said[1]!.elapsedMs, TICK_MS);
});

Deno.test("S2-27: nothing is said while nothing changes, and never more than four times a second", async () => {
  const { clock, said, scan } = aggregator();
  await clock.advance(10_000);
  assert.equal(said.length, 1);
  for (let seq = 1; seq <= 100; seq++) {
    scan(seq);
    await clock.advance(10);
  }
  assert.equal(said.length, 5);
});

Deno.test("a rate that falls because nothing moves is news until it is 0", async () => {
  const { clock, said, made } = aggregator();
  made.apply({ kind: "planned", tasks: [{ taskId: "t", scan: { ...ZERO_SCAN, bytes: 1e6 } }] });
  for (let seq = 0; seq < 8; seq++) {
    made.apply({
      kind: "lanes",
      taskId: "t",
      agentId: "agent-1",
      epoch: 1,
      seq,
      lanes: [{
        destination: "/mnt/a",
        state: "copy",
        counters: { ...ZERO_COUNTERS, bytesTotal: 1e6, bytesDone: seq * 1e4 },
        gauges: ZERO_GAUGES,
      }],
    });
    await clock.advance(TICK_MS);
  }
  assert.equal(said.at(-1)!.destinations[0]!.gauges.bytesPerSecond, 40_000);
  assert.equal(said.at(-1)!.destinations[0]!.etaMs, 23_250);
  await clock.advance(20_000);
  assert.equal(said.at(-1)!.destinations[0]!.gauges.bytesPerSecond, 0);
  assert.equal(said.at(-1)!.destinations[0]!.etaMs, null);
  const before = said.length;
  await clock.advance(60_000);
  assert.equal(said.length, before);
});

Deno.test("the end is said at once, once, and is the last word", async () => {
  const { clock, said, made, scan } = aggregator();
  scan(1);
  made.end();
  assert.equal(said.length, 2);
  scan(2);
  made.end();
  await clock.advance(5000);
  assert.equal(said.length, 2);
  assert.equal(said[1]!.scan.files, 1);
});
