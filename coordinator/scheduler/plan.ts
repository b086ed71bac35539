/**
 * The scheduler: a picture and a time in, commands out. Rule: pure and deterministic; what is assigned is reserved
 * at once, so a burst never lands on one agent.
 */
import { match } from "./match.ts";
import type { AgentView, Command, SchedulerView, TaskView } from "./view.ts";

/** Tasks one agent may have at all, also those that hold no slot: each keeps its file list in memory. */
export const TASKS_PER_AGENT_MAX = 256;

interface Seat {
  readonly agent: AgentView;
  readonly rank: number;
  held: number;
  tasks: number;
}

/**
 * Gives every queued task an agent or a reason to wait. Between runs: the run that holds the fewest slots first;
 * within a run: the largest task first; between agents: the least loaded, then the one listed first. A task whose
 * backoff is not over gets no command.
 */
export function plan(view: SchedulerView, nowMs: number): Command[] {
  const seats = new Map(view.agents.map((agent, rank) => [agent.agentId, seatOf(agent, rank)]));
  const heldByRun = new Map<string, number>();
  const queues = new Map<string, TaskView[]>();
  for (const task of view.tasks) {
    if (task.agentId === null) {
      if (task.notBeforeMs > nowMs) continue;
      const queue = queues.get(task.runId);
      if (queue === undefined) queues.set(task.runId, [task]);
      else queue.push(task);
      continue;
    }
    const seat = seats.get(task.agentId);
    if (seat !== undefined) seat.tasks++;
    if (!task.holdsSlot) continue;
    if (seat !== undefined) seat.held++;
    heldByRun.set(task.runId, (heldByRun.get(task.runId) ?? 0) + 1);
  }
  for (const queue of queues.values()) queue.sort((a, b) => b.sizeBytes - a.sizeBytes);

  const commands: Command[] = [];
  for (;;) {
    const runId = neediest(queues, heldByRun);
    if (runId === undefined) return commands;
    const task = queues.get(runId)!.shift()!;
    const { candidates, reason } = match(task, view.agents);
    const free = leastLoaded(candidates, seats);
    if (free === undefined) {
      commands.push({
        kind: "wait",
        taskId: task.taskId,
        reason: reason ?? "All slots are in use",
      });
      continue;
    }
    free.held++;
    free.tasks++;
    heldByRun.set(runId, (heldByRun.get(runId) ?? 0) + 1);
    commands.push({ kind: "assign", taskId: task.taskId, agentId: free.agent.agentId });
  }
}

function seatOf(agent: AgentView, rank: number): Seat {
  return { agent, rank, held: 0, tasks: 0 };
}

function neediest(
  queues: ReadonlyMap<string, readonly TaskView[]>,
  heldByRun: ReadonlyMap<string, number>,
): string | undefined {
  let best: string | undefined;
  for (const [runId, queue] of queues) {
    if (queue.length === 0) continue;
    if (best === undefined || (heldByRun.get(runId) ?? 0) < (heldByRun.get(best) ?? 0)) {
      best = runId;
    }
  }
  return best;
}

function leastLoaded(
  candidates: readonly AgentView[],
  seats: ReadonlyMap<string, Seat>,
): Seat | undefined {
  return candidates
    .map((agent) => seats.get(agent.agentId)!)
    .filter((seat) => seat.held < seat.agent.slots && seat.tasks < TASKS_PER_AGENT_MAX)
    .sort((a, b) => loadOf(a) - loadOf(b) || a.rank - b.rank)[0];
}

/** The larger of what we know (slots we gave out) and what the agent reports. */
function loadOf(seat: Seat): number {
  const reported = Math.min(1, Math.max(0, seat.agent.load));
  return Math.max(seat.held / seat.agent.slots, reported);
}
