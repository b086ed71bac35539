import assert from "node:assert/strict";
import { silentLog } from "../../protocol/base/log.ts";
import { createTaskAgentApp } from "../../protocol/http/task_agent_app.ts";
import { InviteAgent } from "../../protocol/mesh/methods.ts";
import { onCall } from "../../protocol/rpc/method.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { sampleAgentFacts } from "../../tests/support/sample_agent_facts.ts";
import { createDiscovery } from "./discovery.ts";

const TOKEN = "token-of-this-mesh";
const COORDINATOR = "http://127.0.0.1:8800/rpc";

/** Addresses as they answer; what is not in it refuses. */
function neighbourhood() {
  const clock = new ManualClock();
  const at = new Map<string, (request: Request) => Response | Promise<Response>>();
  const asked: string[] = [];
  const invited: string[] = [];
  const known = new Set<string>();
  const fetch = async (request: Request): Promise<Response> => {
    const { host } = new URL(request.url);
    asked.push(host);
    const answer = at.get(host);
    if (answer === undefined) throw new TypeError("connection refused");
    return await answer(request);
  };
  return {
    ...{ at, asked, invited, known, clock },
    add(host: string, agentId: string, token = TOKEN): void {
      const { app } = createTaskAgentApp({
        card: {
          ...{ name: agentId, version: "1", url: `http://${host}/rpc` },
          facts: sampleAgentFacts({ agentId }),
        },
        handler: () => Promise.reject(new Error("no task")),
        clock,
        log: silentLog,
        token,
        methods: [onCall(InviteAgent, ({ coordinatorUrl }) => {
          assert.equal(coordinatorUrl, COORDINATOR);
          invited.push(agentId);
          return { accepted: true };
        })],
      });
      at.set(host, (request) => app.fetch(request));
    },
    discovery(addresses: string[], scansLocalPorts = false) {
      return createDiscovery({
        ...{ addresses, scansLocalPorts, coordinatorUrl: COORDINATOR, token: TOKEN },
        ...{ fetch, clock, log: silentLog },
        isKnown: (agentId) => known.has(agentId),
        meshFetch(request) {
          const headers = new Headers(request.headers);
          headers.set("authorization", `Bearer ${TOKEN}`);
          return fetch(new Request(request, { headers }));
        },
      });
    },
  };
}

Deno.test("the ports 8801 to 8899 of this machine are looked at, and who is found there is invited until it is known", async () => {
  const near = neighbourhood();
  near.add("127.0.0.1:8801", "agent-1");
  near.add("127.0.0.1:8899", "agent-2");
  const { look } = near.discovery([], true);
  assert.deepEqual(await look(), []);
  assert.deepEqual(near.invited, ["agent-1", "agent-2"]);
  const ports = [...new Set(near.asked.map((host) => Number(host.split(":")[1])))];
  assert.deepEqual([ports.length, Math.min(...ports), Math.max(...ports)], [99, 8801, 8899]);
  near.known.add("agent-1");
  near.add("127.0.0.1:8850", "agent-3");
  await look();
  assert.deepEqual(near.invited.slice(2).toSorted(), ["agent-2", "agent-3"]);
});

Deno.test("an agent of another mesh is shown with its reason, and told nothing", async () => {
  const near = neighbourhood();
  near.add("nas.test:8801", "agent-9", "token-of-another");
  let carried = 0;
  const answer = near.at.get("nas.test:8801")!;
  near.at.set("nas.test:8801", (request) => {
    if (request.headers.has("authorization")) carried++;
    return answer(request);
  });
  const [foreign, ...more] = await near.discovery(["http://nas.test:8801"]).look();
  assert.deepEqual([foreign?.agentId, foreign?.state, more], ["agent-9", "foreign", []]);
  assert.match(foreign!.reason!, /another mesh/);
  assert.deepEqual([carried, near.invited], [0, []]);
});

Deno.test("S1-04: addresses that hang, are dead or talk nonsense hold up nobody, and are looked at again", async () => {
  const near = neighbourhood();
  const bad = ["hangs.test", "nonsense.test", "dead.test"];
  near.at.set("hangs.test", () => new Promise(() => {}));
  near.at.set("nonsense.test", () => new Response("<html>", { status: 200 }));
  near.add("late.test", "agent-1");
  const { look } = near.discovery([...bad, "late.test"].map((host) => `http://${host}`));
  const looking = look();
  // All but the one that hangs are through before its time is over.
  for (let turn = 0; near.invited.length === 0; turn++) {
    assert.ok(turn < 1_000, "the good one waits for the others");
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  await near.clock.advance(1_000);
  assert.deepEqual(await looking, []);
  near.add("hangs.test", "agent-2");
  await look();
  assert.deepEqual(near.invited, ["agent-1", "agent-2", "agent-1"]);
});
