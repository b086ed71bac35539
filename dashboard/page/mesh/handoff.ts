/** Which tasks are shown one by one, and who could take one over. Rule: pure; the agents themselves have the last word. */
import { missingCapabilities } from "../../../protocol/mesh/capability.ts";
import type { AgentCardView, TaskCard } from "../../../protocol/mesh/console_state.ts";
import { byName } from "../words.ts";

/** Rows of the table; the rest is told as a number. */
export const TASKS_SHOWN_MAX = 40;

/** What of an agent decides whether it can take a task; it changes seldom, unlike its load. */
export type Taker = Pick<
  AgentCardView,
  "agentId" | "name" | "state" | "hostId" | "roots" | "capabilities" | "isOwn"
>;

export function takerOf(agent: AgentCardView): Taker {
  const { agentId, name, state, hostId, roots, capabilities, isOwn } = agent;
  return { agentId, name, state, hostId, roots, capabilities, isOwn };
}

/** Somebody has it; only that can be given to another. */
export function isInHand({ state, agent }: TaskCard): boolean {
  return agent !== null && (state === "running" || state === "assigned");
}

/** Those in hand first, by their directory; then what waits. */
export function openTasks(tasks: Readonly<Record<string, TaskCard>>, runId: string): TaskCard[] {
  return Object.values(tasks)
    .filter((task) => task.runId === runId && (isInHand(task) || task.state === "queued"))
    .sort((a, b) =>
      Number(isInHand(b)) - Number(isInHand(a)) || byName(labelOf(a), labelOf(b)) ||
      byName(a.taskId, b.taskId)
    );
}

/** The source's name, with the part where it is one. */
export function labelOf({ source, part }: TaskCard): string {
  return part === undefined ? source.name : `${source.name} (${part.label})`;
}

/** Agents that live, can reach the directory and offer all that it needs; by name. */
export function whoCouldTake(task: TaskCard, agents: readonly Taker[]): Taker[] {
  const { source: { hostId, root }, requires, agent: owner } = task;
  // What the coordinator has itself it gives to whoever comes.
  const isOwn = agents.some((agent) => agent.agentId === owner && agent.isOwn);
  if (!isInHand(task) || isOwn) return [];
  return agents
    .filter((agent) =>
      !agent.isOwn && agent.agentId !== owner && agent.state === "alive" &&
      (root === undefined
        ? hostId === undefined || agent.hostId === hostId
        : agent.roots.includes(root)) &&
      missingCapabilities(requires, agent.capabilities).length === 0
    )
    .sort((a, b) => byName(a.name, b.name));
}

/** As a command may call it: by its name where no other has that. */
export function calledBy(agent: Taker, agents: readonly Taker[]): string {
  return agents.some((other) => other !== agent && other.name === agent.name)
    ? agent.agentId
    : agent.name;
}
