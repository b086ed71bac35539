import assert from "node:assert/strict";
import { LaneWarnings, WARNINGS_NAMED_MAX } from "./lane_warnings.ts";

Deno.test("warnings beyond the limit are counted", () => {
  const warnings = new LaneWarnings();
  warnings.add(Array(WARNINGS_NAMED_MAX - 1).fill("same"));
  warnings.add(["last", "one more", "and one"]);
  warnings.add(["and another"]);
  const { named } = warnings;
  assert.deepEqual(named.slice(WARNINGS_NAMED_MAX - 1), ["last", "… and 3 more warnings"]);
});
