/** Agents that register, come back, lie about who they are, hang and go away. */
import assert from "node:assert/strict";
import { silentLog } from "../../protocol/base/log.ts";
import { taskAgentCard } from "../../protocol/http/task_agent_card.ts";
import { meshProof } from "../../protocol/mesh/mesh_proof.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { sampleAgentFacts } from "../../tests/support/sample_agent_facts.ts";
import { openMemoryStore } from "../store/open_store.ts";
import { createRegistry } from "./registry.ts";

const TOKEN = "the mesh's token";
const URL_1 = "http://127.0.0.1:8801/rpc";

/** What answers at the one address there is. */
interface Address {
  agentId: string;
  bootId: string;
  token: string;
  isHung: boolean;
  isDown: boolean;
}

function setUp() {
  const clock = new ManualClock();
  const store = openMemoryStore(clock);
  const address: Address = {
    agentId: "agent-1",
    bootId: "boot-1",
    token: TOKEN,
    isHung: false,
    isDown: false,
  };
  const told: string[] = [];
  const open = () =>
    createRegistry({
      store,
      clock,
      bootClock: { bootMs: () => clock.monotonicMs() },
      log: silentLog,
      fetch: (request) => answer(request, address),
      token: TOKEN,
      times: { heartbeatMs: 10_000, deadAfterMs: 30_000 },
      listener: {
        changed: ({ agentId, liveness }) => told.push(`${agentId} ${liveness}`),
        lost: (agentId, _, isOver) => told.push(`${agentId} lost${isOver ? " for certain" : ""}`),
        removed: (agentId) => told.push(`${agentId} removed`),
      },
    });
  return { clock, address, told, open, registry: open() };
}

function answer(request: Request, address: Address): Promise<Response> | Response {
  if (address.isHung) return new Promise(() => {});
  if (address.isDown) throw new TypeError("connection refused");
  const { pathname, searchParams } = new URL(request.url);
  if (pathname === "/health") return new Response(null);
  if (pathname === "/mesh-proof") {
    return Response.json({ proof: meshProof(address.token, searchParams.get("nonce")!, URL_1) });
  }
  const { agentId, bootId } = address;
  const facts = sampleAgentFacts({ agentId, bootId });
  const card = { name: "one", version: "1", url: URL_1, facts };
  return Response.json(taskAgentCard(card, { hasToken: true, hasPush: false }));
}

function registration(changes: Parameters<typeof sampleAgentFacts>[0] = {}) {
  return { name: "one", version: "1", url: URL_1, facts: sampleAgentFacts(changes) };
}

function beat(seq: number, bootId = "boot-1", score = 0.5) {
  return {
    agentId: "agent-1",
    bootId,
    seq,
    load: { score, observedAtMs: 1 },
    state: "ready" as const,
    tasks: [],
    totals: { bytes: seq, files: 0, tasks: 0 },
  };
}

Deno.test("D1: a registration is answered at once, again and again, and within a second where nobody answers behind it", async () => {
  const { registry, clock, address } = setUp();
  for (let i = 0; i < 20; i++) {
    address.bootId = `boot-${i}`;
    await registry.register(registration({ bootId: address.bootId }));
  }
  assert.equal(registry.list().length, 1);
  address.isHung = true;
  let outcome = "";
  registry.register(registration()).catch((error) => outcome = error.message);
  await clock.advance(999);
  assert.match(outcome, /^The agent cannot be reached at http:\/\/127\.0\.0\.1:8801\/rpc/);
});

Deno.test("who registers under another's id, or does not know the token, is refused and changes nothing", async () => {
  const { registry, address, told } = setUp();
  await registry.register(registration());
  const before = registry.list();
  told.length = 0;
  address.agentId = "agent-2";
  address.bootId = "boot-9";
  await assert.rejects(registry.register(registration({ bootId: "boot-9" })), {
    code: "rejected",
    message: /Another agent answers/,
  });
  address.agentId = "agent-1";
  address.token = "another mesh's";
  await assert.rejects(registry.register(registration({ bootId: "boot-9" })), {
    code: "rejected",
    message: /does not know this mesh's token/,
  });
  assert.deepEqual(registry.list(), before);
  assert.deepEqual(told, []);
});

Deno.test("an agent that comes back with a new boot is the same agent, and what it had is over for certain", async () => {
  const { registry, told, open, address } = setUp();
  await registry.register(registration());
  await registry.register(registration());
  assert.deepEqual(told.filter((t) => t.includes("lost")), []);
  address.bootId = "boot-2";
  await registry.register(registration({ bootId: "boot-2" }));
  assert.deepEqual(told.filter((t) => t.includes("lost")), ["agent-1 lost for certain"]);
  assert.deepEqual(registry.list().map((a) => [a.agentId, a.facts.bootId]), [
    ["agent-1", "boot-2"],
  ]);
  assert.ok(!registry.heard(beat(1, "boot-1")), "a boot that is over is not heard");
  assert.ok(registry.heard(beat(1, "boot-2")));
  // Known again after a restart of the coordinator.
  assert.deepEqual(open().list().map((a) => a.facts.bootId), ["boot-2"]);
});

Deno.test("heartbeats that come twice or late change nothing that newer ones have said", async () => {
  const { registry } = setUp();
  await registry.register(registration());
  registry.heard(beat(5, "boot-1", 0.9));
  registry.heard(beat(4, "boot-1", 0.1));
  registry.heard(beat(5, "boot-1", 0.2));
  const [info] = registry.infos(() => []);
  assert.equal(info!.load, 0.9);
  assert.equal(info!.totals.bytes, 5);
  registry.heard(beat(6, "boot-1", Infinity));
  assert.equal(registry.infos(() => [])[0]!.load, 1);
});

Deno.test("an agent that is silent is asked, and dead only when it does not answer either; heard, it lives again", async () => {
  const { registry, clock, address, told } = setUp();
  await registry.register(registration());
  told.length = 0;
  const look = async () => {
    registry.check();
    for (let i = 0; i < 5; i++) await clock.advance(1);
  };
  await clock.advance(40_000);
  await look();
  await look();
  assert.deepEqual(told, ["agent-1 suspect"]);
  address.isDown = true;
  await look();
  assert.deepEqual(told, ["agent-1 suspect", "agent-1 dead", "agent-1 lost"]);
  registry.heard(beat(1));
  assert.deepEqual(told.at(-1), "agent-1 alive");
});

Deno.test("D4: what an agent has goes to others as soon as it says that it is about to end, once", async () => {
  const { registry, told } = setUp();
  await registry.register(registration());
  registry.heard(beat(0));
  told.length = 0;
  const ending = (seq: number) => registry.heard({ ...beat(seq), state: "draining" });
  ending(1);
  assert.deepEqual(told, ["agent-1 alive", "agent-1 lost for certain"]);
  ending(2);
  assert.equal(told.length, 2);
});

Deno.test("an agent is forgotten only when it is dead or drained", async () => {
  const { registry, told } = setUp();
  await registry.register(registration());
  assert.ok(!registry.remove("agent-1"));
  assert.ok(registry.drain("agent-1", true));
  assert.ok(registry.remove("agent-1"));
  assert.ok(!registry.remove("agent-1"));
  assert.deepEqual(registry.list(), []);
  assert.equal(told.at(-1), "agent-1 removed");
  assert.ok(!registry.heard(beat(1)));
});
