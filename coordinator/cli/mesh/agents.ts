/** `agents`: who is in the mesh, how loaded, and who is not used and why. */
import type { Command } from "../../../protocol/cli/command.ts";
import { jsonLine } from "../../../protocol/cli/error_line.ts";
import { formatDuration } from "../../../protocol/cli/format.ts";
import { type AgentInfo, ListAgents } from "../../../protocol/mesh/methods.ts";
import { columns } from "./columns.ts";
import { COORDINATOR_OPTIONS, linkOf } from "./coordinator_call.ts";
import type { MeshDoor } from "./mesh_door.ts";

export function createAgentsCommand(door: MeshDoor): Command {
  return {
    name: "agents",
    summary: "List the agents of a coordinator",
    synopsis: ["agents [OPTIONS]"],
    about: [
      "LOAD is from 0.0, idle, to 1.0, busy, as the agent last said. A foreign agent belongs to another mesh.",
    ],
    options: COORDINATOR_OPTIONS,
    examples: [{ says: "on this machine", words: "agents" }],
    exitCodes: [0, 1, 2],
    exitMeanings: { 0: "listed" },
    async run(call) {
      const { terminal, settings } = call;
      const { agents } = await linkOf(call, door).ask(ListAgents, {});
      if (settings.get("json").value) {
        terminal.out(agents.map((a) => jsonLine(messageOf(a))).join(""));
      } else {
        const heading = [
          "AGENT",
          "NAME",
          "STATE",
          "LOAD",
          "TASKS",
          "HEARD",
          "ADDRESS",
          "CAPABILITIES",
        ];
        terminal.out(columns(heading, agents.map(rowOf)) || "No agent is known.\n");
      }
      return 0;
    },
  };
}

function messageOf(agent: AgentInfo): Record<string, unknown> {
  return {
    message_type: "agent",
    agent_id: agent.agentId,
    name: agent.name,
    state: agent.state,
    url: agent.url,
    version: agent.version,
    host_id: agent.hostId,
    capabilities: agent.capabilities,
    roots: agent.roots,
    slots: agent.slots,
    load_score: agent.load,
    seconds_since_heartbeat: agent.heartbeatAgeMs === null ? null : agent.heartbeatAgeMs / 1000,
    tasks: agent.tasks.map(({ taskId, epoch }) => ({ task_id: taskId, epoch })),
    bytes_total: agent.totals.bytes,
    files_total: agent.totals.files,
    tasks_total: agent.totals.tasks,
    ...(agent.reason === undefined ? {} : { reason: agent.reason }),
  };
}

function rowOf(agent: AgentInfo): string[] {
  const why = agent.reason === undefined ? "" : ` (${agent.reason})`;
  return [
    agent.agentId,
    agent.name,
    agent.state + why,
    agent.load.toFixed(2),
    `${agent.tasks.length}/${agent.slots}`,
    agent.heartbeatAgeMs === null ? "-" : `${formatDuration(agent.heartbeatAgeMs)} ago`,
    agent.url,
    agent.capabilities.join(" "),
  ];
}
