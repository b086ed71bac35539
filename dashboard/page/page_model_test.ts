import assert from "node:assert/strict";
import type { RunCard } from "../../protocol/mesh/console_state.ts";
import { shownRun, viewOf } from "./page_model.ts";

function run(runId: string, createdAtMs: number, endedAtMs: number | null): RunCard {
  return {
    ...{ runId, createdAtMs, endedAtMs, state: endedAtMs === null ? "running" : "completed" },
    ...{ isPaused: false, isDryRun: false, exitCode: null, sources: [], destinations: [] },
    notes: [],
    tasks: { queued: 0, assigned: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0 },
    failureCount: 0,
  };
}

function shown(runs: RunCard[], chosen: { runId: string; atMs: number } | null) {
  const state = { runs: Object.fromEntries(runs.map((one) => [one.runId, one])), live: {} };
  return shownRun(state, chosen)?.card.runId;
}

Deno.test("without a choice the newest run that goes on is shown, else the newest", () => {
  assert.equal(shown([], null), undefined);
  assert.equal(shown([run("a", 1, 2), run("b", 3, 4)], null), "b");
  assert.equal(shown([run("a", 1, null), run("b", 3, 4)], null), "a");
});

Deno.test("what was chosen stays, until it is over and a run begins after the choice", () => {
  const [old, active] = [run("old", 1, 2), run("active", 10, null)];
  assert.equal(shown([old, active], { runId: "old", atMs: 11 }), "old");
  assert.equal(shown([old, active], { runId: "old", atMs: 9 }), "active");
  assert.equal(shown([run("old", 1, null), active], { runId: "old", atMs: 9 }), "old");
  assert.equal(shown([active], { runId: "gone", atMs: 20 }), "active");
});

Deno.test("an address that names no view leads to the overview", () => {
  assert.equal(viewOf("#restore"), "restore");
  assert.equal(viewOf("#/logs/x"), "logs");
  for (const hash of ["", "#", "#nothing", "#constructor"]) assert.equal(viewOf(hash), "overview");
});
