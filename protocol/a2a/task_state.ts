/** The states of an A2A task. Rule: a state changes only through `moveTaskState`, over one table. */
import * as v from "valibot";

export const TaskState = v.picklist([
  "TASK_STATE_SUBMITTED",
  "TASK_STATE_WORKING",
  "TASK_STATE_INPUT_REQUIRED",
  "TASK_STATE_AUTH_REQUIRED",
  "TASK_STATE_COMPLETED",
  "TASK_STATE_FAILED",
  "TASK_STATE_CANCELED",
  "TASK_STATE_REJECTED",
]);
export type TaskState = v.InferOutput<typeof TaskState>;

const ENDS = [
  "TASK_STATE_COMPLETED",
  "TASK_STATE_FAILED",
  "TASK_STATE_CANCELED",
  "TASK_STATE_REJECTED",
] as const satisfies readonly TaskState[];

/** The whole machine. WORKING → WORKING is progress; nothing goes back to SUBMITTED. */
export const NEXT_TASK_STATES = {
  TASK_STATE_SUBMITTED: [
    "TASK_STATE_WORKING",
    "TASK_STATE_INPUT_REQUIRED",
    "TASK_STATE_AUTH_REQUIRED",
    ...ENDS,
  ],
  TASK_STATE_WORKING: [
    "TASK_STATE_WORKING",
    "TASK_STATE_INPUT_REQUIRED",
    "TASK_STATE_AUTH_REQUIRED",
    ...ENDS,
  ],
  TASK_STATE_INPUT_REQUIRED: ["TASK_STATE_WORKING", "TASK_STATE_AUTH_REQUIRED", ...ENDS],
  TASK_STATE_AUTH_REQUIRED: ["TASK_STATE_WORKING", "TASK_STATE_INPUT_REQUIRED", ...ENDS],
  TASK_STATE_COMPLETED: [],
  TASK_STATE_FAILED: [],
  TASK_STATE_CANCELED: [],
  TASK_STATE_REJECTED: [],
} as const satisfies Record<TaskState, readonly TaskState[]>;

/** Whether the task has ended for good. */
export function isTerminal(state: TaskState): boolean {
  return NEXT_TASK_STATES[state].length === 0;
}

/** Whether the task waits for its caller. */
export function isInterrupted(state: TaskState): boolean {
  return state === "TASK_STATE_INPUT_REQUIRED" || state === "TASK_STATE_AUTH_REQUIRED";
}

/** Whether nothing more happens until somebody else acts. */
export function isSettled(state: TaskState): boolean {
  return isTerminal(state) || isInterrupted(state);
}

/** Checks one step. @throws {RangeError} when the table has no such step. */
export function moveTaskState(from: TaskState, to: TaskState): TaskState {
  const next: readonly TaskState[] = NEXT_TASK_STATES[from];
  if (!next.includes(to)) {
    throw new RangeError(`Cannot move from ${from} to ${to}: the table has no such step`);
  }
  return to;
}
