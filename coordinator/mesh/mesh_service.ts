/** What the coordinator's methods ask of it. Rule: plain calls; nothing here knows JSON-RPC. */
import type { JobSpec } from "../../protocol/mesh/job.ts";
import type {
  Acceptance,
  AgentInfo,
  HeldRun,
  HeldTask,
  RunDetail,
  RunEvent,
  RunInfo,
  RunShare,
} from "../../protocol/mesh/methods.ts";
import type { EventStream } from "../../protocol/rpc/method.ts";
import type { Registry, RegistryTimes } from "../registry/registry.ts";
import type { StoredRun } from "../store/records.ts";

export interface MeshService {
  register: Registry["register"];
  heard: Registry["heard"];
  isDraining(agentId: string): boolean;
  /** Of the attempts it says it has, those that it does have; their lease runs anew. */
  renew(agentId: string, tasks: readonly HeldTask[]): HeldTask[];
  /** Of the runs it holds something for, those that have ended or gone on without it. */
  overFor(runs: readonly HeldRun[]): HeldRun[];
  /** Of the runs it holds something for, what it may use of them now. */
  sharesOf(runs: readonly HeldRun[]): RunShare[];
  readonly times: RegistryTimes;
  submit(job: JobSpec, idempotencyKey: string | undefined): string;
  runs(limit: number): RunInfo[];
  /** @throws {BackupError} `not_found` */
  run(runId: string): RunDetail;
  follow(runId: string): EventStream<RunEvent> | undefined;
  cancel(runId: string, destination: string | undefined): StoredRun;
  /** A run that is paused begins nothing new. @throws {BackupError} `not_found`, or `rejected` when it is over */
  pause(runId: string, isPaused: boolean): void;
  agents(): AgentInfo[];
  drain(agentId: string, isDraining: boolean): Acceptance;
  remove(agentId: string): Acceptance;
  handoff(params: {
    task_id: string;
    target_agent: string;
    epoch?: number;
    task_data?: { directory_path?: string; capability?: string };
  }): Promise<Acceptance & { epoch?: number }>;
  move(
    taskId: string,
    epoch: number,
    fromAgent: string,
    toAgent: string,
  ): Acceptance & { epoch?: number };
}
