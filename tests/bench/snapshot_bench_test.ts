import assert from "node:assert/strict";
import { renderSnapshotTable } from "./snapshot_bench.ts";

Deno.test("snapshot bench: the table shows medians, and ratios to restic run once for every destination", () => {
  const row = (contender: string, destinations: number, seconds: number[], more = {}) => ({
    what: "mixed",
    contender,
    destinations,
    measured: seconds.map((seconds) => ({
      seconds,
      cpuSeconds: 2 * seconds,
      peakRssBytes: 5e6,
      ...more,
    })),
  });
  const table = renderSnapshotTable([
    row("restic", 1, [4, 40, 2], { storedBytes: 7e6 }),
    row("ours, 3 destinations", 3, [6], { storedBytes: 21e6 }),
  ]);
  assert.deepEqual(table.split("\n").map((line) => line.split(/\s{2,}/)), [
    ["what", "who", "wall s", "× restic", "CPU s", "× restic", "peak MB", "stored MB"],
    ["mixed", "restic", "4.00", "1.00", "8.00", "1.00", "5", "7"],
    ["mixed", "ours, 3 destinations", "6.00", "0.50", "12.00", "0.50", "5", "21"],
  ]);
});
