/**
 * Work goes from agent to agent. Rule: an offer promises nothing and an acceptance moves nothing; the lease moves only when
 * the coordinator has compared the attempt and said so.
 */
import { asBackupError } from "../../protocol/base/errors.ts";
import { missingCapabilities } from "../../protocol/mesh/capability.ts";
import {
  type Acceptance,
  HandoffTask,
  ListAgents,
  MoveLease,
  OfferTask,
} from "../../protocol/mesh/methods.ts";
import type { MirrorTask, TaskSpec } from "../../protocol/mesh/task.ts";
import type { TaskHandler } from "../../protocol/mesh/task_port.ts";
import type { RpcClient } from "../../protocol/rpc/client.ts";
import { type Binding, onCall } from "../../protocol/rpc/method.ts";
import type { LinkedAgent } from "../worker/linked_agent.ts";

export interface OpenTask {
  readonly spec: MirrorTask;
  /** As far as it is known. */
  sizeBytes: number;
}

export interface OpenTasks {
  /** The handler, watched. */
  readonly handler: TaskHandler;
  get(taskId: string): OpenTask | undefined;
}

/** Knows which directory tasks the handler is working on. */
export function watchTasks(handler: TaskHandler): OpenTasks {
  const open = new Map<string, OpenTask>();
  return {
    get: (taskId) => open.get(taskId),
    async handler(spec: TaskSpec, context) {
      if (spec.op !== "mirror") return await handler(spec, context);
      const task: OpenTask = { spec, sizeBytes: 0 };
      open.set(spec.taskId, task);
      try {
        return await handler(spec, {
          ...context,
          progress(progress) {
            task.sizeBytes = Math.max(0, ...progress.lanes.map((l) => l.counters.bytesTotal));
            context.progress(progress);
          },
        });
      } finally {
        // A newer attempt of the same task may be in its place.
        if (open.get(spec.taskId) === task) open.delete(spec.taskId);
      }
    },
  };
}

/** What an agent must offer to take the task. */
export function requirementsOf({ source, options }: MirrorTask): string[] {
  const codec = (source.encoding ?? options.encoding)?.codec ?? "";
  return [
    ...new Set([
      "mirror",
      ...(codec.includes("zst") ? ["compress"] : []),
      ...(codec.includes("age") ? ["encrypt"] : []),
      ...source.requires ?? [],
    ]),
  ];
}

/** `handoff_task` and `mesh.OfferTask` of a worker. */
export function handoffBindings(deps: {
  agent: LinkedAgent;
  tasks: Pick<OpenTasks, "get">;
  coordinator: () => RpcClient;
  connect: (url: string) => RpcClient;
}): Binding[] {
  const { agent, tasks, coordinator, connect } = deps;

  return [
    onCall(OfferTask, (offered): Acceptance => agent.offer(offered)),
    onCall(HandoffTask, async ({ task_id, target_agent, epoch, task_data }) => {
      const task = tasks.get(task_id);
      if (task === undefined) return refused(`This agent does not work on ${task_id}`);
      const { spec } = task;
      if (epoch !== undefined && epoch !== spec.epoch) {
        return refused(`Attempt ${epoch} is over; this is attempt ${spec.epoch}`);
      }
      const path = task_data?.directory_path;
      if (path !== undefined && path.replace(/(?<=.)\/+$/, "") !== spec.source.path) {
        return refused(`${task_id} is about ${spec.source.path}`);
      }
      const wanted = task_data?.capability;
      const requires = [...requirementsOf(spec), ...(wanted === undefined ? [] : [wanted])];
      const own = agent.facts().agentId;
      try {
        const { agents } = await coordinator().call(ListAgents, {});
        const found = agents.filter((a) => a.agentId === target_agent || a.name === target_agent);
        const [target] = found;
        if (target === undefined) return refused(`No agent ${target_agent} is known`);
        if (found.length > 1) return refused(`${found.length} agents are named ${target_agent}`);
        if (target.agentId === own) return refused("It has the task already");
        if (target.state !== "alive") return refused(`${target.name} is ${target.state}`);
        const missing = missingCapabilities(requires, target.capabilities);
        if (missing.length > 0) {
          return refused(`${target.name} does not offer ${missing.join(", ")}`);
        }
        const answer = await connect(target.url).call(OfferTask, {
          taskId: task_id,
          epoch: spec.epoch,
          runId: spec.runId,
          fromAgent: own,
          source: spec.source,
          requires,
          sizeBytes: Math.round(task.sizeBytes),
        });
        if (!answer.accepted) return refused(answer.reason ?? `${target.name} refused`);
        const moved = await coordinator().call(MoveLease, {
          taskId: task_id,
          epoch: spec.epoch,
          fromAgent: own,
          toAgent: target.agentId,
        });
        if (moved.accepted) agent.revoke([{ taskId: task_id, epoch: spec.epoch }]);
        return moved;
      } catch (thrown) {
        return refused(asBackupError(thrown).message);
      }
    }),
  ];
}

function refused(reason: string): Acceptance {
  return { accepted: false, reason };
}
