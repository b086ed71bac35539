/** The door of the worker side: what the executable joins with a coordinator, and what works with none. */
import type { Hono } from "hono";
import type { Clock } from "../protocol/base/clock.ts";
import { newId } from "../protocol/base/ids.ts";
import type { Log } from "../protocol/base/log.ts";
import type { SecretSource } from "../protocol/cli/secret_source.ts";
import { createTaskAgentApp } from "../protocol/http/task_agent_app.ts";
import { spawnThread } from "./threads/spawn.ts";
import {
  verifyDestination as verifyWith,
  type VerifyOptions,
  type VerifyOutcome,
} from "./strategies/mirror/verify_destination.ts";
import { findKeptVersions, restoreKeptVersion } from "./strategies/mirror/kept_versions.ts";
import type { VersionsPort } from "./cli/versions_port.ts";
import {
  type ListOptions,
  listStored as listWith,
} from "./strategies/mirror/restore/list_stored.ts";
import {
  restoreFrom as restoreWith,
  type RestoreOptions,
  type RestoreOutcome,
} from "./strategies/mirror/restore/restore_run.ts";
import {
  drill as drillWith,
  type DrillOptions,
  type DrillOutcome,
} from "./strategies/mirror/restore/drill.ts";
import { machineHostId } from "./worker/host_id.ts";
import type { Roots } from "../protocol/cli/read_roots.ts";
import { placeBindings } from "./server/place_bindings.ts";
import { EVERYWHERE } from "./worker/roots.ts";
import { createWorker, WORKER_CAPABILITIES } from "./worker/worker_agent.ts";

export { createDrillCommand } from "./cli/drill.ts";
export { createFindCommand, createLsCommand } from "./cli/ls.ts";
export { createRestoreCommand } from "./cli/restore.ts";
export { createVerifyCommand } from "./cli/verify.ts";
export { createVersionsCommand } from "./cli/versions.ts";
export {
  createRepositoryCommands,
  createRepositoryWorld,
  repositoryVerbs,
} from "./snapshots/mod.ts";
export { createWorkerRole, WORKER_PORT, workerRole } from "./server/worker_role.ts";
export { WORKER_CAPABILITIES } from "./worker/worker_agent.ts";
export { hostIdIn, machineHostId } from "./worker/host_id.ts";

export interface WorkerAgent {
  app: Hono;
  agentId: string;
  capabilities: readonly string[];
  /** Directory tasks at once; one that waits only for slow destinations does not count. */
  slots: number;
  close(): Promise<void>;
}

/** Everything an agent is, short of a socket: `app.fetch` is the whole of it. */
export function createWorkerAgent(
  options: {
    clock: Clock;
    log: Log;
    stateDir: string;
    hostId: string;
    version: string;
    url: string;
    /** What the secrets are that jobs name; none by default. */
    secrets?: ReadonlyMap<string, SecretSource>;
    /** All it may touch; by default everything. */
    roots?: Roots;
  },
): WorkerAgent {
  const { clock, log, hostId } = options;
  const agentId = newId("agent");
  const worker = createWorker(options);
  const { app, close } = createTaskAgentApp({
    card: {
      name: "backup-agent worker",
      version: options.version,
      url: options.url,
      facts: {
        agentId,
        bootId: newId("boot"),
        hostId,
        capabilities: [...WORKER_CAPABILITIES],
        roots: [...options.roots?.labels.keys() ?? []],
        limits: { slots: SLOTS },
        load: { score: 0, observedAtMs: clock.nowMs() },
        state: "ready",
      },
    },
    handler: worker.handler,
    clock,
    log,
    methods: placeBindings({
      roots: options.roots ?? EVERYWHERE,
      secrets: options.secrets ?? new Map(),
      clock,
      spawn: spawnThread,
      files: worker.files,
    }),
  });
  return {
    app,
    agentId,
    capabilities: WORKER_CAPABILITIES,
    slots: SLOTS,
    async close(): Promise<void> {
      await close();
      await worker.close();
    },
  };
}

const SLOTS = 3;

/** Reads back everything recorded at a destination; see `verify_destination.ts`. */
export function verifyDestination(options: VerifyOptions): Promise<VerifyOutcome> {
  return verifyWith(options, spawnThread);
}

/** Looks at and restores earlier versions; see `kept_versions.ts`. */
export const keptVersions: VersionsPort = {
  find: (where) => findKeptVersions(where, spawnThread),
  restore: (where) => restoreKeptVersion(where, spawnThread),
};
/** Brings copies back; see `restore_run.ts`. */
export function restoreFrom(options: Omit<RestoreOptions, "id">): Promise<RestoreOutcome> {
  return restoreWith({ ...options, id: newId("run") }, spawnThread);
}

/** Reads a destination's lists; see `list_stored.ts`. */
export function listStored(options: ListOptions): ReturnType<typeof listWith> {
  return listWith(options, spawnThread);
}

/** Restores a sample and compares it; see `drill.ts`. Sources are known by the machine's own id. */
export function drill(options: Omit<DrillOptions, "id" | "hostId">): Promise<DrillOutcome> {
  return drillWith({ ...options, id: newId("run"), hostId: machineHostId() }, spawnThread);
}
