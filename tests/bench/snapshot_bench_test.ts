import assert from "node:assert/strict";
import { renderSnapshotTable } from "./snapshot_bench.ts";

Deno.test("snapshot bench: the table shows medians, and ratios to restic run once for every destination", () => {
  const row = (contender: string, destinations: number, seconds: number[]) => ({
    what: "mixed",
    contender,
    destinations,
    measured: seconds.map((seconds) => ({ seconds, cpuSeconds: 2 * seconds, peakRssBytes: 5e6 })),
  });
  const table = renderSnapshotTable([
    row("restic", 1, [4, 40, 2]),
    row("ours, 3 destinations", 3, [6]),
  ]);
  assert.deepEqual(table.split("\n").map((line) => line.split(/\s{2,}/)), [
    ["what", "who", "wall s", "× restic", "CPU s", "× restic", "peak MB"],
    ["mixed", "restic", "4.00", "1.00", "8.00", "1.00", "5"],
    ["mixed", "ours, 3 destinations", "6.00", "0.50", "12.00", "0.50", "5"],
  ]);
});
