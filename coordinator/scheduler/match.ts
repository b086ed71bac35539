/** Which agents can take a task, and why the others cannot. Rule: capability and place first, load never. */
import { missingCapabilities } from "../../protocol/mesh/capability.ts";
import type { AgentView, TaskView } from "./view.ts";

export interface Match {
  readonly candidates: readonly AgentView[];
  /** Why there is no candidate, for people; undefined when there is one. */
  readonly reason: string | undefined;
}

export function match(
  task: Pick<TaskView, "requires" | "onlyAgents">,
  agents: readonly AgentView[],
): Match {
  const nearby = agents.filter((a) => task.onlyAgents?.includes(a.agentId) ?? true);
  const candidates = nearby.filter((a) =>
    missingCapabilities(task.requires, a.capabilities).length === 0
  );
  return { candidates, reason: candidates.length > 0 ? undefined : whyNone(task, nearby) };
}

function whyNone(
  task: Pick<TaskView, "requires" | "onlyAgents">,
  nearby: readonly AgentView[],
): string {
  if (nearby.length === 0) {
    return task.onlyAgents === null
      ? "No agent is known"
      : `Waiting for ${task.onlyAgents.join(" or ")}: no other agent can reach its data`;
  }
  const nearest = nearby
    .map((agent) => ({ agent, missing: missingCapabilities(task.requires, agent.capabilities) }))
    .reduce((best, next) => next.missing.length < best.missing.length ? next : best);
  return `No agent offers ${nearest.missing.join(", ")} (nearest: ${nearest.agent.agentId})`;
}
