/** One whole picture planned at once. Rule: the same planner that a coordinator feeds piece by piece, so both agree. */
import { createPlanner } from "./planner.ts";
import type { Command, PlannerLimits, SchedulerView } from "./view.ts";

export { TASKS_PER_AGENT_MAX } from "./seats.ts";

/**
 * Gives every queued task an agent or a reason to wait. Between runs: the run that holds the fewest slots first;
 * within a run: the largest task first; between agents: the least loaded, then the one listed first. A task whose
 * backoff is not over gets no command.
 */
export function plan(view: SchedulerView, nowMs: number, limits: PlannerLimits = {}): Command[] {
  const planner = createPlanner(limits);
  for (const agent of view.agents) planner.putAgent(agent);
  for (const run of view.runs ?? []) planner.putRun(run);
  for (const task of view.tasks) planner.add(task);
  return planner.plan(nowMs);
}
