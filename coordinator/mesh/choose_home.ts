/**
 * Which agent prepares a run, and which one reads a source that its home cannot. Rule: pure; every source has somebody
 * near it before anything begins, and the coordinator's own agent is used only where it must be.
 */
import type { SourceSpec } from "../../protocol/mesh/job.ts";
import { match } from "../scheduler/match.ts";
import type { AgentView } from "../scheduler/view.ts";

export interface HomeChoice {
  agent?: AgentView;
  /** Why there is none yet, for people. */
  reason?: string;
}

export interface HomeFacts {
  /** Agents that are out of the run, and why. */
  excluded: ReadonlyMap<string, string>;
  heldBy(agentId: string): number;
  /** Destinations that the agent was found not to reach; 0 while nobody has tried. */
  unreached?(agentId: string): number;
}

/** The one that reaches the most destinations, then the one near the most sources, then the least busy. */
export function chooseHome(
  sources: readonly SourceSpec[],
  agents: readonly AgentView[],
  { excluded, heldBy, unreached = () => 0 }: HomeFacts,
): HomeChoice {
  const nearTo = new Map<AgentView, number>();
  for (const source of sources) {
    const { candidates, reason } = nearSource(source, agents, excluded);
    if (candidates.length === 0) return { reason: reason ?? "No agent can reach its sources" };
    for (const agent of candidates) nearTo.set(agent, (nearTo.get(agent) ?? 0) + 1);
  }
  const order = (a: AgentView, b: AgentView): number =>
    Number(a.isFallback === true) - Number(b.isFallback === true) ||
    unreached(a.agentId) - unreached(b.agentId) ||
    nearTo.get(b)! - nearTo.get(a)! ||
    loadOf(a) - loadOf(b) ||
    heldBy(a.agentId) - heldBy(b.agentId);
  const [agent] = agents.filter((a) => nearTo.has(a)).toSorted(order);
  return agent === undefined ? { reason: "No agent is known" } : { agent };
}

/** An agent near one source; the least busy. */
export function chooseScanner(
  source: SourceSpec,
  agents: readonly AgentView[],
  { excluded, heldBy }: HomeFacts,
): HomeChoice {
  const { candidates, reason } = nearSource(source, agents, excluded);
  const [agent] = candidates.toSorted((a, b) =>
    loadOf(a) - loadOf(b) || heldBy(a.agentId) - heldBy(b.agentId)
  );
  return agent === undefined ? { reason: reason ?? "No agent is near it" } : { agent };
}

/** One that is only silent, or that cannot do it, may be back or is a reason to wait; nobody at all is not. */
function nearSource(
  { hostId, root }: SourceSpec,
  agents: readonly AgentView[],
  excluded: ReadonlyMap<string, string>,
): { candidates: readonly AgentView[]; reason: string | undefined } {
  const task = { requires: ["mirror"], onlyAgents: null, place: { hostId, root } };
  const regular = match(task, agents.filter((a) => a.isFallback !== true), excluded);
  if (regular.candidates.length > 0 || !regular.isDeserted) return regular;
  const own = match(task, agents.filter((a) => a.isFallback === true), excluded);
  return own.candidates.length > 0 ? own : regular;
}

function loadOf({ load }: AgentView): number {
  return Number.isFinite(load) ? Math.min(1, Math.max(0, load)) : 1;
}
