/** `--role coordinator`: the agent that plans and assigns, served. Rule: wired by hand, here and nowhere else. */
import { openBootClock } from "../../protocol/base/boot_clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { newId } from "../../protocol/base/ids.ts";
import type { Log } from "../../protocol/base/log.ts";
import type { ServedCoordinator } from "../../protocol/cli/all_roles.ts";
import type { Command, CommandCall } from "../../protocol/cli/command.ts";
import { readRoots, type Roots } from "../../protocol/cli/read_roots.ts";
import {
  type RoleContext,
  type RoleFacts,
  type RoleInstance,
  runRole,
} from "../../protocol/cli/role_process.ts";
import { namedSecrets, type SecretSource } from "../../protocol/cli/secret_source.ts";
import { peerTls } from "../../protocol/cli/serving_settings.ts";
import { takeIdentity } from "../../protocol/http/agent_identity.ts";
import { createMeshFetch, createPlainFetch } from "../../protocol/http/mesh_fetch.ts";
import { createTaskAgentApp } from "../../protocol/http/task_agent_app.ts";
import { agentEndpoint } from "../../protocol/mesh/endpoint.ts";
import type { RpcClient } from "../../protocol/rpc/client.ts";
import type { TaskClient } from "../../protocol/mesh/task_port.ts";
import { consoleBindings } from "../console/console_bindings.ts";
import { ConsoleService } from "../console/console_service.ts";
import { createMeshCoordinator, type MeshCoordinator } from "../mesh/mesh_coordinator.ts";
import { openSqliteStore } from "../store/open_store.ts";

export const COORDINATOR_PORT = 8800;
const STORE_FILE = "mesh.sqlite";

/** An agent in the coordinator's own process; see `MeshCoordinatorDeps`. */
export interface OwnAgent {
  readonly capabilities: readonly string[];
  open(): TaskClient;
  /** Its own methods, beside tasks. */
  rpc(): RpcClient;
  close(): Promise<void>;
}

export interface CoordinatorRoleDeps {
  version: string;
  hostId(stateDir: string): string;
  ownAgent(options: {
    stateDir: string;
    log: Log;
    hostId: string;
    secrets: ReadonlyMap<string, SecretSource>;
    roots: Roots;
  }): OwnAgent;
}

const OPTIONS = [
  "port",
  "host",
  "agentName",
  "heartbeat",
  "deadAfter",
  "agent",
  "scan",
  "dashboard",
  "dashboardPort",
  "dashboardOrigin",
  "root",
  "destRoot",
  "secret",
  "publicUrl",
  "tokenFile",
  "tlsCert",
  "tlsKey",
  "tlsClientCa",
  "tlsCa",
  "insecure",
  "logDir",
  "json",
  "quiet",
  "verbose",
  "stateDir",
] as const;

/** `beside`: what is served in the same process, once the coordinator is. */
export function createCoordinatorRole(
  deps: CoordinatorRoleDeps,
  beside: (call: CommandCall, coordinator: () => ServedCoordinator) => RoleFacts[] = () => [],
): Command {
  return {
    name: "--role coordinator",
    summary: "Serve the coordinator that gives work to agents",
    synopsis: ["--role coordinator [--port PORT] [OPTIONS]"],
    about: [
      "It takes jobs from backup-agent submit, gives their directories to agents that register with it or that it finds on " +
      "this machine, and gives a dead agent's work to others. Where no agent is, it does the work itself. After a restart it " +
      "goes on with what was under way.",
    ],
    options: OPTIONS,
    examples: [{ says: "on this machine", words: "--role coordinator" }],
    exitCodes: [0, 1, 2],
    exitMeanings: { 0: "ended because it was asked to", 1: "failed: it cannot serve" },
    run(call) {
      let served: ServedCoordinator | undefined;
      const own = coordinatorRole(call, deps, (at) => served = at);
      return runRole(call, [own, ...beside(call, () => served!)]);
    },
  };
}

/** The role as a part of a process that may have others. `served` is told where it is, and its door, once it is there. */
export function coordinatorRole(
  call: CommandCall,
  deps: CoordinatorRoleDeps,
  served: (at: ServedCoordinator) => void = () => {},
): RoleFacts {
  return {
    role: "coordinator",
    defaultPort: COORDINATOR_PORT,
    start(context) {
      const instance = startCoordinator(call, context, deps);
      served({
        origin: context.origin,
        fetch: async (request) => await instance.fetch(request, {}),
      });
      return instance;
    },
  };
}

function startCoordinator(
  { settings, surroundings, clock }: CommandCall,
  { serving, origin, port, log, logs }: RoleContext,
  deps: CoordinatorRoleDeps,
): RoleInstance {
  const { stateDir, token, hosts } = serving;
  const heartbeatMs = settings.get("heartbeat").value;
  const deadAfterMs = settings.get("deadAfter").value;
  if (deadAfterMs < 3 * heartbeatMs) {
    throw new BackupError("usage", "--dead-after is shorter than three heartbeats", {
      hint: "One heartbeat that comes late would kill an agent: give --dead-after more",
    });
  }
  // One coordinator a state folder: two would both carry out its runs.
  const identity = takeIdentity(stateDir, "coordinator");
  const name = settings.get("agentName").value ?? `coordinator-${port}`;
  const { agentId } = identity;
  const url = agentEndpoint(serving.publicUrl ?? origin);
  const hostId = deps.hostId(stateDir);
  const tls = peerTls(settings, surroundings);
  const ownLog: Log = (level, message, facts) => log(level, message, { agent: agentId, ...facts });
  const store = openSqliteStore(`${stateDir}/${STORE_FILE}`, clock);
  const roots = readRoots(settings, surroundings);
  const own = deps.ownAgent({
    stateDir,
    log: ownLog,
    hostId,
    secrets: namedSecrets(settings, surroundings),
    roots,
  });
  const labels = [...roots.labels.keys()];
  const desk = new ConsoleService({
    store,
    clock,
    log: ownLog,
    logs,
    logDir: serving.logDir,
    name,
    version: deps.version,
    hostId,
    own: { capabilities: [...own.capabilities], roots: labels, url },
    mesh: () => coordinator,
  });
  const coordinator: MeshCoordinator = createMeshCoordinator({
    store,
    clock,
    bootClock: openBootClock(),
    log: ownLog,
    fetch: createPlainFetch(tls),
    meshFetch: createMeshFetch({ token, clock, ...tls }),
    token,
    hostId,
    url,
    times: { heartbeatMs, deadAfterMs },
    fallback: { ...own, roots: labels },
    onRun: (runId, event) => desk.observe(runId, event),
    addresses: settings.get("agent").value.map((text) => new URL(agentEndpoint(text)).origin),
    scansLocalPorts: settings.get("scan").value,
  });
  const facts = {
    agentId,
    bootId: newId("boot"),
    hostId,
    capabilities: ["coordinate"],
    roots: [],
    limits: { slots: 1 },
    load: { score: 0, observedAtMs: Math.round(clock.nowMs()) },
    state: "ready" as const,
  };
  const card = { name, version: deps.version, url, facts };
  const app = createTaskAgentApp({
    card: () => card,
    handler: () =>
      Promise.reject(
        new BackupError("rejected", "A coordinator takes jobs by mesh.SubmitJob, and no tasks", {
          retry: "elsewhere",
        }),
      ),
    clock,
    log: ownLog,
    token,
    hosts,
    methods: [
      ...coordinator.bindings,
      ...consoleBindings(desk, {
        store,
        lines: () => logs.lines(),
        mesh: () => coordinator.service,
        nowMs: () => Math.round(clock.nowMs()),
      }),
    ],
  });
  coordinator.start();
  desk.start();
  return {
    fetch: (request, env) => app.app.fetch(request, env),
    says: `${name} serves on ${origin} (${agentId})`,
    facts: { role: "coordinator", name, url: origin, agent_id: agentId },
    metrics: () => coordinator.metrics(),
    drain() {
      desk.close();
      coordinator.close();
      return Promise.resolve();
    },
    async close() {
      desk.close();
      coordinator.close();
      await app.close();
      await own.close();
      store.close();
      identity.release();
    },
  };
}
