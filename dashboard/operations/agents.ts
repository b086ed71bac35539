/** Operations about agents. */
import * as v from "valibot";
import { BackupError } from "../../protocol/base/errors.ts";
import { AgentInfo, DrainAgent, ListAgents, RemoveAgent } from "../../protocol/mesh/methods.ts";
import { operation } from "./operation.ts";
import { idText } from "./query_values.ts";

const GROUP = "Agents";
const ofAgent = v.object({ agentId: idText });

export const listAgents = operation({
  name: "listAgents",
  group: GROUP,
  method: "get",
  path: "/agents",
  summary: "Agents with load, last heartbeat, capabilities and tasks",
  input: {},
  output: ListAgents.result,
  handler: (_, { ask }) => ask(ListAgents, {}),
});

export const getAgent = operation({
  name: "getAgent",
  group: GROUP,
  method: "get",
  path: "/agents/:agentId",
  summary: "One agent",
  input: { params: ofAgent },
  output: v.object({ agent: AgentInfo }),
  async handler({ params: { agentId } }, { ask }) {
    const { agents } = await ask(ListAgents, {});
    const agent = agents.find((a) => a.agentId === agentId);
    if (agent === undefined) throw new BackupError("not_found", `No agent ${agentId} is known`);
    return { agent };
  },
});

export const drainAgent = operation({
  name: "drainAgent",
  group: GROUP,
  method: "post",
  path: "/agents/:agentId/drain",
  summary: "Gives it nothing more, and what it has to others; with undo it gets work again",
  input: { params: ofAgent, body: v.strictObject({ undo: v.exactOptional(v.boolean()) }) },
  output: DrainAgent.result,
  handler: ({ params, body }, { ask }) => ask(DrainAgent, { ...params, ...body }),
});

export const removeAgent = operation({
  name: "removeAgent",
  group: GROUP,
  method: "delete",
  path: "/agents/:agentId",
  summary: "Forgets an agent that is dead or drained",
  input: { params: ofAgent },
  output: RemoveAgent.result,
  handler: ({ params }, { ask }) => ask(RemoveAgent, params),
});
