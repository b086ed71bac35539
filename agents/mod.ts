/** The door of the worker side: what the executable joins with a coordinator, and what works with none. */
import type { Hono } from "hono";
import type { Clock } from "../protocol/base/clock.ts";
import { newId } from "../protocol/base/ids.ts";
import type { Log } from "../protocol/base/log.ts";
import { createTaskAgentApp } from "../protocol/http/task_agent_app.ts";
import { spawnThread } from "./threads/spawn.ts";
import {
  verifyDestination as verifyWith,
  type VerifyOptions,
  type VerifyOutcome,
} from "./strategies/mirror/verify_destination.ts";
import { findKeptVersions, restoreKeptVersion } from "./strategies/mirror/kept_versions.ts";
import type { VersionsPort } from "./cli/versions_port.ts";
import { createWorker, WORKER_CAPABILITIES } from "./worker/worker_agent.ts";

export { createVerifyCommand } from "./cli/verify.ts";
export { createVersionsCommand } from "./cli/versions.ts";
export { startThread } from "./threads/entry.ts";
export { setEntryUrl } from "./threads/spawn.ts";
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
  },
): WorkerAgent {
  const { clock, log, stateDir, hostId } = options;
  const agentId = newId("agent");
  const worker = createWorker({ clock, log, stateDir, hostId });
  const { app, close } = createTaskAgentApp({
    card: {
      name: "backup-agent worker",
      agentId,
      version: options.version,
      capabilities: [...WORKER_CAPABILITIES],
      url: options.url,
    },
    handler: worker.handler,
    clock,
    log,
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
