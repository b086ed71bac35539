/** Everything a coordinator can be asked, by whoever knows the token and means no good. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { brokenCallOf } from "../../tests/a2a/bad_requests.ts";
import { judgeAnswer } from "../../tests/a2a/judge_answer.ts";
import { HOST, MeshInProcess } from "../../tests/support/mesh_in_process.ts";
import { RPC_CODES } from "../../protocol/rpc/error_codes.ts";
import * as mesh from "../../protocol/mesh/methods.ts";
import type { RunEvent } from "../../protocol/mesh/methods.ts";
import { RUNS_UNFINISHED_MAX } from "./mesh_coordinator.ts";
import { createRunHub } from "./run_hub.ts";

const RUN_OF_NOBODY = "run-nobody-knows";

function validCalls(m: MeshInProcess): [method: string, params: unknown][] {
  const load = { score: 0.5, observedAtMs: 0 };
  const totals = { bytes: 1, files: 1, tasks: 1 };
  const facts = {
    ...{ agentId: "agent-9", bootId: "boot-9", hostId: HOST, capabilities: ["mirror"] },
    ...{ roots: [], limits: { slots: 3 }, load, state: "ready" },
  };
  const beat = {
    ...{ agentId: "agent-1", bootId: "boot-1", seq: 3, load, state: "ready", totals },
    tasks: [{ taskId: "task-1", epoch: 1 }],
    runs: [{ runId: RUN_OF_NOBODY, runEpoch: 1 }],
  };
  return [
    ["mesh.SubmitJob", { job: m.job("photos"), idempotencyKey: "the key" }],
    ["mesh.SubmitJob", { job: m.job("photos", "music") }],
    ["mesh.Heartbeat", beat],
    ["mesh.RegisterAgent", {
      ...{ name: "agent-9", version: "1", url: "http://agent-9.test/rpc", facts },
    }],
    ["mesh.ListRuns", { limit: 5 }],
    ["mesh.GetRun", { runId: RUN_OF_NOBODY }],
    ["mesh.FollowRun", { runId: RUN_OF_NOBODY }],
    ["mesh.CancelRun", { runId: RUN_OF_NOBODY, destination: "/mnt/a" }],
    ["mesh.ListAgents", {}],
    ["mesh.DrainAgent", { agentId: "agent-8", undo: true }],
    ["mesh.RemoveAgent", { agentId: "agent-8" }],
    ["handoff_task", { task_id: "task-1", target_agent: "agent-2", epoch: 1, task_data: {} }],
    ["mesh.MoveLease", { taskId: "task-1", epoch: 1, fromAgent: "a", toAgent: "b" }],
  ];
}

Deno.test("whatever a coordinator is asked, it answers as JSON-RPC has it, and carries out the next job", async () => {
  await using m = new MeshInProcess();
  await m.add("agent-1");
  const call = brokenCallOf(validCalls(m), 0);
  await fc.assert(
    fc.asyncProperty(call, async (body) => {
      const text = JSON.stringify(body);
      const headers = { "content-type": "application/json" };
      const url = "http://coordinator.test/rpc";
      const response = await m.endpoint(new Request(url, { method: "POST", headers, body: text }));
      if (response.headers.get("content-type") === "text/event-stream") {
        return await response.body?.cancel();
      }
      await judgeAnswer({ method: "POST", path: "/rpc", headers, body: text }, response);
    }),
    { numRuns: 1_500 },
  );
  // What garbage made it begin may wait for agents that do not exist; that must not hold up anybody.
  const { runs } = await m.client.call(mesh.ListRuns, { limit: 1_000 });
  assert.ok(runs.length > 10, "some of it is a job");
  for (const { runId, exitCode } of runs) {
    if (exitCode === null) await m.client.call(mesh.CancelRun, { runId });
  }
  const runId = await m.submit(m.job("last"));
  await m.until(() => m.store.run(runId)!.report !== null);
  assert.equal(m.store.run(runId)!.state, "completed");
});

Deno.test("the same key is the same run, however often and in whatever order jobs are submitted", async () => {
  await using m = new MeshInProcess();
  const keys = fc.array(fc.option(fc.constantFrom("a", "b", "__proto__", "constructor")), {
    maxLength: 12,
  });
  const known = new Map<string, string>();
  let others = 0;
  await fc.assert(
    fc.asyncProperty(keys, async (list) => {
      const ids = await Promise.all(list.map((key) => m.submit(m.job("x"), key ?? undefined)));
      list.forEach((key, at) => {
        if (key === null) return void others++;
        assert.equal(known.get(key) ?? ids[at], ids[at]);
        known.set(key, ids[at]!);
      });
    }),
    { numRuns: 20 },
  );
  assert.equal(m.store.runs(1_000).length, known.size + others);
});

Deno.test("a reader however slow gets growing numbers, a snapshot for what it missed, and the end last", () => {
  type Step = "tell" | "read" | { burst: number };
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.constantFrom("tell" as const, "read" as const),
    fc.record({ burst: fc.integer({ min: 1, max: 600 }) }),
  );
  return fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const run = { runId: "run-1" } as unknown as mesh.RunDetail;
      const hub = createRunHub(() => run);
      const reader = hub.follow()!;
      const seen: RunEvent[] = [];
      let told = 0;
      const tell = () => hub.tell({ kind: "note", text: `note ${told++}` });
      const read = async () => {
        const next = await reader.next();
        if (!next.done) seen.push(next.value);
        return next.done !== true;
      };
      for (const s of steps) {
        if (s === "tell") tell();
        else if (s === "read") {
          tell();
          await read();
        } else for (let i = 0; i < s.burst; i++) tell();
      }
      hub.tell({ kind: "end", state: "completed", report: null });
      while (await read());
      assert.equal(seen[0]?.kind, "snapshot");
      assert.equal(seen.at(-1)?.kind, "end");
      let before = -1;
      for (const { kind, seq } of seen) {
        assert.ok(seq >= before, `${seq} after ${before}`);
        // Nothing is missing but what a snapshot stands for.
        if (kind !== "snapshot" && before >= 0) assert.equal(seq, before + 1);
        before = seq;
      }
      assert.equal(await read(), false);
    }),
    { numRuns: 100 },
  );
});

Deno.test("nobody registers under the id of an agent that lives elsewhere, and that one goes on", async () => {
  await using m = new MeshInProcess();
  const victim = await m.add("agent-1");
  await m.add("agent-2");
  const forged = fc.record({
    agentId: fc.constantFrom("agent-1", "coordinator", "agent-3", "__proto__"),
    bootId: fc.constantFrom("boot-1", "boot-of-mine"),
    url: fc.constantFrom("http://agent-2.test/rpc", "http://nobody.test/rpc"),
  });
  await fc.assert(
    fc.asyncProperty(forged, async ({ agentId, bootId, url }) => {
      const facts = { ...victim, agentId, bootId };
      const registration = { name: "mine", version: "1", url, facts };
      await assert.rejects(m.client.call(mesh.RegisterAgent, registration));
    }),
    { numRuns: 40 },
  );
  const { agents } = await m.client.call(mesh.ListAgents, {});
  assert.deepEqual(agents.map((a) => [a.agentId, a.url]), [
    ["agent-1", "http://agent-1.test/rpc"],
    ["agent-2", "http://agent-2.test/rpc"],
  ]);
  assert.equal((await m.heartbeat(victim, { seq: 1 })).known, true);
});

Deno.test("heartbeats that come twice, late or with lies about the load leave the newest word, within bounds, and work goes on", async () => {
  await using m = new MeshInProcess();
  const facts = await m.add("agent-1");
  const score = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(-1e308, 1e308, -0, 2),
  );
  const beats = fc.array(fc.record({ seq: fc.nat(50), score }), { minLength: 1, maxLength: 12 });
  let newest = { seq: -1, score: 0 };
  await fc.assert(
    fc.asyncProperty(beats, async (list) => {
      for (const beat of list) {
        const tasks = [{ taskId: "task-of-nobody", epoch: 7 }];
        const answer = await m.heartbeat(facts, { ...beat, tasks });
        assert.deepEqual([answer.known, answer.renewed, answer.revoked], [true, [], tasks]);
        if (beat.seq > newest.seq) newest = beat;
        const [agent] = (await m.client.call(mesh.ListAgents, {})).agents;
        assert.equal(agent!.load, Math.min(1, Math.max(0, newest.score)));
        assert.equal(agent!.state, "alive");
      }
    }),
    { numRuns: 30 },
  );
  const older = { ...facts, bootId: "boot-before" };
  assert.equal((await m.heartbeat(older, { seq: 1_000, score: 0.5 })).known, false);
  const runId = await m.submit(m.job("photos"));
  await m.until(() => m.store.run(runId)!.report !== null);
  assert.equal(m.store.run(runId)!.state, "completed");
});

Deno.test("a job of more sources or destinations than a coordinator plans for is refused by name, and nothing is stored", async () => {
  await using m = new MeshInProcess();
  const job = m.job("photos");
  const many = (count: number) => Array.from({ length: count }, (_, i) => `n${i}`);
  const [destination] = job.destinations;
  const wide = { ...job, destinations: many(101).map((key) => ({ ...destination!, key })) };
  await assert.rejects(m.submit(m.job(...many(10_001))), /More than 10000 sources/);
  await assert.rejects(m.submit(wide), /More than 100 destinations/);
  assert.deepEqual(m.store.runs(10), []);
});

Deno.test("only so many runs wait at once; whoever submits more is told to come back, and the same job again is the same run", async () => {
  await using m = new MeshInProcess();
  const first = await m.submit(m.job("photos"), "the first");
  m.store.transact((tx) => {
    for (let i = 1; i < RUNS_UNFINISHED_MAX; i++) {
      tx.insertRun({ runId: `run-${i}`, hostId: HOST, spec: m.job("photos"), owner: "mesh" });
    }
  });
  // With it those begin that there is a place for.
  await m.submit(m.job("photos"));
  const { length } = m.store.unfinishedRuns("mesh");
  await assert.rejects(m.submit(m.job("photos")), { code: RPC_CODES.unavailable });
  assert.equal(await m.submit(m.job("photos"), "the first"), first);
  assert.equal(m.store.unfinishedRuns("mesh").length, length);
});
