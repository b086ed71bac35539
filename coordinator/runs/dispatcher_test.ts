import assert from "node:assert/strict";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import type { JobStore } from "../store/job_store.ts";
import { SPEC } from "../store/job_store_suite.ts";
import { openMemoryStore } from "../store/open_store.ts";
import { type AttemptEnd, createDispatcher, type Dispatcher } from "./dispatcher.ts";
import { settle } from "./testing/fake_agent_suite.ts";

interface Tried {
  taskId: string;
  agentId: string;
  epoch: number;
  begun(): void;
  end(end: AttemptEnd): Promise<void>;
}

function setUp(slots: number) {
  const clock = new ManualClock();
  const store = openMemoryStore(clock);
  const agents = [{ agentId: "agent-1", capabilities: ["mirror"], slots }];
  const dispatcher = createDispatcher({ store, clock, agents });
  const tried: Tried[] = [];
  const ended: string[] = [];
  return { clock, store, dispatcher, tried, ended };
}

function send(
  { store, dispatcher, tried, ended }: {
    store: JobStore;
    dispatcher: Dispatcher;
    tried: Tried[];
    ended: string[];
  },
  runId: string,
  taskId: string,
  sizeBytes: number,
  more: { requires?: string[]; signal?: AbortSignal } = {},
): void {
  const { requires = ["mirror"], signal = new AbortController().signal } = more;
  const source = SPEC.sources[0]!;
  store.transact((tx) => {
    if (tx.run(runId) === undefined) tx.insertRun({ runId, hostId: "host-1", spec: SPEC });
    tx.insertTask({ taskId, runId, source, requires, sizeBytes });
  });
  const attempt = (agentId: string, epoch: number, begun: () => void) =>
    new Promise<AttemptEnd>((resolve) => {
      const end = (result: AttemptEnd) => {
        resolve(result);
        return settle();
      };
      tried.push({ taskId, agentId, epoch, begun, end });
    });
  const task = {
    taskId,
    runId,
    requires,
    sizeBytes,
    onlyAgents: null,
    holdsSlot: () => true,
    attempt,
  };
  dispatcher.dispatch(task, signal).then(
    () => ended.push(taskId),
    (error) => ended.push(`${taskId}: ${error.message}`),
  );
}

Deno.test("a burst is planned as one: the largest first, and the rest wait with a reason that is stored", async () => {
  const s = setUp(1);
  send(s, "run-1", "small", 1);
  send(s, "run-1", "big", 9);
  await settle();
  assert.deepEqual(s.tried.map((t) => t.taskId), ["big"]);
  assert.equal(s.store.task("small")!.reason, "All slots are in use");
  assert.equal(s.store.task("big")!.state, "assigned");
  s.tried[0]!.begun();
  assert.equal(s.store.task("big")!.state, "running");
  await s.tried[0]!.end({ kind: "succeeded" });
  assert.deepEqual(s.tried.map((t) => t.taskId), ["big", "small"]);
  assert.deepEqual(s.ended, ["big"]);
});

Deno.test("two runs of one coordinator share the slots in turn", async () => {
  const s = setUp(2);
  send(s, "run-1", "x1", 9);
  send(s, "run-1", "x2", 9);
  send(s, "run-2", "y1", 1);
  await settle();
  assert.deepEqual(s.tried.map((t) => t.taskId), ["x1", "y1"]);
});

Deno.test("a task that no agent can do stays queued with its reason and is never dropped", async () => {
  const s = setUp(1);
  send(s, "run-1", "t", 1, { requires: ["mirror", "encrypt"] });
  await settle();
  assert.equal(s.store.task("t")!.state, "queued");
  assert.match(s.store.task("t")!.reason!, /No agent offers encrypt/);
  assert.deepEqual(s.ended, []);
});

Deno.test("a retry waits for its backoff, has the next epoch, and frees the slot meanwhile", async () => {
  const s = setUp(1);
  send(s, "run-1", "t", 9);
  send(s, "run-1", "u", 1);
  await settle();
  await s.tried[0]!.end({ kind: "retry", reason: "The disk was busy" });
  assert.equal(s.store.task("t")!.state, "queued");
  assert.deepEqual(s.tried.map((t) => t.taskId), ["t", "u"]);
  await s.tried[1]!.end({ kind: "succeeded" });
  assert.equal(s.tried.length, 2);
  await s.clock.advance(1000);
  assert.deepEqual(s.tried.map((t) => [t.taskId, t.epoch]), [["t", 1], ["u", 1], ["t", 2]]);
});

Deno.test("the late end of an abandoned attempt changes nothing", async () => {
  const s = setUp(1);
  send(s, "run-1", "t", 1);
  await settle();
  s.dispatcher.abandon("run-1");
  await settle();
  assert.deepEqual(s.ended, ["t"]);
  assert.equal(s.store.task("t")!.state, "cancelled");
  s.tried[0]!.begun();
  await s.tried[0]!.end({ kind: "succeeded" });
  assert.equal(s.store.task("t")!.state, "cancelled");
  assert.deepEqual(s.ended, ["t"]);
});

Deno.test("an abort cancels what is queued at once", async () => {
  const s = setUp(1);
  const abort = new AbortController();
  send(s, "run-1", "t", 9);
  send(s, "run-1", "u", 1, { signal: abort.signal });
  await settle();
  abort.abort();
  await settle();
  assert.deepEqual(s.ended, ["u"]);
  assert.equal(s.store.task("u")!.state, "cancelled");
  assert.equal(s.store.task("t")!.state, "assigned");
});

Deno.test("when the store fails, the task's dispatch fails with its error", async () => {
  const s = setUp(1);
  send(s, "run-1", "t", 9);
  s.store.transact((tx) => tx.moveTask("t", 0, "cancelled"));
  await settle();
  assert.match(s.ended[0]!, /Cannot move from cancelled to assigned/);
});
