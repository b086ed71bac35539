/** `--role worker`: an agent of a mesh, served. Rule: wired by hand, here and nowhere else. */
import { openBootClock } from "../../protocol/base/boot_clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { newId } from "../../protocol/base/ids.ts";
import { readRoots } from "../../protocol/cli/read_roots.ts";
import type { Command, CommandCall } from "../../protocol/cli/command.ts";
import { nearest } from "../../protocol/cli/nearest.ts";
import {
  type RoleContext,
  type RoleFacts,
  type RoleInstance,
  runRole,
} from "../../protocol/cli/role_process.ts";
import { namedSecrets } from "../../protocol/cli/secret_source.ts";
import { peerTls } from "../../protocol/cli/serving_settings.ts";
import { createMeshFetch } from "../../protocol/http/mesh_fetch.ts";
import { createTaskAgentApp } from "../../protocol/http/task_agent_app.ts";
import { type Capability, CAPABILITY_WORDS, capabilityId } from "../../protocol/mesh/capability.ts";
import { agentEndpoint } from "../../protocol/mesh/endpoint.ts";
import { createMeshClient } from "../../protocol/mesh/mesh_client.ts";
import { hostIdIn, machineHostId } from "../worker/host_id.ts";
import { openLoadMeter } from "../worker/load_score.ts";
import { createMeshWorker } from "../worker/mesh_worker.ts";
import { createWorker, WORKER_CAPABILITIES } from "../worker/worker_agent.ts";
import { takeIdentity } from "../../protocol/http/agent_identity.ts";
import { startCoordinatorLink } from "./coordinator_link.ts";
import { handoffBindings, watchTasks } from "./handoff.ts";
import { placeBindings } from "./place_bindings.ts";
import { spawnThread } from "../threads/spawn.ts";

export const WORKER_PORT = 8801;
const POLL_MS = 50;

const OPTIONS = [
  "port",
  "host",
  "agentName",
  "coordinator",
  "capabilities",
  "slots",
  "memory",
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

export function createWorkerRole(version: string): Command {
  return {
    name: "--role worker",
    summary: "Serve an agent that copies for a coordinator",
    synopsis: ["--role worker [--port PORT] [OPTIONS]"],
    about: [
      "It registers with the coordinator, which may be started before or after it, and copies what it is given. SIGTERM " +
      "hands what it has to others and ends it.",
    ],
    options: OPTIONS,
    examples: [
      { says: "on this machine", words: "--role worker --port 8801" },
      {
        says: "on a NAS",
        words: "--role worker --host nas.lan --tls-cert c.pem --tls-key k.pem --token-file mesh " +
          "--root photos=/volume1/photos --dest-root /volume1/copies --coordinator https://desk.lan:8800",
      },
    ],
    exitCodes: [0, 1, 2],
    exitMeanings: { 0: "ended because it was asked to", 1: "failed: it cannot serve" },
    run: (call) => runRole(call, [workerRole(call, version)]),
  };
}

/** The role as a part of a process that may have others; `coordinatorUrl`: instead of the option's. */
export function workerRole(
  call: CommandCall,
  version: string,
  coordinatorUrl?: () => string,
): RoleFacts {
  return {
    role: "worker",
    defaultPort: WORKER_PORT,
    start: (context) => startWorker(call, context, version, coordinatorUrl),
  };
}

function startWorker(
  { settings, surroundings, clock }: CommandCall,
  { serving, origin, port, log }: RoleContext,
  version: string,
  coordinatorUrl: (() => string) | undefined,
): RoleInstance {
  const { stateDir, token, hosts } = serving;
  const name = settings.get("agentName").value ?? `worker-${port}`;
  const capabilities = capabilitiesOf(settings.get("capabilities").value);
  const roots = readRoots(settings, surroundings);
  const identity = takeIdentity(stateDir, name);
  const { agentId } = identity;
  const url = agentEndpoint(serving.publicUrl ?? origin);
  const slots = settings.get("slots").value;
  const ownLog: typeof log = (level, message, facts) =>
    log(level, message, { agent: agentId, ...facts });
  const bootClock = openBootClock();
  const secrets = namedSecrets(settings, surroundings);
  const worker = createWorker({
    secrets,
    clock,
    log: ownLog,
    stateDir,
    hostId: machineHostId() ?? hostIdIn(stateDir),
    roots,
    version,
    bufferBytes: settings.get("memory").value,
  });
  const meter = openLoadMeter(clock);
  const tasks = watchTasks(worker.handler);
  const agent = createMeshWorker({
    handler: tasks.handler,
    identity: {
      agentId,
      bootId: newId("boot"),
      hostId: machineHostId() ?? hostIdIn(stateDir),
      capabilities,
      roots: [...roots.labels.keys()],
    },
    slots,
    measure: () => meter.parts(),
    clock,
    bootClock,
    onLease: (task, endsAtMs) => worker.setLease(task, endsAtMs),
    runs: worker.runs,
  });
  const fetch = createMeshFetch({ token, clock, ...peerTls(settings, surroundings) });
  const connect = (peer: string) => createMeshClient({ fetch, url: peer });
  const link = startCoordinatorLink({
    agent,
    name,
    version,
    url,
    coordinatorUrl: agentEndpoint(coordinatorUrl?.() ?? settings.get("coordinator").value),
    connect,
    clock,
    bootClock,
    log: ownLog,
  });
  const app = createTaskAgentApp({
    card: () => ({ name, version, url, facts: agent.facts() }),
    handler: agent.handler,
    clock,
    log: ownLog,
    token,
    hosts,
    ready: () => [
      ...(agent.facts().state === "draining" ? ["It is draining"] : []),
      ...(link.isConnected() ? [] : ["No coordinator answers"]),
    ],
    methods: [
      ...handoffBindings({ agent, tasks, coordinator: () => link.client(), connect }),
      link.binding,
      ...placeBindings({ roots, secrets, clock, spawn: spawnThread, files: worker.files }),
    ],
  });
  return {
    fetch: (request, env) => app.app.fetch(request, env),
    says: `${name} serves on ${origin} (${agentId})`,
    facts: { role: "worker", name, url: origin, agent_id: agentId },
    metrics: () => workerMetrics(),
    async drain(signal) {
      agent.beginEnding();
      await link.report();
      // Its coordinator gives what it has to others; what nobody takes is given up at the deadline.
      while (agent.heldTasks().length > 0 && !signal.aborted) await clock.sleep(POLL_MS);
    },
    async close() {
      agent.revoke(agent.heldTasks());
      await app.close();
      await worker.close();
      await link.report();
      link.close();
      agent.close();
      meter.close();
      identity.release();
    },
  };

  function workerMetrics() {
    const { load } = agent.facts();
    const totals = agent.totals();
    const labels = { agent: name };
    const one = (metric: string, type: "gauge" | "counter", help: string, value: number) => ({
      name: metric,
      type,
      help,
      samples: [{ value, labels }],
    });
    return [
      one("load_score", "gauge", "How busy the agent is, 0 idle to 1 busy", load.score),
      one("workers", "gauge", "Directories it works on", agent.heldTasks().length),
      one("bytes_total", "counter", "Bytes written to destinations", totals.bytes),
      one("files_total", "counter", "Files verified at destinations", totals.files),
      one("tasks_total", "counter", "Directory tasks ended", totals.tasks),
      one("coordinator_up", "gauge", "1 while the coordinator answers", link.isConnected() ? 1 : 0),
    ];
  }
}

/** What it offers of all it could. @throws {BackupError} `usage` for what no worker can. */
function capabilitiesOf(lists: readonly string[]): Capability[] {
  if (lists.length === 0) return [...WORKER_CAPABILITIES];
  const words = lists.flatMap((list) => list.split(",")).map((word) => word.trim()).filter(Boolean);
  const wanted = words.map((word) => {
    const id = capabilityId(word);
    if (id !== undefined && WORKER_CAPABILITIES.includes(id)) return id;
    const meant = nearest(word, CAPABILITY_WORDS);
    throw new BackupError("usage", `No worker offers ${JSON.stringify(word)}`, {
      hint: meant === undefined
        ? `There are ${WORKER_CAPABILITIES.join(", ")}`
        : `Did you mean ${meant}?`,
    });
  });
  // Whatever else it does, it keeps copies and verifies them.
  return [...new Set<Capability>(["mirror", "backup.verify", ...wanted])];
}
