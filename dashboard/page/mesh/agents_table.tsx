/** Every agent in words: state, load, last heartbeat, what it does and has done, what it can. */
import { formatBytes, formatCount, formatPercent } from "../../../protocol/cli/format.ts";
import type { AgentCardView, TaskCard } from "../../../protocol/mesh/console_state.ts";
import { ActionButton } from "../ui/action_button.tsx";
import { formatAgo } from "../words.ts";

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
  const sorted = [...agents].sort((a, b) => a.name < b.name ? -1 : 1);
  return (
    <div class="scroll" role="region" aria-label="Agents" tabindex={0}>
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
            <AgentRow key={agent.agentId} agent={agent} tasks={tasks} nowMs={nowMs} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function AgentRow(
  { agent, tasks, nowMs }: {
    agent: AgentCardView;
    tasks: AgentsTableProps["tasks"];
    nowMs: number;
  },
) {
  const { agentId, name, state } = agent;
  const own = Object.values(tasks).filter((task) =>
    task.agent === agentId && (task.state === "running" || task.state === "assigned")
  );
  return (
    <tr class={`is-${state}`} data-agent={name}>
      <th scope="row">{name}{agent.isOwn && <span class="muted">when nobody else can</span>}</th>
      <td>
        <span class={`state-dot is-${state}`} />
        {STATE_WORDS[state]}
        {agent.reason !== undefined && <span class="muted">: {agent.reason}</span>}
      </td>
      <td class="number">{state === "dead" ? "–" : formatPercent(agent.load)}</td>
      <td class="digits">
        {agent.isOwn
          ? "–"
          : agent.heardAtMs === null
          ? "never"
          : formatAgo(nowMs - agent.heardAtMs)}
      </td>
      <td class="path">
        <bdi>{own.length === 0 ? "–" : own.map((task) => task.source.name).join(", ")}</bdi>
      </td>
      <td class="number">{formatCount(agent.totals.tasks)}</td>
      <td class="number">{formatBytes(agent.totals.bytes)}</td>
      <td class="chips">
        {agent.capabilities.map((id) => id.replace(/^backup\./, "")).join(", ")}
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
}
