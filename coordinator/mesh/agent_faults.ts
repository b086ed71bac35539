/** What an error says about the agent that was asked. Rule: what is an agent's fault is held against no task and no run. */
import { asBackupError } from "../../protocol/base/errors.ts";
import { AgentBusyError, AgentLostError } from "../../protocol/mesh/task_port.ts";
import { UnreachableError } from "../../protocol/rpc/client.ts";

/** Leases that pass before an agent that is heard and cannot be reached loses its attempt. */
export const UNREACHABLE_LEASES_MAX = 2;

/** Nobody answers for the task, or not now: that says something about the agent, and nothing about the task. */
export function isAgentLost(thrown: unknown): boolean {
  return thrown instanceof UnreachableError || thrown instanceof AgentLostError ||
    thrown instanceof AgentBusyError;
}

/** Whether another agent, or the same one after a while, could do better. */
export function isAgentsFault(thrown: unknown): boolean {
  const { code, retry } = asBackupError(thrown);
  return retry !== "no" ||
    ["superseded", "cancelled", "io", "protocol", "internal", "deadline"].includes(code);
}
