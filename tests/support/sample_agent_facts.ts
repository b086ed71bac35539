/** Facts of an agent for tests that need some agent. */
import type { AgentFacts } from "../../protocol/mesh/agent_facts.ts";

export function sampleAgentFacts(changes: Partial<AgentFacts> = {}): AgentFacts {
  return {
    agentId: "agent-1",
    bootId: "boot-1",
    hostId: "host-1",
    capabilities: ["mirror", "backup.verify"],
    roots: ["home"],
    limits: { slots: 3 },
    load: { score: 0.25, observedAtMs: 1_700_000_000_000 },
    state: "ready",
    ...changes,
  };
}
