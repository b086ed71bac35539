/** Every agent in words: state, load, last heartbeat, what it does and has done, what it can. */
import { formatBytes, formatCount, formatPercent } from "../../../protocol/cli/format.ts";
import type { AgentCardView, TaskCard } from "../../../protocol/mesh/console_state.ts";
import { ActionButton } from "../ui/action_button.tsx";
import { memo } from "../ui/memo.ts";
import { byName, capabilityWords, formatAgo } from "../words.ts";
import { ONE_RING_MAX } from "./mesh_layout.ts";

const STATE_WORDS: Record<AgentCardView["state"], string> = {
  alive: "Alive",
  suspect: "Not heard lately",
  dead: "Dead",
  draining: "Draining",
  foreign: "Of another mesh",
};

export interface AgentsTableProps {
  agents: readonly AgentCardView[];
  tasks: Readonly<Record<string, TaskCard>>;
  nowMs: number;
}

export function AgentsTable({ agents, tasks, nowMs }: AgentsTableProps) {
  const worksOn = tasksInHand(tasks);
  const sorted = [...agents].sort((a, b) => byName(a.name, b.name));
  return (
    <div
      class={`scroll ${sorted.length > ONE_RING_MAX ? "is-long" : ""}`}
      role="region"
      aria-label="Agents"
      tabindex={0}
    >
      <table class="agents">
        <thead>
          <tr>
            <th scope="col">Agent</th>
            <th scope="col">State</th>
            <th scope="col" class="number">Load</th>
            <th scope="col">Heard</th>
            <th scope="col">Works on</th>
            <th scope="col" class="number">Tasks done</th>
            <th scope="col" class="number">Bytes</th>
            <th scope="col">Can</th>
            <th scope="col">
              <span class="unseen">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {sorted.map((agent) => (
            <AgentRow
              key={agent.agentId}
              agent={agent}
              works={worksOn.get(agent.agentId)?.join(", ") ?? "–"}
              heard={heardText(agent, nowMs)}
            />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function heardText({ isOwn, heardAtMs }: AgentCardView, nowMs: number): string {
  if (isOwn) return "–";
  return heardAtMs === null ? "never" : formatAgo(nowMs - heardAtMs);
}

/** Names of the directories that each agent has in hand. */
function tasksInHand(tasks: AgentsTableProps["tasks"]): Map<string, string[]> {
  const byAgent = new Map<string, string[]>();
  for (const { agent, state, source } of Object.values(tasks)) {
    if (agent === null || (state !== "running" && state !== "assigned")) continue;
    const names = byAgent.get(agent) ?? [];
    if (!names.includes(source.name)) names.push(source.name);
    byAgent.set(agent, names);
  }
  return byAgent;
}

interface AgentRowProps {
  agent: AgentCardView;
  works: string;
  heard: string;
}

const AgentRow = memo(({ agent, works, heard }: AgentRowProps) => {
  const { agentId, name, state } = agent;
  return (
    <tr class={`is-${state}`} data-agent={name}>
      <th scope="row">{name}{agent.isOwn && <span class="muted">when nobody else can</span>}</th>
      <td>
        <span class={`state-dot is-${state}`} />
        {STATE_WORDS[state]}
        {agent.reason !== undefined && <span class="muted">: {agent.reason}</span>}
      </td>
      <td class="number">{state === "dead" ? "–" : formatPercent(agent.load)}</td>
      <td class="digits">{heard}</td>
      <td class="path">
        <bdi>{works}</bdi>
      </td>
      <td class="number">{formatCount(agent.totals.tasks)}</td>
      <td class="number">{formatBytes(agent.totals.bytes)}</td>
      <td class="chips">
        {capabilityWords(agent.capabilities)}
      </td>
      <td>
        {!agent.isOwn && (state === "alive" || state === "suspect") && (
          <ActionButton
            action={{
              title: "Drain",
              send: (api) =>
                api.api.agents[":agentId"].drain.$post({ param: { agentId }, json: {} }),
              words: ["drain", name],
            }}
            done={`${name} gets nothing more`}
          />
        )}
        {!agent.isOwn && state === "draining" && (
          <ActionButton
            action={{
              title: "Use again",
              send: (api) =>
                api.api.agents[":agentId"].drain.$post({
                  param: { agentId },
                  json: { undo: true },
                }),
              words: ["drain", name, "--undo"],
            }}
            done={`${name} gets work again`}
          />
        )}
        {!agent.isOwn && (state === "dead" || state === "draining") && (
          <ActionButton
            action={{
              title: "Forget",
              send: (api) => api.api.agents[":agentId"].$delete({ param: { agentId } }),
            }}
            done={`${name} is forgotten`}
          />
        )}
      </td>
    </tr>
  );
});
