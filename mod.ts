/**
 * The executable's entry. Rule: what the program needs is loaded by the command line alone; its threads begin in
 * `agents/roles/main.ts`, which a packed program carries as a text.
 */
import { setEntryUrl } from "./agents/threads/spawn.ts";
import facts from "./deno.json" with { type: "json" };
import { systemClock } from "./protocol/base/clock.ts";
import type { CreateEmbedded } from "./coordinator/cli/embedded.ts";
import type { CoordinatorRoleDeps } from "./coordinator/mod.ts";

/** Put before the bundle by `deno task build`; where it is missing, there are files. */
declare const THREADS_PROGRAM: string | undefined;

/** Never resolved: requests to it are handed to the worker's own app. */
const EMBEDDED_URL = "http://worker.embedded/rpc";
const JOB_STORE_FILE = "jobs.sqlite";

async function main(words: readonly string[]): Promise<void> {
  const [
    agents,
    backup,
    mesh,
    coordination,
    program,
    config,
    terminals,
    tasks,
    clients,
    doors,
    all,
    dashboards,
  ] = await Promise.all([
    import("./agents/mod.ts"),
    import("./coordinator/cli/backup.ts"),
    import("./coordinator/cli/mesh/mod.ts"),
    import("./coordinator/mod.ts"),
    import("./protocol/cli/program.ts"),
    import("./protocol/cli/config_command.ts"),
    import("./protocol/cli/process_world.ts"),
    import("./protocol/mesh/task_over_a2a.ts"),
    import("./protocol/mesh/mesh_client.ts"),
    import("./protocol/http/mesh_door.ts"),
    import("./protocol/cli/all_roles.ts"),
    import("./dashboard/mod.ts"),
  ]);

  const { version } = facts;
  const hostId = (stateDir: string) => agents.machineHostId() ?? agents.hostIdIn(stateDir);

  /** An agent in this process: what a network would carry is handed to its app. */
  const openOwnAgent = (options: Parameters<typeof agents.createWorkerAgent>[0]) => {
    const worker = agents.createWorkerAgent(options);
    const client = tasks.createTaskClient({
      fetch: async (request) => await worker.app.fetch(request),
      url: EMBEDDED_URL,
      clock: systemClock,
    });
    const rpc = clients.createMeshClient({
      fetch: async (request) => await worker.app.fetch(request),
      url: EMBEDDED_URL,
    });
    return { ...worker, client, rpc };
  };

  /** A coordinator and a worker in this process, joined as they are over a network, without the sockets. */
  const createEmbedded: CreateEmbedded = ({ stateDir, log, secrets }) => {
    const clock = systemClock;
    const own = { clock, log, stateDir, hostId: hostId(stateDir), version, url: EMBEDDED_URL };
    const { client, capabilities, slots, close } = openOwnAgent({ ...own, secrets });
    const store = coordination.openSqliteStore(`${stateDir}/${JOB_STORE_FILE}`, clock);
    const coordinator = coordination.createCoordinator({
      store,
      clock,
      log,
      agents: [{ id: "embedded", client, capabilities, slots }],
      hostId: own.hostId,
    });
    return {
      run: (job, options) => coordinator.run(job, options),
      async close() {
        store.close();
        await close();
      },
    };
  };

  const coordinatorDeps: CoordinatorRoleDeps = {
    version,
    hostId,
    ownAgent(options) {
      let opened: ReturnType<typeof openOwnAgent> | undefined;
      const own = () =>
        opened ??= openOwnAgent({ ...options, clock: systemClock, version, url: EMBEDDED_URL });
      return {
        capabilities: agents.WORKER_CAPABILITIES,
        open: () => own().client,
        rpc: () => own().rpc,
        close: async () => await opened?.close(),
      };
    },
  };

  const repositories = agents.createRepositoryWorld(systemClock, hostId);
  const ofRepository = agents.repositoryVerbs(repositories);

  const code = await program.runProgram(words, {
    version,
    commands: [
      backup.createBackupCommand(createEmbedded),
      agents.createVerifyCommand(agents.verifyDestination, ofRepository.verify),
      agents.createRestoreCommand(agents.restoreFrom, ofRepository.restore),
      agents.createLsCommand(agents.listStored, ofRepository.ls),
      agents.createFindCommand(agents.listStored, ofRepository.find),
      agents.createDrillCommand(agents.drill, ofRepository.drill),
      agents.createVersionsCommand(agents.keptVersions, ofRepository.versions),
      ...agents.createRepositoryCommands(repositories),
      ...mesh.createMeshCommands({
        ...doors.createCommandDoor(systemClock),
        hostId,
      }),
      dashboards.loginCommand,
      config.configCommand,
    ],
    roles: {
      worker: agents.createWorkerRole(version),
      coordinator: coordination.createCoordinatorRole(
        coordinatorDeps,
        (call, coordinator) =>
          call.settings.get("dashboard").value
            ? [dashboards.dashboardBeside(call, version, coordinator)]
            : [],
      ),
      dashboard: dashboards.createDashboardRole(version),
    },
    start: all.createAllRoles({
      coordinator: (call, served) => coordination.coordinatorRole(call, coordinatorDeps, served),
      worker: (call, coordinatorUrl) => ({
        ...agents.workerRole(call, version, coordinatorUrl),
        port: agents.WORKER_PORT,
      }),
      dashboard: (call, coordinator) => dashboards.dashboardBeside(call, version, coordinator),
    }),
  }, terminals.processWorld(import.meta.url));
  // Not left to the event loop: a thread that a dead disk holds must not hold the process.
  Deno.exit(code);
}

// Where there are no files of ours, as a text in this one.
if (typeof THREADS_PROGRAM === "string") {
  const program = new Blob([THREADS_PROGRAM], { type: "text/javascript" });
  setEntryUrl(URL.createObjectURL(program));
}
await main(Deno.args);
