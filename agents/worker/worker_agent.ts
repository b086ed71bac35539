/** A worker: task specs in, results out, one `RunContext` per run. The network shape of it is made in `mod.ts` beside. */
import type { Clock } from "../../protocol/base/clock.ts";
import { openHeapTrimmer } from "../platform/heap_trimmer.ts";
import { assertNever } from "../../protocol/base/errors.ts";
import type { Log } from "../../protocol/base/log.ts";
import type { SecretSource } from "../../protocol/cli/secret_source.ts";
import type { Capability } from "../../protocol/mesh/capability.ts";
import type { HeldTask } from "../../protocol/mesh/methods.ts";
import type { TaskResult, TaskSpec } from "../../protocol/mesh/task.ts";
import type { TaskHandler } from "../../protocol/mesh/task_port.ts";
import { openKnownDestinations } from "../destinations/known_destinations.ts";
import { spawnThread } from "../threads/spawn.ts";
import { AttemptGuard } from "../strategies/mirror/attempt_guard.ts";
import { openSnapshotJournal } from "../strategies/snapshot/mod.ts";
import type { HeldRuns } from "./linked_agent.ts";
import { BufferBudget } from "./buffer_budget.ts";
import { namedKeysOf } from "./named_keys.ts";
import { EVERYWHERE, type Roots } from "./roots.ts";
import { RunContext } from "./run_context.ts";
import { RunTable } from "./run_table.ts";
import { restoreTask } from "./restore_task.ts";
import type { TaskFiles } from "./task_files.ts";

export const WORKER_CAPABILITIES: readonly Capability[] = [
  "compress",
  "encrypt",
  "mirror",
  "snapshot",
  "backup.parallel",
  "backup.sequential",
  "backup.verify",
  "backup.restore",
];

export interface Worker {
  handler: TaskHandler;
  /**
   * Until when, on the boot clock, an attempt may change anything at a destination; 0: not any more. Threads see it at once,
   * also those of a process that was stopped and wakes up later.
   */
  setLease(task: HeldTask, endsAtMs: number): void;
  /** What it holds of runs, and how to give that back; a later epoch of the run stays. */
  runs: HeldRuns;
  /** The files of a task it works on. @throws {BackupError} `not_found` */
  files(taskId: string, offset: number, limit: number): TaskFiles;
  /** Releases every run. */
  close(): Promise<void>;
}

export function createWorker(
  options: {
    clock: Clock;
    log: Log;
    stateDir: string;
    hostId: string;
    /** How threads are started, for tests. */
    spawn?: (role: string) => ReturnType<typeof spawnThread>;
    secrets?: ReadonlyMap<string, SecretSource>;
    /** All it may touch; by default everything. */
    roots?: Roots;
    version?: string;
    /** Memory for data on its way, for all runs together; by default each run has what it asks for. */
    bufferBytes?: number;
  },
): Worker {
  /** Of attempts that are known and have not ended. */
  const guards = new Map<string, AttemptGuard>();
  const guardOf = (task: HeldTask): AttemptGuard => {
    const key = keyOf(task);
    const known = guards.get(key);
    if (known !== undefined) return known;
    const made = new AttemptGuard();
    guards.set(key, made);
    return made;
  };
  const buffers = new BufferBudget(options.bufferBytes ?? Infinity);
  const trimHeap = openHeapTrimmer();
  const runs = new RunTable(() =>
    new RunContext({
      buffers,
      spawn: spawnThread,
      roots: EVERYWHERE,
      trimHeap,
      ...options,
      known: openKnownDestinations(options.stateDir),
      processors: navigator.hardwareConcurrency,
      readKeys: namedKeysOf(options.secrets ?? new Map()),
      journal: openSnapshotJournal(options.stateDir, (message) => options.log("warn", message)),
      program: `backup-agent ${options.version ?? ""}`.trim(),
    })
  );
  const { roots = EVERYWHERE, secrets = new Map(), spawn = spawnThread } = options;
  return {
    files: (taskId, offset, limit) => runs.filesOf(taskId, offset, limit),
    async handler(spec: TaskSpec, context): Promise<TaskResult> {
      switch (spec.op) {
        case "prepare":
          return await runs.prepare(spec, context);
        case "join":
          return await runs.join(spec, context);
        case "scan":
          return await runs.get(spec.runId).scan(spec, context);
        case "mirror":
          try {
            return await runs.get(spec.runId).mirror(spec, context, guardOf(spec));
          } finally {
            guards.delete(keyOf(spec));
          }
        case "finish":
          return await runs.get(spec.runId).finish(spec);
        case "drop":
          await runs.leave(spec);
          return { op: "drop" };
        case "restore":
          return await restoreTask(spec, context, { ...options, roots, secrets, spawn });
        case "pause":
          runs.find(spec.runId)?.pause(spec.isPaused);
          return { op: "pause" };
        case "release":
          await runs.release(spec.runId);
          return { op: "release" };
        default:
          return assertNever(spec);
      }
    },
    setLease(task, endsAtMs) {
      if (endsAtMs > 0) guardOf(task).endAt(endsAtMs);
      else guards.get(keyOf(task))?.stop();
    },
    runs: {
      share: (share) => runs.share(share),
      held: () => runs.held(),
      release: ({ runId, runEpoch }) => runs.release(runId, runEpoch),
    },
    async close(): Promise<void> {
      await runs.releaseAll();
    },
  };
}

function keyOf({ taskId, epoch }: HeldTask): string {
  return `${taskId}:${epoch}`;
}
