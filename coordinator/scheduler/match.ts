/** Which agents can take a task, and why the others cannot. Rule: capability and place first, load never. */
import { missingCapabilities } from "../../protocol/mesh/capability.ts";
import type { AgentView, TaskView } from "./view.ts";

export interface Match {
  /** Ready, near and capable; those that failed the task are among them only when there are no others. */
  readonly candidates: readonly AgentView[];
  /** Why there is no candidate, for people; undefined when there is one. */
  readonly reason: string | undefined;
  /** No agent near its source is there at all, so that the coordinator's own may step in. */
  readonly isDeserted: boolean;
}

export type MatchTask = Pick<TaskView, "requires" | "onlyAgents" | "place" | "avoid">;

/** Names that one reason lists at most. */
const NAMED_MAX = 3;

export function match(
  task: MatchTask,
  agents: readonly AgentView[],
  excluded: ReadonlyMap<string, string> = new Map(),
): Match {
  const near = agents.filter((a) => isNear(task, a));
  const reaching = near.filter((a) => !excluded.has(a.agentId));
  const capable = reaching.filter((a) =>
    missingCapabilities(task.requires, a.capabilities).length === 0
  );
  const ready = capable.filter((a) => readinessOf(a) === "ready");
  const fresh = ready.filter((a) => !(task.avoid?.includes(a.agentId) ?? false));
  const candidates = fresh.length > 0 ? fresh : ready;
  const isDeserted = reaching.every((a) => !["ready", "suspect"].includes(readinessOf(a)));
  if (candidates.length > 0) return { candidates, reason: undefined, isDeserted };
  return {
    candidates,
    reason: whyNone(task, { agents, near, reaching, capable, excluded }),
    isDeserted,
  };
}

/** Whether a task's source can be read by an agent, and the task is meant for it. */
export function isNear({ place, onlyAgents }: MatchTask, agent: AgentView): boolean {
  if (onlyAgents !== null && !onlyAgents.includes(agent.agentId)) return false;
  if (place?.root !== undefined) return agent.roots?.includes(place.root) ?? false;
  return place?.hostId === undefined || agent.hostId === undefined ||
    place.hostId === agent.hostId;
}

export function readinessOf(agent: AgentView): NonNullable<AgentView["readiness"]> {
  return agent.readiness ?? "ready";
}

function whyNone(
  task: MatchTask,
  { agents, near, reaching, capable, excluded }: {
    agents: readonly AgentView[];
    near: readonly AgentView[];
    reaching: readonly AgentView[];
    capable: readonly AgentView[];
    excluded: ReadonlyMap<string, string>;
  },
): string {
  const { onlyAgents, place } = task;
  if (near.length === 0) {
    if (onlyAgents !== null) {
      return `Waiting for ${onlyAgents.join(" or ")}: no other agent can reach its data`;
    }
    if (agents.length === 0) return "No agent is known";
    return place?.root === undefined
      ? "No agent is known on the host of its directory"
      : `No agent has a root ${place.root}`;
  }
  if (reaching.length === 0) {
    const [first] = near;
    return `Agent ${first!.agentId} cannot take part: ${excluded.get(first!.agentId)}`;
  }
  if (capable.length === 0) {
    const nearest = reaching
      .map((agent) => ({ agent, missing: missingCapabilities(task.requires, agent.capabilities) }))
      .reduce((best, next) => next.missing.length < best.missing.length ? next : best);
    return `No agent offers ${nearest.missing.join(", ")} (nearest: ${nearest.agent.agentId})`;
  }
  const named = capable.slice(0, NAMED_MAX).map((a) => `${a.agentId} is ${readinessOf(a)}`);
  const more = capable.length > NAMED_MAX ? `, and ${capable.length - NAMED_MAX} more` : "";
  return `Waiting for an agent: ${named.join(", ")}${more}`;
}
