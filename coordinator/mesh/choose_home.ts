/** Which agent prepares a run. Rule: pure; near all sources, able and idle, and the coordinator's own only when it must. */
import { match, readinessOf } from "../scheduler/match.ts";
import type { AgentView } from "../scheduler/view.ts";
import type { SourceSpec } from "../../protocol/mesh/job.ts";

export interface HomeChoice {
  agent?: AgentView;
  /** Why there is none yet, for people. */
  reason?: string;
}

export function chooseHome(
  sources: readonly SourceSpec[],
  agents: readonly AgentView[],
  excluded: ReadonlyMap<string, string>,
  heldBy: (agentId: string) => number,
): HomeChoice {
  const places = sources.map(({ hostId, root }) => ({ hostId, root }));
  const find = (among: readonly AgentView[]) => {
    let left = among;
    let reason: string | undefined;
    for (const place of places) {
      const found = match({ requires: ["mirror"], onlyAgents: null, place }, left, excluded);
      reason ??= found.reason;
      left = found.candidates;
    }
    return { left, reason };
  };
  const regular = agents.filter((a) => a.isFallback !== true);
  const { left, reason } = find(regular);
  const best =
    left.toSorted((a, b) => loadOf(a) - loadOf(b) || heldBy(a.agentId) - heldBy(b.agentId))[0];
  if (best !== undefined) return { agent: best };
  // One that is only silent, or that cannot do it, may be back or is a reason to wait; nobody at all is not.
  const isDeserted = regular.every((a) =>
    excluded.has(a.agentId) || !["ready", "suspect"].includes(readinessOf(a)) ||
    !places.every((place) => isNear(place, a))
  );
  const own = isDeserted ? find(agents.filter((a) => a.isFallback === true)).left[0] : undefined;
  return own === undefined
    ? { reason: reason ?? "No agent can reach all of its sources" }
    : { agent: own };
}

function isNear(
  place: { hostId?: string | undefined; root?: string | undefined },
  agent: AgentView,
) {
  return match({ requires: [], onlyAgents: null, place }, [{ ...agent, readiness: "ready" }])
    .candidates.length > 0;
}

function loadOf({ load }: AgentView): number {
  return Number.isFinite(load) ? Math.min(1, Math.max(0, load)) : 1;
}
