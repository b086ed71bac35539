import assert from "node:assert/strict";
import { BackupError } from "../../protocol/base/errors.ts";
import { ZERO_COUNTERS, ZERO_GAUGES } from "../../protocol/mesh/progress.ts";
import type { LaneState, TaskProgress } from "../../protocol/mesh/progress.ts";
import type { MirrorResult, MirrorTask } from "../../protocol/mesh/task.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { createMeshWorker } from "./mesh_worker.ts";

const RESULT: MirrorResult = { op: "mirror", lanes: [], unreadable: [], unreadableCount: 0 };
const mirror = (epoch: number, leaseMs?: number) =>
  ({
    op: "mirror",
    taskId: "task-1",
    epoch,
    ...(leaseMs === undefined ? {} : { leaseMs }),
  }) as MirrorTask;

function lanes(seq: number, state: LaneState, bytesDone: number, files = 0): TaskProgress {
  const counters = { ...ZERO_COUNTERS, bytesDone, bytesUnchanged: 10, verifyFilesDone: files };
  return { seq, lanes: [{ destination: "/d", state, counters, gauges: ZERO_GAUGES }] };
}

/** When its signal is aborted the engine either throws or reports what there is. */
function start(whenAborted: "throws" | "reports" = "throws") {
  const clock = new ManualClock();
  const runs: {
    epoch: number;
    signal: AbortSignal;
    progress(p: TaskProgress): void;
    end(): void;
  }[] = [];
  const published: [number, number][] = [];
  const worker = createMeshWorker({
    handler: (spec, { signal, progress }) =>
      new Promise((resolve, reject) => {
        const { epoch } = spec as MirrorTask;
        runs.push({ epoch, signal, progress, end: () => resolve(RESULT) });
        signal.addEventListener("abort", () => {
          if (whenAborted === "reports") setTimeout(() => resolve(RESULT));
          else reject(new Error("stopped somehow"));
        });
      }),
    identity: {
      agentId: "agent-1",
      bootId: "boot-1",
      hostId: "host-1",
      capabilities: ["mirror"],
      roots: ["photos"],
    },
    slots: 1,
    measure: () => ({ processor: 0.25, disk: undefined }),
    clock,
    bootClock: { bootMs: () => clock.monotonicMs() },
    onLease: ({ epoch }, endsAtMs) => void published.push([epoch, endsAtMs]),
  });
  const said: TaskProgress[] = [];
  const context = {
    signal: new AbortController().signal,
    progress: (p: TaskProgress) => void said.push(p),
  };
  return { clock, runs, worker, context, said, published };
}

const isSuperseded = (e: unknown) => e instanceof BackupError && e.code === "superseded";

Deno.test("an attempt whose lease nobody renews is stopped as superseded, and may publish nothing more", async () => {
  const { clock, worker, context, runs, published } = start();
  const work = worker.handler(mirror(1, 1_000), context);
  assert.deepEqual(worker.heldTasks(), [{ taskId: "task-1", epoch: 1 }]);
  await clock.advance(900);
  worker.renew([{ taskId: "task-1", epoch: 1 }], clock.monotonicMs() - 100, 1_000);
  await clock.advance(800);
  assert.ok(!runs[0]!.signal.aborted);
  const ended = assert.rejects(work, isSuperseded);
  await clock.advance(200);
  await ended;
  assert.deepEqual(worker.heldTasks(), []);
  const startMs = published[0]![1] - 1_000;
  assert.deepEqual(published.map(([e, at]) => [e, at === 0 ? 0 : at - startMs]), [
    [1, 1_000],
    [1, 1_800],
    [1, 0],
  ]);
});

Deno.test("what the engine reports of an attempt that was taken away is neither its result nor its progress", async () => {
  const { worker, context, runs, said } = start("reports");
  const work = worker.handler(mirror(1, 1_000), context);
  runs[0]!.progress(lanes(0, "copy", 20));
  worker.revoke([{ taskId: "task-1", epoch: 1 }]);
  runs[0]!.progress(lanes(1, "cancelled", 20));
  await assert.rejects(work, isSuperseded);
  assert.deepEqual(said.map(({ seq }) => seq), [0]);
});

Deno.test("a task without a lease goes on for as long as it takes", async () => {
  const { clock, worker, context, runs } = start();
  const work = worker.handler(mirror(1), context);
  await clock.advance(1e9);
  runs[0]!.end();
  assert.equal(await work, RESULT);
  assert.equal(worker.totals().tasks, 1);
});

Deno.test("a revoked attempt stops; a newer one stops the older, and an older one is refused", async () => {
  const { worker, context, runs } = start();
  const first = worker.handler(mirror(2, 1_000), context);
  await assert.rejects(async () => await worker.handler(mirror(1, 1_000), context), isSuperseded);
  worker.revoke([{ taskId: "task-1", epoch: 1 }]);
  assert.ok(!runs[0]!.signal.aborted);
  const superseded = assert.rejects(first, isSuperseded);
  const second = worker.handler(mirror(3, 1_000), context);
  await superseded;
  assert.deepEqual(worker.heldTasks(), [{ taskId: "task-1", epoch: 3 }]);
  const revoked = assert.rejects(second, isSuperseded);
  worker.revoke([{ taskId: "task-1", epoch: 3 }]);
  await revoked;
});

Deno.test("the load is the scarcest thing, and a task that waits for slow lanes only uses no slot", async () => {
  const { clock, worker, context, runs } = start();
  assert.equal(worker.facts().load.score, 0.25);
  assert.equal(worker.facts(), worker.facts(), "the same while nothing changes");
  const work = worker.handler(mirror(1), context);
  assert.equal(worker.facts().load.score, 1);
  runs[0]!.progress(lanes(0, "copy", 20));
  await clock.advance(1_000);
  assert.equal(worker.facts().load.score, 1);
  runs[0]!.progress(lanes(1, "verify", 30));
  await clock.advance(1_000);
  assert.equal(worker.facts().load.score, 0.25);
  runs[0]!.end();
  await work;
});

Deno.test("bytes and files are counted once, whatever is said twice", async () => {
  const { worker, context, runs, said } = start();
  const work = worker.handler(mirror(1), context);
  runs[0]!.progress(lanes(0, "copy", 30));
  runs[0]!.progress(lanes(1, "copy", 30));
  runs[0]!.progress(lanes(2, "verify", 110, 4));
  runs[0]!.end();
  await work;
  assert.deepEqual(worker.totals(), { bytes: 100, files: 4, tasks: 1 });
  assert.equal(said.length, 3);
});

Deno.test("a worker that is about to end takes nothing more, whatever its coordinator wants", () => {
  const { worker } = start();
  worker.setDraining(true);
  worker.setDraining(false);
  assert.equal(worker.facts().state, "ready");
  worker.beginEnding();
  worker.setDraining(false);
  assert.equal(worker.facts().state, "draining");
});

Deno.test("an offer is refused with a reason while draining, busy, unable or too far away", () => {
  const { worker, context } = start();
  const offer = (facts: { requires?: string[]; hostId?: string; root?: string } = {}) =>
    worker.offer({
      taskId: "task-2",
      source: {
        path: "/p",
        name: "p",
        ...(facts.root === undefined ? { hostId: facts.hostId ?? "host-1" } : { root: facts.root }),
      },
      requires: facts.requires ?? ["mirror"],
      sizeBytes: 1,
    });
  assert.deepEqual(offer(), { accepted: true });
  assert.deepEqual(offer({ root: "photos" }), { accepted: true });
  assert.match(offer({ root: "music" }).reason!, /cannot reach/);
  assert.match(offer({ hostId: "host-2" }).reason!, /cannot reach/);
  assert.match(offer({ requires: ["encrypt"] }).reason!, /does not offer encrypt/);
  void worker.handler(mirror(1), context);
  assert.match(offer().reason!, /slots are in use/);
  worker.setDraining(true);
  assert.match(offer().reason!, /draining/);
  assert.equal(worker.facts().state, "draining");
});
