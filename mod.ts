/**
 * The executable's entry, for the program and for each of its threads. Rule: everything is imported statically, and a
 * thread's `onmessage` is set before anything is awaited.
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  createVerifyCommand,
  createWorkerAgent,
  hostIdIn,
  machineHostId,
  setEntryUrl,
  startThread,
  verifyDestination,
} from "./agents/mod.ts";
import { createBackupCommand } from "./coordinator/cli/backup.ts";
import type { CreateEmbedded } from "./coordinator/cli/embedded.ts";
import { createCoordinator, openSqliteStore } from "./coordinator/mod.ts";
import facts from "./deno.json" with { type: "json" };
import { systemClock } from "./protocol/base/clock.ts";
import type { Command } from "./protocol/cli/command.ts";
import { configCommand } from "./protocol/cli/config_command.ts";
import { processSignals } from "./protocol/cli/interrupt.ts";
import { type Program, runProgram } from "./protocol/cli/program.ts";
import { processSurroundings } from "./protocol/cli/surroundings.ts";
import { processTerminal } from "./protocol/cli/terminal.ts";
import { createTaskClient } from "./protocol/mesh/task_over_a2a.ts";

/** Never resolved: requests to it are handed to the worker's own app. */
const EMBEDDED_URL = "http://worker.embedded/rpc";
const JOB_STORE_FILE = "jobs.sqlite";

/** A coordinator and a worker in this process, joined as they are over a network, without the sockets. */
const createEmbedded: CreateEmbedded = ({ stateDir, log }) => {
  const clock = systemClock;
  const hostId = machineHostId() ?? hostIdIn(stateDir);
  const { version } = facts;
  const worker = createWorkerAgent({ clock, log, stateDir, hostId, version, url: EMBEDDED_URL });
  const store = openSqliteStore(join(stateDir, JOB_STORE_FILE), clock);
  const client = createTaskClient({
    fetch: async (request) => await worker.app.fetch(request),
    url: EMBEDDED_URL,
    clock,
  });
  const { capabilities, slots } = worker;
  const agents = [{ id: "embedded", client, capabilities, slots }];
  const coordinator = createCoordinator({ store, clock, log, agents, hostId });
  return {
    run: (job, options) => coordinator.run(job, options),
    async close() {
      store.close();
      await worker.close();
    },
  };
};

const COMMANDS: readonly Command[] = [
  createBackupCommand(createEmbedded),
  createVerifyCommand(verifyDestination),
  configCommand,
];
/** What `--role` starts. The mesh fills it. */
const ROLES: Program["roles"] = {};

async function main(words: readonly string[]): Promise<void> {
  const surroundings = processSurroundings(dirname(fileURLToPath(import.meta.url)));
  const program = { version: facts.version, commands: COMMANDS, roles: ROLES };
  const code = await runProgram(words, program, {
    surroundings,
    terminal: processTerminal(surroundings.env),
    signals: processSignals(),
    clock: systemClock,
  });
  // Not left to the event loop: a thread that a dead disk holds must not hold the process.
  Deno.exit(code);
}

setEntryUrl(import.meta.url);
const scope = globalThis as { WorkerGlobalScope?: unknown; name?: string };
if (scope.WorkerGlobalScope !== undefined) startThread(scope.name ?? "");
else await main(Deno.args);
