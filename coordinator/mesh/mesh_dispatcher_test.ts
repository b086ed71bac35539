import assert from "node:assert/strict";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { settle } from "../runs/testing/fake_agent_suite.ts";
import type { AgentView } from "../scheduler/view.ts";
import { STEAL_AFTER_MS } from "../scheduler/planner.ts";
import type { JobStore } from "../store/job_store.ts";
import { SPEC } from "../store/job_store_suite.ts";
import { openMemoryStore } from "../store/open_store.ts";
import { type AttemptEnd, createMeshDispatcher, type MeshTask } from "./mesh_dispatcher.ts";

interface Tried {
  taskId: string;
  agentId: string;
  epoch: number;
  signal: AbortSignal;
  begun(): void;
  end(end: AttemptEnd): Promise<void>;
}

const SUCCEEDED = { kind: "succeeded" } as const;
const LEASE_MS = 30_000;
const BACKOFF_OVER_MS = 60_000;

class Bench {
  readonly clock = new ManualClock();
  readonly store: JobStore = openMemoryStore(this.clock);
  readonly dispatcher = createMeshDispatcher({
    store: this.store,
    clock: this.clock,
    log: () => {},
    limits: { fallbackAfterMs: 0 },
    leaseMs: LEASE_MS,
  });
  readonly tried: Tried[] = [];
  readonly gaveUp: string[] = [];
  readonly ended: string[] = [];

  constructor(...agents: (Partial<AgentView> & { agentId: string })[]) {
    for (const agent of agents) this.put(agent);
  }

  put(agent: Partial<AgentView> & { agentId: string }): void {
    this.dispatcher.putAgent({ capabilities: ["mirror"], slots: 1, load: 0, ...agent });
  }

  send(
    taskId: string,
    {
      runId = "run-1",
      sizeBytes = 1,
      signal = new AbortController().signal,
      requires = ["mirror"],
    } = {},
  ): void {
    this.store.transact((tx) => {
      if (tx.run(runId) === undefined) tx.insertRun({ runId, hostId: "host-1", spec: SPEC });
      if (tx.task(taskId) !== undefined) return;
      tx.insertTask({ taskId, runId, source: SPEC.sources[0]!, requires, sizeBytes });
    });
    const task: MeshTask = {
      view: { taskId, runId, requires, sizeBytes, onlyAgents: null },
      holdsSlot: () => true,
      gaveUp: (why) => this.gaveUp.push(`${taskId}: ${why}`),
      attempt: (agentId, epoch, begun, own) =>
        new Promise((resolve) => {
          const end = (result: AttemptEnd) => {
            resolve(result);
            return settle();
          };
          this.tried.push({ taskId, agentId, epoch, signal: own, begun, end });
        }),
    };
    const [end] = this.dispatcher.dispatch([task], signal);
    end!.then(() => this.ended.push(taskId), (e) => this.ended.push(`${taskId}: ${e.message}`));
  }

  stateOf(taskId: string): string {
    const { state, epoch, agentId } = this.store.task(taskId)!;
    return `${state} ${epoch} ${agentId ?? "-"}`;
  }

  get last(): Tried {
    return this.tried.at(-1)!;
  }
}

Deno.test("D5: what an attempt says after its task went to another changes nothing, success or failure", async () => {
  for (const late of [SUCCEEDED, { kind: "failed", reason: "late" }] as const) {
    const b = new Bench({ agentId: "a" }, { agentId: "b" });
    b.send("t");
    const [first] = b.tried;
    first!.begun();
    b.put({ agentId: "a", readiness: "dead" });
    b.dispatcher.agentLost("a", "It is dead", true);
    assert.equal(b.stateOf("t"), "assigned 2 b");
    assert.ok(first!.signal.aborted);
    await first!.end(late);
    first!.begun();
    assert.equal(b.stateOf("t"), "assigned 2 b");
    assert.deepEqual(b.ended, []);
    b.last.begun();
    await b.last.end(SUCCEEDED);
    assert.equal(b.stateOf("t"), "succeeded 2 b");
    await first!.end(late);
    assert.deepEqual(b.ended, ["t"]);
  }
});

Deno.test("D4: an agent's death takes away what it had not begun as well as what it had", () => {
  const b = new Bench({ agentId: "a", slots: 2 });
  b.send("begun");
  b.send("assigned");
  b.tried[0]!.begun();
  b.put({ agentId: "a", slots: 2, readiness: "dead" });
  b.dispatcher.agentLost("a", "It is dead", true);
  assert.equal(b.stateOf("begun"), "queued 1 -");
  assert.equal(b.stateOf("assigned"), "queued 1 -");
  assert.deepEqual(b.gaveUp, ["begun: It is dead", "assigned: It is dead"]);
  assert.deepEqual(b.dispatcher.held("a"), []);
  b.put({ agentId: "b", slots: 2 });
  assert.equal(b.stateOf("begun"), "assigned 2 b");
  assert.equal(b.stateOf("assigned"), "assigned 2 b");
  assert.equal(b.dispatcher.held("b").length, 2);
});

Deno.test("D4: what a silent agent may still work on goes to another when the lease has ended, not before", async () => {
  const b = new Bench({ agentId: "a" });
  b.send("t");
  b.tried[0]!.begun();
  await b.clock.advance(LEASE_MS / 2);
  assert.deepEqual(
    b.dispatcher.renew("a", [{ taskId: "t", epoch: 1 }, { taskId: "x", epoch: 1 }]),
    [
      { taskId: "t", epoch: 1 },
    ],
  );
  b.put({ agentId: "a", readiness: "dead" });
  b.put({ agentId: "b" });
  b.dispatcher.agentLost("a", "It is silent", false);
  assert.deepEqual(b.dispatcher.renew("a", [{ taskId: "t", epoch: 1 }]), []);
  await b.clock.advance(LEASE_MS - 1);
  assert.equal(b.stateOf("t"), "queued 1 -");
  await b.clock.advance(1);
  assert.equal(b.stateOf("t"), "assigned 2 b");
});

Deno.test("a handover moves the lease once, and the same call again answers as the first", async () => {
  const b = new Bench({ agentId: "a" });
  b.send("t");
  b.put({ agentId: "b" });
  const [first] = b.tried;
  assert.deepEqual(b.dispatcher.move("t", 1, "a", "b"), { epoch: 2 });
  assert.deepEqual(b.dispatcher.move("t", 1, "a", "b"), { epoch: 2 });
  assert.equal(b.stateOf("t"), "assigned 2 b");
  assert.ok(first!.signal.aborted);
  assert.deepEqual(b.dispatcher.held("a"), []);
  assert.deepEqual(b.dispatcher.held("b"), [{ taskId: "t", epoch: 2 }]);
  b.put({ agentId: "c" });
  assert.deepEqual(b.dispatcher.move("t", 2, "b", "c"), { epoch: 3 });
  assert.deepEqual(b.dispatcher.move("t", 1, "a", "b"), { epoch: 2 }, "still the first answer");
  assert.equal(b.tried.length, 3);
  await b.last.end(SUCCEEDED);
  assert.equal(b.stateOf("t"), "succeeded 3 c");
});

Deno.test("a handover that does not fit is refused with a reason and changes nothing", () => {
  const b = new Bench({ agentId: "a" });
  b.send("t", { requires: ["mirror", "compress"] });
  assert.equal(b.stateOf("t"), "queued 0 -");
  b.put({ agentId: "a", capabilities: ["mirror", "compress"] });
  b.put({ agentId: "plain" });
  b.put({ agentId: "gone", capabilities: ["mirror", "compress"], readiness: "dead" });
  b.put({ agentId: "elsewhere", capabilities: ["mirror", "compress"] });
  b.dispatcher.putRun("run-1", { excluded: new Map([["elsewhere", "another disk"]]) });
  const reasons = [
    b.dispatcher.move("nobody", 1, "a", "plain"),
    b.dispatcher.move("t", 2, "a", "elsewhere"),
    b.dispatcher.move("t", 1, "plain", "a"),
    b.dispatcher.move("t", 1, "a", "a"),
    b.dispatcher.move("t", 1, "a", "unknown"),
    b.dispatcher.move("t", 1, "a", "plain"),
    b.dispatcher.move("t", 1, "a", "gone"),
    b.dispatcher.move("t", 1, "a", "elsewhere"),
  ];
  for (const reason of reasons) assert.equal(typeof reason, "string");
  assert.match(String(reasons[5]), /compress/);
  assert.match(String(reasons[7]), /another disk/);
  assert.equal(b.stateOf("t"), "assigned 1 a");
  assert.equal(b.tried.length, 1);
});

Deno.test("a handover that the store does not take leaves the attempt as it is", () => {
  const b = new Bench({ agentId: "a" });
  b.send("t");
  b.put({ agentId: "b" });
  const { transact } = b.store;
  b.store.transact = () => {
    throw new Error("disk full");
  };
  assert.throws(() => b.dispatcher.move("t", 1, "a", "b"), /disk full/);
  b.store.transact = transact;
  assert.deepEqual(b.dispatcher.ownerOf("t"), { agentId: "a", epoch: 1 });
  assert.ok(!b.last.signal.aborted);
  b.put({ agentId: "a", readiness: "dead" });
  b.dispatcher.agentLost("a", "It is dead", true);
  assert.equal(b.stateOf("t"), "assigned 2 b");
});

Deno.test("an idle agent gets at once what a busy one has not begun, though that one does not answer", async () => {
  const b = new Bench({ agentId: "busy", slots: 2 });
  b.send("one");
  b.send("two");
  b.tried[0]!.begun();
  b.put({ agentId: "idle" });
  await b.clock.advance(STEAL_AFTER_MS + 1);
  assert.equal(b.stateOf("one"), "running 1 busy");
  assert.equal(b.stateOf("two"), "assigned 2 idle");
});

Deno.test("what failed on one agent goes to another after a pause, and to the same one only when alone", async () => {
  const b = new Bench({ agentId: "a" }, { agentId: "b" });
  b.send("t");
  assert.equal(b.last.agentId, "a");
  await b.last.end({ kind: "retry", reason: "no luck", avoidsAgent: true });
  assert.equal(b.stateOf("t"), "queued 1 -");
  await b.clock.advance(BACKOFF_OVER_MS);
  assert.equal(b.stateOf("t"), "assigned 2 b");
  await b.last.end({ kind: "retry", reason: "no luck", avoidsAgent: true });
  await b.clock.advance(BACKOFF_OVER_MS);
  assert.match(b.stateOf("t"), /^assigned 3 [ab]$/);
});

Deno.test("recall takes every task of a run back as queued and tells nobody it failed", async () => {
  const b = new Bench({ agentId: "a", slots: 2 });
  b.send("x", { sizeBytes: 3 });
  b.send("y", { sizeBytes: 2 });
  b.send("z", { sizeBytes: 1 });
  b.send("other", { runId: "run-2" });
  b.tried[0]!.begun();
  b.dispatcher.recall("run-1", "anew");
  await settle();
  for (const id of ["x", "y", "z"]) assert.match(b.stateOf(id), /^queued/);
  assert.ok(b.tried.filter((t) => t.taskId !== "other").every((t) => t.signal.aborted));
  assert.deepEqual(b.ended, ["x", "y", "z"]);
  await b.tried[0]!.end(SUCCEEDED);
  assert.match(b.stateOf("x"), /^queued/);
  b.dispatcher.released("run-1", "a");
  b.send("x");
  assert.equal(b.stateOf("x"), "assigned 2 a");
  assert.match(b.stateOf("other"), /^assigned/);
});

Deno.test("cancelling ends a queued, an assigned and a running task, and one whose run was cancelled before", async () => {
  const b = new Bench({ agentId: "a", slots: 2 });
  const stop = new AbortController();
  const { signal } = stop;
  b.send("running", { sizeBytes: 3, signal });
  b.send("assigned", { sizeBytes: 2, signal });
  b.send("queued", { sizeBytes: 1, signal });
  b.tried[0]!.begun();
  stop.abort();
  await settle();
  for (const id of ["running", "assigned", "queued"]) assert.match(b.stateOf(id), /^cancelled/);
  assert.deepEqual(b.ended.toSorted(), ["assigned", "queued", "running"]);
  b.send("late", { signal });
  await settle();
  assert.equal(b.stateOf("late"), "cancelled 0 -");
  assert.equal(b.tried.length, 2, "the late one was never tried");
  assert.deepEqual(b.dispatcher.counts, { queued: 0, held: 0 });
});

Deno.test("a paused run gets nothing new and keeps what it has; unpaused it goes on", () => {
  const b = new Bench({ agentId: "a", slots: 2 });
  b.send("x");
  b.dispatcher.putRun("run-1", { isPaused: true });
  b.send("y");
  assert.equal(b.stateOf("x"), "assigned 1 a");
  assert.equal(b.store.task("y")!.reason, "The run is paused");
  b.dispatcher.putRun("run-1", { isPaused: false });
  assert.equal(b.stateOf("y"), "assigned 1 a");
});

Deno.test("when the store fails at one task, that task ends with the error and others go on", async () => {
  const b = new Bench({ agentId: "a" });
  b.send("x", { sizeBytes: 2 });
  b.send("y");
  const { transact } = b.store;
  b.store.transact = () => {
    throw new Error("disk full");
  };
  const settling = b.last.end(SUCCEEDED);
  await Promise.resolve();
  await settling;
  b.store.transact = transact;
  assert.ok(b.ended.includes("x: disk full"));
  b.send("z");
  assert.equal(b.stateOf("z"), "assigned 1 a");
});

Deno.test("a closed dispatcher assigns nothing and hears nothing", async () => {
  const b = new Bench({ agentId: "a" });
  b.send("x");
  b.dispatcher.close();
  await b.last.end(SUCCEEDED);
  assert.equal(b.stateOf("x"), "assigned 1 a");
  b.send("y");
  assert.equal(b.stateOf("y"), "queued 0 -");
});
