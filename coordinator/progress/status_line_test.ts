/** S2-24: the status line, by table. */
import assert from "node:assert/strict";
import type { LaneState } from "../../protocol/mesh/progress.ts";
import type { EndState } from "./model.ts";
import { statusLine } from "./status_line.ts";

const TABLE: readonly [string, string][] = [
  ["analyze analyze", "Analyzing"],
  ["manifest analyze", "Analyzing"],
  ["copy copy", "2 copying, 0 verifying"],
  ["copy analyze", "1 copying, 0 verifying"],
  ["copy verify", "1 copying, 1 verifying"],
  ["copy flush", "1 copying, 0 verifying"],
  ["copy verify verify", "1 copying, 2 verifying"],
  ["verify verify", "0 copying, 2 verifying"],
  ["verified verify", "Verifying: d1"],
  ["verify failed", "Verifying: d0"],
  ["verify flush", "Verifying: d0"],
  ["flush verified", "Flushing: d0"],
  ["flush flush", "2 flushing"],
  ["verified verified", "All verified"],
  ["verified failed", "1 of 2 verified"],
  ["failed failed", "0 of 2 verified"],
  ["verified cancelled", "Cancelled, 1 of 2 verified"],
  ["planned planned", "Planned"],
  ["planned failed", "1 of 2 planned"],
];

for (const [states, expected] of TABLE) {
  Deno.test(`S2-24: destinations at ${states} say "${expected}"`, () => {
    const input = states.split(" ").map((word, i) => {
      const isEnd = ["verified", "failed", "cancelled", "planned"].includes(word);
      const state = (word === "planned" ? "manifest" : word) as LaneState;
      return { name: `d${i}`, state, end: isEnd ? word as EndState : undefined };
    });
    assert.equal(statusLine(input), expected);
  });
}
