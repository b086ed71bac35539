/** Agents that answer at once and copy nothing, for measuring their coordinator. Rule: they speak as real ones do, over sockets. */
import { systemClock } from "../../protocol/base/clock.ts";
import { silentLog } from "../../protocol/base/log.ts";
import { createTaskAgentApp } from "../../protocol/http/task_agent_app.ts";
import type { JobSpec } from "../../protocol/mesh/job.ts";
import { Heartbeat, RegisterAgent } from "../../protocol/mesh/methods.ts";
import type { Mesh } from "../support/mesh_processes.ts";
import { playedAnswer } from "../support/played_answer.ts";
import { sampleAgentFacts } from "../support/sample_agent_facts.ts";
import { SPEC } from "../../coordinator/store/job_store_suite.ts";

export interface PlayedAgents extends AsyncDisposable {
  /** One source that becomes as many tasks as the agents were told. */
  job(): JobSpec;
}

const HOST = "host-of-played-agents";
const HEARTBEAT_MS = 10_000;
/** Registrations on their way at once. */
const AT_ONCE = 4;
const REGISTRATIONS_MAX = 10;

export async function playedAgents(
  mesh: Mesh,
  { count, slots, parts }: { count: number; slots: number; parts: number },
): Promise<PlayedAgents> {
  const closing: (() => Promise<void>)[] = [];
  const stop = new AbortController();
  const waiting = Array.from({ length: count }, (_, i) => i);
  const starter = async (): Promise<void> => {
    for (let i = waiting.shift(); i !== undefined; i = waiting.shift()) {
      closing.push(await start(mesh, i, { slots, parts, signal: stop.signal }));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, starter));
  return {
    job: () => ({
      ...SPEC,
      sources: [{ name: "source", path: "/nowhere/source", hostId: HOST }],
      destinations: [{ key: "/mnt/a", kind: "local", path: "/mnt/a", isNew: false }],
    }),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all(closing.map((close) => close()));
    },
  };
}

async function start(
  mesh: Mesh,
  i: number,
  { slots, parts, signal }: { slots: number; parts: number; signal: AbortSignal },
): Promise<() => Promise<void>> {
  const facts = sampleAgentFacts({
    agentId: `played-${i}`,
    hostId: HOST,
    roots: [],
    limits: { slots },
  });
  const serving = Promise.withResolvers<(request: Request) => Response | Promise<Response>>();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => (await serving.promise)(request),
  );
  const name = `played-${i}`;
  const url = `http://127.0.0.1:${server.addr.port}/rpc`;
  const agent = createTaskAgentApp({
    card: { name, version: "1", url, facts },
    handler: (spec) => Promise.resolve(playedAnswer(spec, parts)),
    clock: systemClock,
    log: silentLog,
    token: mesh.token,
  });
  serving.resolve(agent.app.fetch);
  const coordinator = mesh.connect(mesh.coordinator.url);
  await register();
  async function register(): Promise<void> {
    for (let attempt = 1;; attempt++) {
      try {
        await coordinator.call(RegisterAgent, { name, version: "1", url, facts }, { signal });
        return;
      } catch (thrown) {
        // On a busy machine a card may take longer than the coordinator waits for it.
        if (attempt >= REGISTRATIONS_MAX) throw thrown;
        await systemClock.sleep(1_000, signal);
      }
    }
  }

  let seq = 0;
  const beat = (): void => {
    const load = { score: (seq * 7 + i) % 10 / 10, observedAtMs: Math.round(systemClock.nowMs()) };
    coordinator.call(Heartbeat, {
      agentId: facts.agentId,
      bootId: facts.bootId,
      seq: seq++,
      load,
      state: "ready",
      tasks: [],
      totals: { bytes: 0, files: 0, tasks: 0 },
    }, { signal }).catch(() => {});
  };
  // Not all at one moment: a thousand agents did not start in one.
  const started = systemClock.sleep(i * 7919 % HEARTBEAT_MS, signal).then(() => {
    beat();
    return systemClock.every(HEARTBEAT_MS, beat);
  }, () => () => {});
  return async () => {
    (await started)();
    await agent.close();
    await server.shutdown();
  };
}
