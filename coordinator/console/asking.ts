/** A question to an agent, with its deadline. Rule: an agent that does not answer is a failure with a name, never a wait without end. */
import type * as v from "valibot";
import { BackupError } from "../../protocol/base/errors.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import { failureIn } from "../../protocol/mesh/rpc_failure.ts";
import { RPC_CODES } from "../../protocol/rpc/error_codes.ts";
import type { Method } from "../../protocol/rpc/method.ts";
import { RpcError } from "../../protocol/rpc/rpc_error.ts";
import type { AgentReach } from "../mesh/mesh_coordinator.ts";
import { within } from "../runs/deadline.ts";
import type { AgentView } from "../scheduler/view.ts";

/** Beyond what the agent itself may take. */
const ANSWER_WITHIN_MS = 70_000;

/** @throws {BackupError} as the agent said it, or `deadline` */
export async function askAgent<P extends v.GenericSchema, R extends v.GenericSchema>(
  { reach, clock }: { reach: AgentReach; clock: Clock },
  agent: AgentView,
  method: Method<P, R>,
  params: v.InferOutput<P>,
): Promise<v.InferOutput<R>> {
  try {
    return await within(
      (signal) => reach.rpc(agent.agentId).call(method, params, { signal }),
      clock,
      ANSWER_WITHIN_MS,
    );
  } catch (thrown) {
    throw agentFailure(thrown, reach.nameOf(agent.agentId));
  }
}

/** What the agent said, as an error of ours. */
export function agentFailure(thrown: unknown, name: string): unknown {
  if (!(thrown instanceof RpcError)) return thrown;
  const failure = failureIn(thrown);
  if (failure !== undefined) return failure;
  return thrown.code === RPC_CODES.methodNotFound
    ? new BackupError("unsupported", `${name} is an older version and cannot say`)
    : new BackupError("protocol", `${name} could not answer: ${thrown.message}`);
}
