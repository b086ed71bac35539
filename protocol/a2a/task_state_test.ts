/** All pairs of states, against a rule written apart from the table. */
import assert from "node:assert/strict";
import {
  isInterrupted,
  isTerminal,
  moveTaskState,
  NEXT_TASK_STATES,
  TaskState,
} from "./task_state.ts";

/** By rank: SUBMITTED 0, working or waiting 1, ended 2. Written apart from the table it checks. */
function rank(state: TaskState): number {
  if (state === "TASK_STATE_SUBMITTED") return 0;
  return state === "TASK_STATE_WORKING" || isInterrupted(state) ? 1 : 2;
}

for (const from of TaskState.options) {
  for (const to of TaskState.options) {
    const isAllowed = rank(from) < 2 && rank(to) > 0 &&
      (from !== to || from === "TASK_STATE_WORKING");
    Deno.test(`a task ${isAllowed ? "can" : "cannot"} move from ${from} to ${to}`, () => {
      if (isAllowed) assert.equal(moveTaskState(from, to), to);
      else assert.throws(() => moveTaskState(from, to), RangeError);
    });
  }
}

Deno.test("the table has every state and the ended ones have no next", () => {
  assert.deepEqual(Object.keys(NEXT_TASK_STATES).sort(), [...TaskState.options].sort());
  assert.deepEqual(TaskState.options.filter(isTerminal), [
    "TASK_STATE_COMPLETED",
    "TASK_STATE_FAILED",
    "TASK_STATE_CANCELED",
    "TASK_STATE_REJECTED",
  ]);
});
