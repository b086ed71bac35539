/**
 * A coordinator and the agents it talks to in this thread. Rule: all of the protocol is real, cards, proofs, JSON-RPC and
 * streams; only sockets and the copying are missing.
 */
import { createMeshCoordinator } from "../../coordinator/mesh/mesh_coordinator.ts";
import { SPEC } from "../../coordinator/store/job_store_suite.ts";
import { openMemoryStore } from "../../coordinator/store/open_store.ts";
import { type Clock, systemClock } from "../../protocol/base/clock.ts";
import { silentLog } from "../../protocol/base/log.ts";
import { createRpcEndpoint } from "../../protocol/http/rpc_endpoint.ts";
import { createTaskAgentApp } from "../../protocol/http/task_agent_app.ts";
import type { AgentFacts } from "../../protocol/mesh/agent_facts.ts";
import type { JobSpec } from "../../protocol/mesh/job.ts";
import * as mesh from "../../protocol/mesh/methods.ts";
import type { TaskHandler } from "../../protocol/mesh/task_port.ts";
import { createRpcClient, type RpcClient } from "../../protocol/rpc/client.ts";
import { createDispatch } from "../../protocol/rpc/dispatch.ts";
import { playedAnswer } from "./played_answer.ts";
import { sampleAgentFacts } from "./sample_agent_facts.ts";

export const HOST = "host-in-process";
const TOKEN = "token-of-this-mesh";
const STEPS_MAX = 2_000;

export class MeshInProcess {
  readonly store;
  readonly coordinator;
  /** Calls the coordinator's methods. */
  readonly client: RpcClient;
  /** The coordinator as a web server. */
  readonly endpoint: (request: Request) => Promise<Response>;
  readonly #agents = new Map<string, ReturnType<typeof createTaskAgentApp>>();

  constructor(clock: Clock = systemClock) {
    this.store = openMemoryStore(clock);
    const fetch = async (request: Request): Promise<Response> => {
      const agent = this.#agents.get(new URL(request.url).hostname);
      if (agent === undefined) throw new TypeError("connection refused");
      return await agent.app.fetch(request);
    };
    this.coordinator = createMeshCoordinator({
      store: this.store,
      clock,
      bootClock: { bootMs: () => clock.monotonicMs() },
      log: silentLog,
      fetch,
      meshFetch: (request) => {
        const headers = new Headers(request.headers);
        headers.set("authorization", `Bearer ${TOKEN}`);
        return fetch(new Request(request, { headers }));
      },
      token: TOKEN,
      hostId: HOST,
      url: "http://coordinator.test/rpc",
      times: { heartbeatMs: 10_000, deadAfterMs: 30_000 },
      addresses: [],
      scansLocalPorts: false,
    });
    const endpoint = createRpcEndpoint({
      dispatch: createDispatch(this.coordinator.bindings, { log: silentLog }),
      clock,
      extensions: [],
      gate: () => undefined,
      caller: "mesh",
    });
    this.endpoint = (request) => Promise.resolve(endpoint(request, undefined));
    this.client = createRpcClient({ url: "http://coordinator.test/rpc", fetch: this.endpoint });
    this.coordinator.start();
  }

  /** Registers it too. */
  async add(
    agentId: string,
    handler: TaskHandler = (spec) => Promise.resolve(playedAnswer(spec)),
    facts: Partial<AgentFacts> = {},
  ): Promise<AgentFacts> {
    const whole = sampleAgentFacts({ agentId, hostId: HOST, roots: [], ...facts });
    const url = `http://${agentId}.test/rpc`;
    const app = createTaskAgentApp({
      card: { name: agentId, version: "1", url, facts: whole },
      handler,
      clock: systemClock,
      log: silentLog,
      token: TOKEN,
    });
    this.#agents.set(`${agentId}.test`, app);
    const registration = { name: agentId, version: "1", url, facts: whole };
    await this.client.call(mesh.RegisterAgent, registration);
    return whole;
  }

  heartbeat(
    { agentId, bootId }: AgentFacts,
    more: { seq: number; tasks?: mesh.HeldTask[]; runs?: mesh.HeldRun[]; score?: number },
  ) {
    const { seq, tasks = [], runs = [], score = 0 } = more;
    return this.client.call(mesh.Heartbeat, {
      agentId,
      bootId,
      seq,
      load: { score, observedAtMs: 0 },
      state: "ready",
      tasks,
      runs,
      totals: { bytes: 0, files: 0, tasks: 0 },
    });
  }

  job(...sources: string[]): JobSpec {
    return {
      ...SPEC,
      sources: sources.map((name) => ({ name, path: `/nowhere/${name}`, hostId: HOST })),
      destinations: [{ key: "/mnt/a", kind: "local", path: "/mnt/a", isNew: false }],
    };
  }

  async submit(job: JobSpec, idempotencyKey?: string): Promise<string> {
    const key = idempotencyKey === undefined ? {} : { idempotencyKey };
    return (await this.client.call(mesh.SubmitJob, { job, ...key })).runId;
  }

  /** Turns of the real loop until it holds. */
  async until(holds: () => boolean): Promise<void> {
    for (let step = 0; !holds(); step++) {
      if (step > STEPS_MAX) throw new Error("It waits for something that never comes");
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }

  async close(): Promise<void> {
    this.coordinator.close();
    for (const { close } of this.#agents.values()) await close();
    this.store.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
