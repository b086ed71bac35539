/** Which agent is asked about a place. Rule: pure; one that lives, on the machine that is meant, the coordinator's own last. */
import { BackupError } from "../../protocol/base/errors.ts";
import { readinessOf } from "../scheduler/match.ts";
import type { AgentView } from "../scheduler/view.ts";

/** @throws {BackupError} `not_found` when nobody is there who could say */
export function chooseAgent(
  views: readonly AgentView[],
  { agentId, hostId }: { agentId?: string | undefined; hostId?: string | undefined },
): AgentView {
  const able = views.filter((view) => ["ready", "draining"].includes(readinessOf(view)));
  if (agentId !== undefined) {
    const found = able.find((view) => view.agentId === agentId);
    if (found !== undefined) return found;
    throw new BackupError("not_found", `Agent ${agentId} is not there`, { retry: "later" });
  }
  const there = able.filter((view) => hostId === undefined || view.hostId === hostId)
    .toSorted((a, b) => rank(a) - rank(b) || a.load - b.load);
  const [best] = there;
  if (best !== undefined) return best;
  throw new BackupError("not_found", `No agent of that machine is there to look`, {
    hint: "Start one there: backup-agent --role worker --coordinator URL",
    retry: "later",
  });
}

function rank({ isFallback }: AgentView): number {
  return isFallback === true ? 1 : 0;
}
