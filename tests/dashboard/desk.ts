/**
 * A coordinator with its own agent and its dashboard in this process, over a folder of one test's own. Rule: everything is
 * real but the sockets; what a browser would send is handed to the dashboard's own `fetch`.
 */
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createWorkerAgent, WORKER_CAPABILITIES } from "../../agents/mod.ts";
import { spawnThread } from "../../agents/threads/spawn.ts";
import { ThreadClient } from "../../agents/threads/thread_rpc.ts";
import { consoleBindings } from "../../coordinator/console/console_bindings.ts";
import { ConsoleService } from "../../coordinator/console/console_service.ts";
import { createMeshCoordinator, type MeshCoordinator } from "../../coordinator/mod.ts";
import type { JobStore } from "../../coordinator/store/job_store.ts";
import { openSqliteStore } from "../../coordinator/store/open_store.ts";
import { createDashboard, type Dashboard } from "../../dashboard/dashboard_app.ts";
import type { SocketLike } from "../../dashboard/socket_feed.ts";
import { openBootClock } from "../../protocol/base/boot_clock.ts";
import { type Clock, systemClock } from "../../protocol/base/clock.ts";
import type { Roots } from "../../protocol/cli/read_roots.ts";
import type { SecretSource } from "../../protocol/cli/secret_source.ts";
import { openJsonLog } from "../../protocol/logs/json_log.ts";
import { createMeshClient } from "../../protocol/mesh/mesh_client.ts";
import { createTaskClient } from "../../protocol/mesh/task_over_a2a.ts";
import { createDispatch } from "../../protocol/rpc/dispatch.ts";
import { createGate } from "../../protocol/http/gate.ts";
import { createRpcEndpoint } from "../../protocol/http/rpc_endpoint.ts";

export const TOKEN = "the-token-of-this-test";
export const ORIGIN = "http://127.0.0.1:8888";
const VERSION = "1.2.3";
const TIMES = { heartbeatMs: 1_000, deadAfterMs: 3_000 };

await startFirstThread();

/** Its module is checked when it is started for the first time, and no deadline of the engine is to count that. */
async function startFirstThread(): Promise<void> {
  const thread = new ThreadClient(spawnThread("place"), { roots: [] });
  await thread.call("listDirectories", { path: "/", withinMs: 0 });
  thread.close();
}

export interface DeskOptions {
  clock?: Clock;
  /** A folder of an earlier desk, which is closed by now: the coordinator is started anew. */
  folder?: string;
  roots?: Roots;
  /** Of the agent, by the names that jobs use. */
  secrets?: ReadonlyMap<string, SecretSource>;
  origins?: string[];
  origin?: string;
  /** Nobody is there who could copy. */
  hasNoAgent?: boolean;
  upgrade?: (request: Request) => { socket: SocketLike; response: Response };
}

export interface Desk extends AsyncDisposable {
  readonly folder: string;
  readonly store: JobStore;
  readonly service: ConsoleService;
  readonly mesh: MeshCoordinator;
  readonly dashboard: Dashboard;
  readonly hostId: string;
  /** A request as somebody sends it who knows the token, unless headers say otherwise. */
  ask(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<{ status: number; json: Record<string, never> & unknown; response: Response }>;
  /** Ends the coordinator and keeps the folder. */
  stop(): Promise<void>;
}

export function openDesk(options: DeskOptions = {}): Desk {
  const { clock = systemClock, origin = ORIGIN } = options;
  const folder = options.folder ?? realpathSync(mkdtempSync(join(tmpdir(), "desk-")));
  const stateDir = join(folder, "state");
  mkdirSync(stateDir, { recursive: true });
  const logs = openJsonLog({
    directory: join(stateDir, "logs"),
    name: "coordinator-8800",
    clock,
    secrets: [TOKEN],
    onFailure: () => {},
  });
  const hostId = "host-of-desk";
  const worker = createWorkerAgent({
    clock: systemClock,
    log: logs.log,
    stateDir,
    hostId,
    version: VERSION,
    url: "http://worker.test/rpc",
    ...(options.roots === undefined ? {} : { roots: options.roots }),
    ...(options.secrets === undefined ? {} : { secrets: options.secrets }),
  });
  const fetchOwn = async (request: Request) => await worker.app.fetch(request);
  const store = openSqliteStore(join(stateDir, "mesh.sqlite"), clock);
  const service = new ConsoleService({
    store,
    clock,
    log: logs.log,
    logs,
    logDir: join(stateDir, "logs"),
    name: "desk",
    version: VERSION,
    hostId,
    own: { capabilities: [...WORKER_CAPABILITIES], roots: [], url: "http://worker.test/rpc" },
    mesh: () => mesh,
  });
  const nobody = () => Promise.reject(new Error("nobody listens there"));
  const mesh: MeshCoordinator = createMeshCoordinator({
    store,
    clock,
    bootClock: openBootClock(),
    log: logs.log,
    fetch: nobody,
    meshFetch: nobody,
    token: TOKEN,
    hostId,
    url: "http://127.0.0.1:8800/rpc",
    times: TIMES,
    ...(options.hasNoAgent === true ? {} : {
      fallback: {
        capabilities: WORKER_CAPABILITIES,
        open: () => createTaskClient({ fetch: fetchOwn, url: "http://worker.test/rpc" }),
        rpc: () => createMeshClient({ fetch: fetchOwn, url: "http://worker.test/rpc" }),
      },
    }),
    addresses: [],
    scansLocalPorts: false,
    onRun: (runId, event) => service.observe(runId, event),
  });
  const endpoint = createRpcEndpoint({
    dispatch: createDispatch([
      ...mesh.bindings,
      ...consoleBindings(service, {
        store,
        lines: () => logs.lines(),
        mesh: () => mesh.service,
        nowMs: () => Math.round(clock.nowMs()),
      }),
    ], { log: logs.log }),
    clock: systemClock,
    gate: createGate({ clock: systemClock }),
    caller: "mesh",
    extensions: [],
  });
  mesh.start();
  service.start();
  const dashboard = createDashboard({
    coordinator: createMeshClient({
      fetch: (request) => endpoint(request),
      url: "http://127.0.0.1:8800/rpc",
    }),
    clock,
    log: logs.log,
    token: TOKEN,
    version: VERSION,
    origin,
    hosts: [],
    origins: options.origins ?? [],
    ...(options.upgrade === undefined ? {} : { upgrade: options.upgrade }),
  });
  let isStopped = false;

  async function stop(): Promise<void> {
    if (isStopped) return;
    isStopped = true;
    dashboard.close();
    service.close();
    mesh.close();
    await worker.close();
    store.close();
    logs.close();
  }

  return {
    folder,
    store,
    service,
    mesh,
    dashboard,
    hostId,
    async ask(method, path, body, headers = { authorization: `Bearer ${TOKEN}` }) {
      const response = await dashboard.fetch(
        new Request(`${origin}${path}`, {
          method,
          headers: {
            ...headers,
            ...(body === undefined ? {} : { "content-type": "application/json" }),
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        }),
        { remoteAddr: { hostname: "127.0.0.1" } },
      );
      const isJson = /^application\/(problem\+)?json$/.test(
        response.headers.get("content-type") ?? "",
      );
      const json = isJson ? await response.clone().json() : undefined;
      return { status: response.status, json, response };
    },
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
