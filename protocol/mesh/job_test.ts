import assert from "node:assert/strict";
import * as v from "valibot";
import {
  moveRun,
  moveTask,
  RUN_STATES,
  RunState,
  SourceSpec,
  TASK_STATES,
  TaskState,
} from "./job.ts";

/** Written out a second time on purpose: a change of the table must be meant. */
const RUN_STEPS = new Set([
  "queued planning",
  "queued failed",
  "queued cancelled",
  "planning running",
  "planning completed",
  "planning failed",
  "planning cancelled",
  "running completed",
  "running partial",
  "running failed",
  "running cancelled",
]);
const TASK_STEPS = new Set([
  "queued assigned",
  "queued failed",
  "queued cancelled",
  "assigned running",
  "assigned queued",
  "assigned failed",
  "assigned cancelled",
  "running succeeded",
  "running failed",
  "running queued",
  "running cancelled",
]);

function everyPair<S extends string>(
  states: readonly S[],
  move: (from: S, to: S) => S,
  steps: ReadonlySet<string>,
): void {
  let allowed = 0;
  for (const from of states) {
    for (const to of states) {
      if (steps.has(`${from} ${to}`)) {
        assert.equal(move(from, to), to);
        allowed++;
      } else assert.throws(() => move(from, to), RangeError, `${from} to ${to}`);
    }
  }
  assert.equal(allowed, steps.size);
}

Deno.test("a run takes the steps of its table and no other", () => {
  everyPair(RUN_STATES, moveRun, RUN_STEPS);
});

Deno.test("a task takes the steps of its table and no other", () => {
  everyPair(TASK_STATES, moveTask, TASK_STEPS);
});

Deno.test("a state that ended is never left, and every state but the first can be reached", () => {
  for (const [states, steps] of [[RUN_STATES, RUN_STEPS], [TASK_STATES, TASK_STEPS]] as const) {
    const ends = ["completed", "partial", "succeeded", "failed", "cancelled"];
    for (const step of steps) assert.ok(!ends.includes(step.split(" ")[0]!));
    for (const state of states.slice(1)) {
      assert.ok([...steps].some((step) => step.endsWith(` ${state}`)), state);
    }
  }
});

Deno.test("what is no state does not parse", () => {
  assert.equal(v.is(RunState, "running"), true);
  assert.equal(v.is(RunState, "assigned"), false);
  assert.equal(v.is(TaskState, "partial"), false);
});

Deno.test("a top name is one name: no slash, no dots alone, not empty", () => {
  const isName = (name: string) => v.is(SourceSpec, { path: "/p", name });
  for (const name of ["Documents", "...", ".config", "a b", "-n", "é\n"]) {
    assert.ok(isName(name), name);
  }
  for (const name of ["", ".", "..", "a/b", "/"]) assert.ok(!isName(name), name);
});
