/** What keeps one entry of a task from its destination, as a destination's thread says it. Rule: one row, one error. */
import { BackupError, type RetryHint } from "../../../protocol/base/errors.ts";
import { errnoText, posixError } from "../../platform/errno.ts";
import type { FileOutcome } from "../../queue/destination_queue.ts";
import type { LaneTask } from "./lane_task.ts";

export interface ItemProblem {
  row: number;
  code: string;
  message: string;
  retry: RetryHint;
}

/** Not an errno: the call was cancelled between two operations. */
export const CANCELLED = 100_000;

/** `result` is -errno, or -CANCELLED. */
export function itemProblem(
  task: LaneTask,
  row: number,
  result: number,
  action: string,
): ItemProblem {
  if (result === -CANCELLED) {
    return { row, code: "cancelled", message: "Cancelled", retry: "no" };
  }
  const error = posixError(result, action, task.display(row));
  return {
    row,
    code: error.code,
    message: `Cannot ${action}: ${errnoText(-result)}`,
    retry: error.retry,
  };
}

export function problemError(problem: ItemProblem): BackupError {
  return new BackupError(problem.code as BackupError["code"], problem.message, {
    retry: problem.code === "damaged" ? "no" : problem.retry,
  });
}

/** As the queue takes it. */
export function outcomeOf(problem: ItemProblem): FileOutcome {
  return { row: problem.row, error: problemError(problem) };
}
