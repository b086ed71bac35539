/** A worker: task specs in, results out, one `RunContext` per run. The network shape of it is made in `mod.ts` beside. */
import type { Clock } from "../../protocol/base/clock.ts";
import { assertNever, BackupError } from "../../protocol/base/errors.ts";
import type { Log } from "../../protocol/base/log.ts";
import type { Capability } from "../../protocol/mesh/capability.ts";
import type { TaskResult, TaskSpec } from "../../protocol/mesh/task.ts";
import type { TaskHandler } from "../../protocol/mesh/task_port.ts";
import { openKnownDestinations } from "../destinations/known_destinations.ts";
import { spawnThread } from "../threads/spawn.ts";
import { RunContext } from "./run_context.ts";

export const WORKER_CAPABILITIES: readonly Capability[] = [
  "compress",
  "encrypt",
  "mirror",
  "backup.parallel",
  "backup.sequential",
  "backup.verify",
];

export interface Worker {
  handler: TaskHandler;
  /** Releases every run. */
  close(): Promise<void>;
}

export function createWorker(
  options: { clock: Clock; log: Log; stateDir: string; hostId: string },
): Worker {
  const runs = new Map<string, RunContext>();
  const open = (runId: string): RunContext => {
    const existing = runs.get(runId);
    if (existing !== undefined) return existing;
    const created = new RunContext({
      ...options,
      spawn: spawnThread,
      known: openKnownDestinations(options.stateDir),
      processors: navigator.hardwareConcurrency,
    });
    runs.set(runId, created);
    return created;
  };
  const known = (runId: string): RunContext => {
    const run = runs.get(runId);
    if (run === undefined) {
      throw new BackupError("rejected", `Run ${runId} was not prepared here`, {
        retry: "elsewhere",
      });
    }
    return run;
  };
  return {
    async handler(spec: TaskSpec, context): Promise<TaskResult> {
      switch (spec.op) {
        case "prepare":
          return await open(spec.runId).prepare(spec, context);
        case "join":
          throw new BackupError("rejected", `Run ${spec.runId} cannot be joined here`, {
            retry: "elsewhere",
          });
        case "scan":
          return await known(spec.runId).scan(spec, context);
        case "mirror":
          return await known(spec.runId).mirror(spec, context);
        case "finish":
          return await known(spec.runId).finish(spec);
        case "release": {
          const run = runs.get(spec.runId);
          runs.delete(spec.runId);
          await run?.release();
          return { op: "release" };
        }
        default:
          return assertNever(spec);
      }
    },
    async close(): Promise<void> {
      await Promise.all([...runs.values()].map((run) => run.release()));
      runs.clear();
    },
  };
}
