/** Which agent is asked about a place. Rule: pure; one that lives and can, on the machine that is meant, the coordinator's own last. */
import { BackupError } from "../../protocol/base/errors.ts";
import { capabilityWord, missingCapabilities } from "../../protocol/mesh/capability.ts";
import { readinessOf } from "../scheduler/match.ts";
import type { AgentView } from "../scheduler/view.ts";

/** @throws {BackupError} `not_found` when nobody is there who could say */
export function chooseAgent(
  views: readonly AgentView[],
  { agentId, hostId, requires = [] }: {
    agentId?: string | undefined;
    hostId?: string | undefined;
    /** Capabilities. */
    requires?: readonly string[];
  },
): AgentView {
  const able = views.filter((view) => ["ready", "draining"].includes(readinessOf(view)));
  if (agentId !== undefined) {
    const found = able.find((view) => view.agentId === agentId);
    if (found !== undefined) return found;
    throw new BackupError("not_found", `Agent ${agentId} is not there`, { retry: "later" });
  }
  const there = able.filter((view) => hostId === undefined || view.hostId === hostId)
    .toSorted((a, b) => rank(a) - rank(b) || a.load - b.load);
  const best = there.find((view) => missingCapabilities(requires, view.capabilities).length === 0);
  if (best !== undefined) return best;
  if (there.length > 0) {
    const words = requires.map(capabilityWord).join(",");
    throw new BackupError("not_found", `No agent of that machine offers ${words}`, {
      hint: `Start one there that does: --capabilities ${words}, or without that option for all`,
      retry: "later",
    });
  }
  throw new BackupError("not_found", `No agent of that machine is there to look`, {
    hint: "Start one there: backup-agent --role worker --coordinator URL",
    retry: "later",
  });
}

function rank({ isFallback }: AgentView): number {
  return isFallback === true ? 1 : 0;
}
