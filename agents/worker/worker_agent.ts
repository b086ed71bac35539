/** A worker: task specs in, results out, one `RunContext` per run. The network shape of it is made in `mod.ts` beside. */
import type { Clock } from "../../protocol/base/clock.ts";
import { assertNever } from "../../protocol/base/errors.ts";
import type { Log } from "../../protocol/base/log.ts";
import type { SecretSource } from "../../protocol/cli/secret_source.ts";
import type { Capability } from "../../protocol/mesh/capability.ts";
import type { TaskResult, TaskSpec } from "../../protocol/mesh/task.ts";
import type { TaskHandler } from "../../protocol/mesh/task_port.ts";
import { openKnownDestinations } from "../destinations/known_destinations.ts";
import { spawnThread } from "../threads/spawn.ts";
import { namedKeysOf } from "./named_keys.ts";
import { RunContext } from "./run_context.ts";
import { RunTable } from "./run_table.ts";

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
  options: {
    clock: Clock;
    log: Log;
    stateDir: string;
    hostId: string;
    /** How threads are started, for tests. */
    spawn?: (role: string) => ReturnType<typeof spawnThread>;
    secrets?: ReadonlyMap<string, SecretSource>;
  },
): Worker {
  const runs = new RunTable(() =>
    new RunContext({
      spawn: spawnThread,
      ...options,
      known: openKnownDestinations(options.stateDir),
      processors: navigator.hardwareConcurrency,
      readKeys: namedKeysOf(options.secrets ?? new Map()),
    })
  );
  return {
    async handler(spec: TaskSpec, context): Promise<TaskResult> {
      switch (spec.op) {
        case "prepare":
          return await runs.prepare(spec, context);
        case "join":
          return await runs.join(spec, context);
        case "scan":
          return await runs.get(spec.runId).scan(spec, context);
        case "mirror":
          return await runs.get(spec.runId).mirror(spec, context);
        case "finish":
          return await runs.get(spec.runId).finish(spec);
        case "drop":
          runs.find(spec.runId)?.drop(spec.destination);
          return { op: "drop" };
        case "release":
          await runs.release(spec.runId);
          return { op: "release" };
        default:
          return assertNever(spec);
      }
    },
    async close(): Promise<void> {
      await runs.releaseAll();
    },
  };
}
