import assert from "node:assert/strict";
import type { Clock } from "../../protocol/base/clock.ts";
import { systemClock } from "../../protocol/base/clock.ts";
import { silentLog } from "../../protocol/base/log.ts";
import { createRpcEndpoint } from "../../protocol/http/rpc_endpoint.ts";
import type { AgentFacts } from "../../protocol/mesh/agent_facts.ts";
import * as mesh from "../../protocol/mesh/methods.ts";
import { createRpcClient } from "../../protocol/rpc/client.ts";
import { createDispatch } from "../../protocol/rpc/dispatch.ts";
import { type Binding, onCall } from "../../protocol/rpc/method.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { startCoordinatorLink } from "./coordinator_link.ts";
import { handoffBindings, requirementsOf, watchTasks } from "./handoff.ts";
import type { LinkedAgent } from "../worker/linked_agent.ts";
import type { MirrorTask } from "../../protocol/mesh/task.ts";

const FACTS: AgentFacts = {
  agentId: "agent-own",
  bootId: "boot-1",
  hostId: "host-1",
  capabilities: ["mirror"],
  roots: [],
  limits: { slots: 3 },
  load: { score: 0.5, observedAtMs: 1 },
  state: "ready",
};
const HELD_RUN = { runId: "run-1", runEpoch: 3 };
const HELD = { taskId: "task-1", epoch: 2 };

function fakeAgent(): LinkedAgent & { said: unknown[] } {
  const said: unknown[] = [];
  return {
    said,
    facts: () => FACTS,
    heldTasks: () => [HELD],
    renew: (tasks, sentAtMs, leaseMs) => void said.push(["renew", ...tasks, sentAtMs, leaseMs]),
    revoke: (tasks) => {
      if (tasks.length > 0) said.push(["revoke", ...tasks]);
    },
    heldRuns: () => [HELD_RUN],
    endRuns: (runs) => {
      if (runs.length > 0) said.push(["end", ...runs]);
      return Promise.resolve();
    },
    share: (shares) => {
      if (shares.length > 0) said.push(["share", ...shares]);
    },
    totals: () => ({ bytes: 1, files: 2, tasks: 3 }),
    setDraining: (isDraining) => void said.push(["drain", isDraining]),
    beginEnding: () => void said.push(["ending"]),
    isEnding: () => said.some((s) => (s as unknown[])[0] === "ending"),
    offer: () => ({ accepted: true }),
  };
}

/** A client for bindings in this process; throws while `isDown` says so. */
function clientOf(bindings: Binding[], isDown: () => boolean = () => false) {
  const endpoint = createRpcEndpoint({
    dispatch: createDispatch(bindings, { log: silentLog }),
    clock: systemClock,
    extensions: [],
    gate: () => undefined,
    caller: "mesh",
  });
  return createRpcClient({
    url: "http://127.0.0.1:8800/rpc",
    fetch: (request) => {
      if (isDown()) throw new TypeError("connection refused");
      return endpoint(request, undefined);
    },
  });
}

function coordinator() {
  const calls: { method: string; seq?: number }[] = [];
  const state = {
    known: true,
    drain: false,
    revoked: [] as mesh.HeldTask[],
    isRunOver: false,
    said: [] as string[],
    shares: [] as mesh.RunShare[],
  };
  const bindings = [
    onCall(mesh.RegisterAgent, ({ facts }) => {
      calls.push({ method: `register ${facts.agentId}` });
      state.known = true;
      return { heartbeatMs: 500, deadAfterMs: 2_000, leaseMs: 2_000 };
    }),
    onCall(mesh.Heartbeat, ({ seq, tasks, runs, state: said }) => {
      calls.push({ method: "heartbeat", seq });
      state.said.push(said);
      const { known, drain, revoked } = state;
      const ended = state.isRunOver ? runs! : [];
      const shares = state.shares;
      return { known, renewed: known ? tasks : [], leaseMs: 2_000, revoked, drain, ended, shares };
    }),
  ];
  return { calls, state, bindings };
}

async function settle(clock: ManualClock, isDone: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !isDone(); i++) await clock.advance(0);
  assert.ok(isDone());
}

function start(peer: ReturnType<typeof coordinator>, isDown: () => boolean = () => false) {
  const clock = new ManualClock();
  const agent = fakeAgent();
  const link = startCoordinatorLink({
    agent,
    name: "worker-8801",
    version: "1",
    url: "http://127.0.0.1:8801/rpc",
    coordinatorUrl: "http://127.0.0.1:8800/rpc",
    connect: () => clientOf(peer.bindings, isDown),
    clock: clock as unknown as Clock,
    bootClock: { bootMs: () => 7_000 },
    log: silentLog,
  });
  return { clock, agent, link };
}

Deno.test("a worker registers, reports at the interval it was told, and its leases count from sending", async () => {
  const peer = coordinator();
  const { clock, agent, link } = start(peer);
  await settle(clock, () => agent.said.length >= 2);
  assert.deepEqual(peer.calls, [{ method: "register agent-own" }, { method: "heartbeat", seq: 0 }]);
  assert.deepEqual(agent.said, [["renew", HELD, 7_000, 2_000], ["drain", false]]);
  assert.ok(link.isConnected());
  await clock.advance(499);
  assert.equal(peer.calls.length, 2);
  await clock.advance(1);
  await settle(clock, () => peer.calls.length === 3);
  link.close();
});

Deno.test("a coordinator that forgot it is registered with again, and what it revokes stops", async () => {
  const peer = coordinator();
  const { clock, agent, link } = start(peer);
  await settle(clock, () => agent.said.length >= 2);
  peer.state.known = false;
  peer.state.revoked = [HELD];
  await clock.advance(500);
  await settle(clock, () => agent.said.some((s) => (s as unknown[])[0] === "revoke"));
  peer.state.revoked = [];
  await clock.advance(200);
  await settle(clock, () => peer.calls.filter((c) => c.method.startsWith("register")).length === 2);
  link.close();
});

Deno.test("a worker says which runs it holds something for, and gives back those that are over", async () => {
  const peer = coordinator();
  const { clock, agent, link } = start(peer);
  await settle(clock, () => agent.said.length >= 2);
  peer.state.isRunOver = true;
  await clock.advance(500);
  await settle(clock, () => agent.said.some((s) => (s as unknown[])[0] === "end"));
  assert.deepEqual(agent.said.find((s) => (s as unknown[])[0] === "end"), ["end", HELD_RUN]);
  link.close();
});

Deno.test("a worker uses what its coordinator says is left to it", async () => {
  const peer = coordinator();
  const { clock, agent, link } = start(peer);
  await settle(clock, () => agent.said.length >= 2);
  const limits = [{ destination: "/d", bytesPerSecond: 500 }];
  peer.state.shares = [{ ...HELD_RUN, workersMax: 2, limits }];
  await clock.advance(500);
  await settle(clock, () => agent.said.some((s) => (s as unknown[])[0] === "share"));
  link.close();
});

Deno.test("a worker says that it is draining when it ends, and not because it was told to", async () => {
  const peer = coordinator();
  peer.state.drain = true;
  const { clock, agent, link } = start(peer);
  await settle(clock, () => agent.said.length >= 2);
  await clock.advance(500);
  await settle(clock, () => peer.state.said.length === 2);
  agent.beginEnding();
  await clock.advance(500);
  await settle(clock, () => peer.state.said.length === 3);
  // Whoever takes its drain back need not wait for its next word.
  assert.deepEqual(peer.state.said, ["ready", "ready", "draining"]);
  link.close();
});

Deno.test("a coordinator that is not there is asked until it comes", async () => {
  const peer = coordinator();
  let down = true;
  const { clock, agent, link } = start(peer, () => down);
  await clock.advance(20_000);
  assert.ok(!link.isConnected());
  assert.deepEqual(agent.said, []);
  down = false;
  await clock.advance(6_000);
  await settle(clock, () => link.isConnected());
  link.close();
});

Deno.test("it follows an invitation while it has no coordinator, and keeps the one it has", async () => {
  const peer = coordinator();
  const { clock, agent, link } = start(peer);
  await settle(clock, () => agent.said.length >= 2);
  const client = clientOf([link.binding]);
  const invite = (coordinatorUrl: string) => client.call(mesh.InviteAgent, { coordinatorUrl });
  assert.deepEqual(await invite("http://127.0.0.1:8800/rpc"), { accepted: true });
  const other = await invite("http://127.0.0.1:9900/rpc");
  assert.equal(other.accepted, false);
  assert.match(other.reason!, /works for/);
  link.close();
});

const SPEC = {
  op: "mirror",
  runId: "run-1",
  taskId: "task-1",
  epoch: 2,
  source: { path: "/home/user/Documents", name: "Documents", requires: ["backup.parallel"] },
  destinations: ["/d"],
  options: { encoding: { codec: "zst", recipients: [] } },
} as unknown as MirrorTask;

function handing(
  offer: mesh.Acceptance,
  moved: { accepted: boolean; reason?: string; epoch?: number },
) {
  const agent = fakeAgent();
  const offered: unknown[] = [];
  const target: mesh.AgentInfo = {
    agentId: "agent-2",
    name: "worker-2",
    url: "http://127.0.0.1:8802/rpc",
    version: "1",
    hostId: "host-1",
    capabilities: ["mirror", "compress", "backup.parallel"],
    roots: [],
    slots: 3,
    load: 0,
    state: "alive",
    heartbeatAgeMs: 0,
    tasks: [],
    totals: { bytes: 0, files: 0, tasks: 0 },
  };
  const weak = { ...target, agentId: "agent-3", name: "weak", capabilities: ["mirror"] };
  const dead = { ...target, agentId: "agent-4", name: "dead", state: "dead" as const };
  const coordinator = clientOf([
    onCall(mesh.ListAgents, () => ({ agents: [target, weak, dead] })),
    onCall(mesh.MoveLease, () => moved),
  ]);
  const peer = clientOf([
    onCall(mesh.OfferTask, (task) => {
      offered.push(task);
      return offer;
    }),
  ]);
  const client = clientOf(handoffBindings({
    agent,
    tasks: { get: (id) => id === "task-1" ? { spec: SPEC, sizeBytes: 10 } : undefined },
    coordinator: () => coordinator,
    connect: () => peer,
  }));
  const hand = (
    params: Partial<
      Parameters<
        typeof client.call<typeof mesh.HandoffTask.params, typeof mesh.HandoffTask.result>
      >[1]
    >,
  ) => client.call(mesh.HandoffTask, { task_id: "task-1", target_agent: "worker-2", ...params });
  return { agent, offered, hand };
}

Deno.test("handoff_task offers to the target itself, moves the lease, and stops what it had", async () => {
  const { agent, offered, hand } = handing({ accepted: true }, { accepted: true, epoch: 3 });
  const answer = await hand({
    task_data: { directory_path: "/home/user/Documents", capability: "parallel" },
  });
  assert.deepEqual(answer, { accepted: true, epoch: 3 });
  assert.equal(offered.length, 1);
  assert.deepEqual(agent.said, [["revoke", HELD]]);
});

Deno.test("a handoff is refused with its reason, and then nothing stops", async () => {
  const yes = { accepted: true };
  const cases = [
    [{ task_id: "task-9" }, /does not work on task-9/],
    [{ epoch: 1 }, /Attempt 1 is over/],
    [{ target_agent: "nobody" }, /No agent nobody/],
    [{ target_agent: "weak" }, /does not offer compress, backup.parallel/],
    [{ target_agent: "dead" }, /dead is dead/],
    [{ task_data: { directory_path: "/etc" } }, /is about \/home\/user\/Documents/],
    [{ task_data: { capability: "encrypt" } }, /does not offer encrypt/],
  ] as const;
  for (const [params, reason] of cases) {
    const { agent, offered, hand } = handing(yes, { accepted: true, epoch: 3 });
    const answer = await hand(params);
    assert.equal(answer.accepted, false);
    assert.match(answer.reason!, reason);
    assert.deepEqual([offered, agent.said], [[], []]);
  }
  const full = handing({ accepted: false, reason: "All slots are in use" }, yes);
  assert.deepEqual(await full.hand({}), { accepted: false, reason: "All slots are in use" });
  const late = handing(yes, { accepted: false, reason: "Attempt 2 is over" });
  assert.deepEqual(await late.hand({}), { accepted: false, reason: "Attempt 2 is over" });
  assert.deepEqual([full.agent.said, late.agent.said], [[], []]);
});

Deno.test("what a task requires follows from its source and options", () => {
  assert.deepEqual(requirementsOf(SPEC), ["mirror", "compress", "backup.parallel"]);
});

Deno.test("an agent knows the tasks it works on, and forgets them at their end", async () => {
  const { promise: gate, resolve: open } = Promise.withResolvers<never>();
  const tasks = watchTasks(() => gate);
  const work = tasks.handler(SPEC, { progress() {}, signal: new AbortController().signal });
  assert.equal(tasks.get("task-1")?.spec.epoch, 2);
  open(undefined as never);
  await work;
  assert.equal(tasks.get("task-1"), undefined);
});
