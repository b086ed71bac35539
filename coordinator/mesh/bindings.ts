/** The coordinator's methods over its service. Rule: one line of mapping each; what is expected to fail has its own code. */
import { asBackupError, type BackupError } from "../../protocol/base/errors.ts";
import * as mesh from "../../protocol/mesh/methods.ts";
import { failureDetail } from "../../protocol/mesh/rpc_failure.ts";
import { RPC_CODES } from "../../protocol/rpc/error_codes.ts";
import { type Binding, onCall, onStream } from "../../protocol/rpc/method.ts";
import { invalidParams, RpcError } from "../../protocol/rpc/rpc_error.ts";
import type { MeshService } from "./mesh_service.ts";

const RUNS_DEFAULT = 100;

export function meshBindings(service: MeshService): Binding[] {
  const { heartbeatMs, deadAfterMs } = service.times;
  return [
    onCall(mesh.RegisterAgent, async (registration) => {
      await answered("url", () => service.register(registration));
      return { heartbeatMs, deadAfterMs, leaseMs: deadAfterMs };
    }),
    onCall(mesh.Heartbeat, (beat) => {
      const known = service.heard(beat);
      const renewed = known ? service.renew(beat.agentId, beat.tasks) : [];
      const own = new Set(renewed.map(keyOf));
      const ended = known ? service.overFor(beat.runs ?? []) : [];
      const shares = known ? service.sharesOf(beat.runs ?? []) : [];
      return {
        known,
        renewed,
        leaseMs: deadAfterMs,
        // Of somebody who is not known nothing is taken away: it registers, and is told then.
        revoked: known ? beat.tasks.filter((task) => !own.has(keyOf(task))) : [],
        ...(ended.length === 0 ? {} : { ended }),
        ...(shares.length === 0 ? {} : { shares }),
        drain: service.isDraining(beat.agentId),
      };
    }),
    onCall(mesh.SubmitJob, async ({ job, idempotencyKey }) => ({
      runId: await answered("job", () => service.submit(job, idempotencyKey)),
    })),
    onCall(mesh.ListRuns, async ({ limit = RUNS_DEFAULT }) => ({
      runs: await answered("limit", () => service.runs(limit)),
    })),
    onCall(mesh.GetRun, ({ runId }) => answered("runId", () => service.run(runId))),
    onStream(mesh.FollowRun, async ({ runId }) => {
      const events = await answered("runId", () => service.follow(runId));
      if (events !== undefined) return events;
      throw new RpcError(RPC_CODES.unavailable, "Too many readers follow this run already");
    }),
    onCall(mesh.CancelRun, async ({ runId, destination }) => {
      const { state } = await answered("runId", () => service.cancel(runId, destination));
      return { state };
    }),
    onCall(mesh.ListAgents, () => ({ agents: service.agents() })),
    onCall(
      mesh.DrainAgent,
      ({ agentId, undo }) => answered("agentId", () => service.drain(agentId, undo !== true)),
    ),
    onCall(mesh.RemoveAgent, ({ agentId }) => answered("agentId", () => service.remove(agentId))),
    onCall(mesh.HandoffTask, (params) => service.handoff(params)),
    onCall(
      mesh.MoveLease,
      ({ taskId, epoch, fromAgent, toAgent }) =>
        answered("taskId", () => service.move(taskId, epoch, fromAgent, toAgent)),
    ),
  ];
}

function keyOf({ taskId, epoch }: mesh.HeldTask): string {
  return `${taskId}:${epoch}`;
}

/** What the caller did wrong is the caller's; a full disk and the like are told too, and stop nothing. */
async function answered<T>(field: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    const error = asBackupError(thrown);
    const { code, message } = error;
    switch (code) {
      case "usage":
      case "not_found":
      case "unsupported":
        throw withFailure(invalidParams([{ field, description: message }]), error);
      case "rejected":
      case "io":
      case "no_space":
      case "read_only":
        throw withFailure(new RpcError(RPC_CODES.unavailable, message), error);
      default:
        throw thrown;
    }
  }
}

/** What the caller can tell a person beyond the code. */
function withFailure({ code, message, data }: RpcError, error: BackupError): RpcError {
  const details = Array.isArray(data) ? data : [];
  return new RpcError(code, message, [...details, failureDetail(error)]);
}
