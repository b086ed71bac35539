import assert from "node:assert/strict";
import { metricsText } from "../../protocol/http/metrics_text.ts";
import { CancelRun, DrainAgent, FollowRun } from "../../protocol/mesh/methods.ts";
import { MeshInProcess } from "../../tests/support/mesh_in_process.ts";
import { playedAnswer } from "../../tests/support/played_answer.ts";

Deno.test("an agent that comes back is told which of its runs are over, and nothing of runs that are not known here", async () => {
  await using mesh = new MeshInProcess();
  const open = Promise.withResolvers<void>();
  const agent = await mesh.add("agent-1", async (spec) => {
    if (spec.op === "mirror") await open.promise;
    return playedAnswer(spec);
  });
  const runId = await mesh.submit(mesh.job("photos"));
  await mesh.until(() => mesh.store.tasks(runId)[0]?.agentId === "agent-1");
  const runs = [{ runId, runEpoch: 1 }, { runId: "run-of-others", runEpoch: 1 }];
  const during = await mesh.heartbeat(agent, { seq: 1, runs });
  assert.equal(during.ended, undefined, "it takes part");
  open.resolve();
  await mesh.until(() => mesh.store.run(runId)!.state === "completed");
  const after = await mesh.heartbeat(agent, { seq: 2, runs });
  assert.deepEqual(after.ended, [{ runId, runEpoch: 1 }]);
});

Deno.test("what an agent holds of a run that was prepared anew since is over, and what it holds of its present epoch is not", async () => {
  await using mesh = new MeshInProcess();
  const homes: string[] = [];
  const handler = (id: string): Parameters<MeshInProcess["add"]>[1] => (spec, { signal }) => {
    if (spec.op === "prepare") homes.push(id);
    if (spec.op !== "mirror") return Promise.resolve(playedAnswer(spec));
    return new Promise((_, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason), { once: true })
    );
  };
  const first = await mesh.add("agent-1", handler("agent-1"));
  const runId = await mesh.submit(mesh.job("photos"));
  await mesh.until(() => mesh.store.tasks(runId)[0]?.agentId === "agent-1");
  await mesh.add("agent-2", handler("agent-2"));
  await mesh.client.call(DrainAgent, { agentId: "agent-1" });
  await mesh.until(() => homes.length === 2);
  const { ended } = await mesh.heartbeat(first, {
    seq: 1,
    runs: [{ runId, runEpoch: 1 }, { runId, runEpoch: 2 }],
  });
  assert.deepEqual([homes, ended], [["agent-1", "agent-2"], [{ runId, runEpoch: 1 }]]);
});

Deno.test("a coordinator that ends leaves no reader waiting, and tells none that its run has ended", async () => {
  await using mesh = new MeshInProcess();
  await mesh.add("agent-1", (spec, { signal }) => {
    if (spec.op !== "mirror") return Promise.resolve(playedAnswer(spec));
    return new Promise((_, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason), { once: true })
    );
  });
  const runId = await mesh.submit(mesh.job("photos"));
  await mesh.until(() => mesh.store.tasks(runId)[0]?.agentId === "agent-1");
  const kinds: string[] = [];
  const read = async () => {
    for await (const { kind } of mesh.client.stream(FollowRun, { runId })) kinds.push(kind);
  };
  const reading = read();
  await mesh.until(() => kinds.includes("snapshot"));
  mesh.coordinator.close();
  await reading;
  await read();
  assert.ok(!kinds.includes("end"), kinds.join());
  assert.equal(mesh.store.run(runId)!.report, null);
});

Deno.test("a run that is cancelled is stored as such before it has ended", async () => {
  await using mesh = new MeshInProcess();
  const ended = Promise.withResolvers<void>();
  await mesh.add("agent-1", async (spec) => {
    if (spec.op === "mirror") await ended.promise;
    return playedAnswer(spec);
  });
  const runId = await mesh.submit(mesh.job("photos"));
  await mesh.until(() => mesh.store.tasks(runId)[0]?.agentId === "agent-1");
  await mesh.client.call(CancelRun, { runId });
  const stored = mesh.store.destinations(runId);
  assert.ok(stored.length > 0 && stored.every((d) => d.isCancelled));
  ended.resolve();
  await mesh.until(() => mesh.store.run(runId)!.state === "cancelled");
});

Deno.test("monitoring is told of agents, queue, leases, runs, failures by kind and room at destinations, in base units", async () => {
  await using mesh = new MeshInProcess();
  const failure = { path: "photos/a", code: "io", message: "broken", attempts: 3 };
  await mesh.add("agent-1", (spec) => {
    const answer = playedAnswer(spec);
    if (answer.op === "prepare") {
      const destinations = answer.destinations.map((d) => ({ ...d, freeBytes: 5_000 }));
      return Promise.resolve({ ...answer, destinations });
    }
    if (answer.op !== "mirror") return Promise.resolve(answer);
    const lanes = answer.lanes.map((lane) => ({
      ...lane,
      state: "failed" as const,
      failures: [failure],
      failureCount: 3,
    }));
    return Promise.resolve({ ...answer, lanes });
  });
  const runId = await mesh.submit(mesh.job("photos"));
  await mesh.until(() => mesh.store.run(runId)!.report !== null);
  await mesh.until(() =>
    mesh.coordinator.metrics().some((m) => m.name === "runs_total" && m.samples.length > 0)
  );
  const lines = metricsText(mesh.coordinator.metrics()).split("\n");
  const names = lines.flatMap((line) => /^# TYPE backup_agent_(\w+)/.exec(line)?.[1] ?? []);
  for (
    const name of [
      ...["queue_depth", "workers", "agent_up", "load_score", "bytes_total", "files_total"],
      ...[
        "lease_expired_total",
        "failures_total",
        "destination_free_bytes",
        "run_duration_seconds",
      ],
    ]
  ) assert.ok(names.includes(name), `${name} of ${names}`);
  assert.ok(!names.includes("last_success_timestamp_seconds"), "none has succeeded");
  for (
    const line of [
      'backup_agent_failures_total{class="io"} 1',
      'backup_agent_failures_total{class="unnamed"} 2',
      'backup_agent_destination_free_bytes{destination="/mnt/a"} 5000',
      'backup_agent_runs_total{state="failed"} 1',
      'backup_agent_agent_up{agent="agent-1"} 1',
    ]
  ) assert.ok(lines.includes(line), `${line} in\n${lines.join("\n")}`);
});
