import assert from "node:assert/strict";
import { ZERO_COUNTERS, ZERO_GAUGES, ZERO_SCAN } from "../../protocol/mesh/progress.ts";
import type { LaneFile } from "../../protocol/mesh/progress.ts";
import { emptyModel, type ProgressModel } from "./model.ts";
import { reduce } from "./reduce.ts";
import { runView } from "./run_view.ts";

function tell(
  model: ProgressModel,
  seq: number,
  files: Record<string, LaneFile[]>,
): ProgressModel {
  return reduce(model, {
    kind: "lanes",
    taskId: "task-1",
    agentId: "agent-1",
    epoch: 1,
    seq,
    atMs: seq,
    lanes: Object.entries(files).map(([destination, recentFiles]) => ({
      destination,
      state: "copy",
      counters: ZERO_COUNTERS,
      gauges: ZERO_GAUGES,
      recentFiles,
    })),
  });
}

const file = (path: string, mark: LaneFile["mark"]): LaneFile => ({ path, sizeBytes: 1, mark });

function planned(): ProgressModel {
  return reduce(emptyModel("run-1", ["a", "b"]), {
    kind: "planned",
    tasks: [{ taskId: "task-1", scan: ZERO_SCAN }],
  });
}

Deno.test("S1-47: exactly the 15 newest files are shown, newest first, with a tick for each destination", () => {
  let model = planned();
  for (let k = 0; k < 20; k++) model = tell(model, k, { a: [file(`f${k}`, "copied")] });
  model = tell(model, 20, { b: [file("f3", "copied")], a: [file("f19", "verified")] });
  const shown = runView(model, new Map(), 0).recentFiles!;
  assert.equal(shown.length, 15);
  assert.deepEqual(shown.slice(0, 3).map((f) => [f.path, f.marks]), [
    ["f19", { a: "verified" }],
    ["f3", { a: "copied", b: "copied" }],
    ["f18", { a: "copied" }],
  ]);
});

Deno.test("a late word says nothing new of files", () => {
  const model = tell(planned(), 5, { a: [file("x", "verified")] });
  const late = tell(model, 4, { a: [file("y", "copied")] });
  assert.equal(late, model);
});
