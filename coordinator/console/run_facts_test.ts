import assert from "node:assert/strict";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { SPEC } from "../store/job_store_suite.ts";
import { openMemoryStore } from "../store/open_store.ts";
import { taskInfoOf } from "../mesh/stored_infos.ts";
import { RunFacts } from "./run_facts.ts";

const SOURCE = SPEC.sources[0]!;

for (const isTold of [false, true]) {
  const what = isTold ? "was told of its end only" : "was not told of at all";
  Deno.test(`a task that was begun and ended within a tick, and ${what}, has its times`, () =>
    hasTimes(isTold));
}

async function hasTimes(isTold: boolean): Promise<void> {
  const clock = new ManualClock();
  const store = openMemoryStore(clock);
  const task = { taskId: "t", runId: "r", source: SOURCE, requires: [], sizeBytes: 7 };
  store.transact((tx) => {
    tx.insertRun({ runId: "r", hostId: "h", spec: SPEC });
    tx.insertTask(task);
  });
  const facts = new RunFacts({ store, nameOf: (id) => id, nowMs: () => clock.nowMs() }, "r", true);
  const begunAtMs = clock.nowMs();
  store.transact((tx) => tx.assignTask("t", "agent-1"));
  await clock.advance(1_000);
  store.transact((tx) => {
    tx.moveTask("t", 1, "running");
    tx.moveTask("t", 1, "succeeded");
  });
  if (isTold) facts.observe({ kind: "task", task: taskInfoOf(store.task("t")!, (id) => id) });
  facts.observe({ kind: "end", state: "completed", report: null });
  const { lastCompleted } = facts.live().directories;
  assert.deepEqual(
    [lastCompleted!.startedAtMs, lastCompleted!.endedAtMs, lastCompleted!.durationMs],
    [begunAtMs, begunAtMs + 1_000, 1_000],
  );
  store.close();
}
