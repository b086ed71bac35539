/**
 * The executable's entry, for the program and for each of its threads. Rule: what a thread needs is imported statically,
 * so its `onmessage` is set before anything is awaited; the program's half is loaded by the program alone, which saves
 * every thread some megabytes.
 */
import { startThread } from "./agents/threads/entry.ts";
import { setEntryUrl } from "./agents/threads/spawn.ts";
import facts from "./deno.json" with { type: "json" };
import { systemClock } from "./protocol/base/clock.ts";
import type { CreateEmbedded } from "./coordinator/cli/embedded.ts";

/** Never resolved: requests to it are handed to the worker's own app. */
const EMBEDDED_URL = "http://worker.embedded/rpc";
const JOB_STORE_FILE = "jobs.sqlite";

async function main(words: readonly string[]): Promise<void> {
  const [agents, backup, mesh, coordination, program, config, terminals, tasks, doors] =
    await Promise.all([
      import("./agents/mod.ts"),
      import("./coordinator/cli/backup.ts"),
      import("./coordinator/cli/mesh/mod.ts"),
      import("./coordinator/mod.ts"),
      import("./protocol/cli/program.ts"),
      import("./protocol/cli/config_command.ts"),
      import("./protocol/cli/process_world.ts"),
      import("./protocol/mesh/task_over_a2a.ts"),
      import("./protocol/http/mesh_door.ts"),
    ]);

  /** A coordinator and a worker in this process, joined as they are over a network, without the sockets. */
  const createEmbedded: CreateEmbedded = ({ stateDir, log, secrets }) => {
    const clock = systemClock;
    const { version } = facts;
    const hostId = agents.machineHostId() ?? agents.hostIdIn(stateDir);
    const worker = agents.createWorkerAgent({
      clock,
      log,
      stateDir,
      hostId,
      version,
      url: EMBEDDED_URL,
      secrets,
    });
    const store = coordination.openSqliteStore(`${stateDir}/${JOB_STORE_FILE}`, clock);
    const client = tasks.createTaskClient({
      fetch: async (request) => await worker.app.fetch(request),
      url: EMBEDDED_URL,
      clock,
    });
    const { capabilities, slots } = worker;
    const coordinator = coordination.createCoordinator({
      store,
      clock,
      log,
      agents: [{ id: "embedded", client, capabilities, slots }],
      hostId,
    });
    return {
      run: (job, options) => coordinator.run(job, options),
      async close() {
        store.close();
        await worker.close();
      },
    };
  };

  const code = await program.runProgram(words, {
    version: facts.version,
    commands: [
      backup.createBackupCommand(createEmbedded),
      agents.createVerifyCommand(agents.verifyDestination),
      agents.createRestoreCommand(agents.restoreFrom),
      agents.createLsCommand(agents.listStored),
      agents.createFindCommand(agents.listStored),
      agents.createDrillCommand(agents.drill),
      agents.createVersionsCommand(agents.keptVersions),
      ...mesh.createMeshCommands({
        ...doors.createCommandDoor(systemClock),
        hostId: (stateDir) => agents.machineHostId() ?? agents.hostIdIn(stateDir),
      }),
      config.configCommand,
    ],
    roles: { worker: agents.createWorkerRole(facts.version) },
  }, terminals.processWorld(import.meta.url));
  // Not left to the event loop: a thread that a dead disk holds must not hold the process.
  Deno.exit(code);
}

setEntryUrl(import.meta.url);
const scope = globalThis as { WorkerGlobalScope?: unknown; name?: string };
if (scope.WorkerGlobalScope !== undefined) startThread(scope.name ?? "");
else await main(Deno.args);
