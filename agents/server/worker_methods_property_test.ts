/** Everything a worker can be asked beside plain A2A: tasks of ours, offers, handoffs, invitations, broken in every way. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { brokenCallOf } from "../../tests/a2a/bad_requests.ts";
import { judgeAnswer } from "../../tests/a2a/judge_answer.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { MIRROR_OPTIONS } from "../../tests/support/mirror_engine.ts";
import { playedAnswer } from "../../tests/support/played_answer.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import { systemClock } from "../../protocol/base/clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { silentLog } from "../../protocol/base/log.ts";
import { createTaskAgentApp } from "../../protocol/http/task_agent_app.ts";
import type { TaskSpec } from "../../protocol/mesh/task.ts";
import { messageOf } from "../../protocol/mesh/task_mapping.ts";
import { createRpcClient } from "../../protocol/rpc/client.ts";
import { createMeshWorker } from "../worker/mesh_worker.ts";
import { startCoordinatorLink } from "./coordinator_link.ts";
import { handoffBindings, watchTasks } from "./handoff.ts";

const ORIGIN = "http://127.0.0.1:8801";
const SOURCE = { path: "/src/photos", name: "photos", hostId: "host-1" };
const RUN = { runId: "run-1", sources: [SOURCE], options: MIRROR_OPTIONS };
const DESTINATION = { key: "/d", kind: "local", path: "/d", isNew: false } as const;

const SPECS: TaskSpec[] = [
  { op: "prepare", runEpoch: 1, destinations: [DESTINATION], ...RUN },
  { op: "join", runEpoch: 1, destinations: [{ spec: DESTINATION, destinationId: "x" }], ...RUN },
  { op: "scan", runId: "run-1", source: SOURCE, options: MIRROR_OPTIONS, partsMax: 3 },
  {
    ...{ op: "mirror", runId: "run-1", taskId: "task-1", epoch: 1, source: SOURCE },
    ...{ destinations: ["/d"], options: MIRROR_OPTIONS, leaseMs: 1_000 },
    part: { key: "p1", label: "a … b", from: "YQ==" },
  },
  { op: "finish", runId: "run-1", destination: "/d" },
  { op: "drop", runId: "run-1", destination: "/d" },
  { op: "release", runId: "run-1" },
];

const VALID: [method: string, params: unknown][] = [
  ...SPECS.map((spec): [string, unknown] => ["SendMessage", { message: messageOf(spec) }]),
  ["mesh.OfferTask", {
    ...{ taskId: "task-1", epoch: 1, runId: "run-1", fromAgent: "agent-2", source: SOURCE },
    ...{ requires: ["mirror"], sizeBytes: 10 },
  }],
  ["handoff_task", {
    ...{ task_id: "task-1", target_agent: "agent-2", epoch: 1 },
    task_data: { directory_path: "/src/photos", capability: "parallel" },
  }],
  ["mesh.InviteAgent", { coordinatorUrl: "http://127.0.0.1:8800/rpc" }],
];

Deno.test("whatever a worker is asked, it answers as JSON-RPC has it, keeps nothing, and does the next task", async () => {
  const clock = new ManualClock();
  const nobody = () =>
    createRpcClient({
      url: "http://127.0.0.1:9/rpc",
      fetch: () => {
        throw new TypeError("connection refused");
      },
    });
  let isDone = false;
  const tasks = watchTasks((spec) =>
    isDone || spec.op !== "scan"
      ? Promise.resolve(playedAnswer({ ...spec }))
      : Promise.reject(new BackupError("io", "The disk is odd", { retry: "later" }))
  );
  const agent = createMeshWorker({
    handler: tasks.handler,
    identity: {
      ...{ agentId: "agent-1", bootId: "boot-1", hostId: "host-1", roots: [] },
      capabilities: ["mirror"],
    },
    slots: 2,
    measure: () => ({ processor: 0, disk: undefined }),
    clock,
    bootClock: { bootMs: () => clock.monotonicMs() },
  });
  const link = startCoordinatorLink({
    ...{ agent, name: "w", version: "1", url: `${ORIGIN}/rpc`, log: silentLog },
    ...{ coordinatorUrl: "http://127.0.0.1:8800/rpc", connect: nobody },
    clock: clock as unknown as Clock,
    bootClock: { bootMs: () => clock.monotonicMs() },
  });
  const served = createTaskAgentApp({
    card: () => ({ name: "w", version: "1", url: `${ORIGIN}/rpc`, facts: agent.facts() }),
    handler: agent.handler,
    clock: systemClock,
    log: silentLog,
    methods: [
      ...handoffBindings({ agent, tasks, coordinator: nobody, connect: nobody }),
      link.binding,
    ],
  });
  const post = (body: string) =>
    served.app.request(`${ORIGIN}/rpc`, {
      method: "POST",
      headers: { "content-type": "application/json", "a2a-version": "1.0" },
      body,
    });
  try {
    await fc.assert(
      fc.asyncProperty(brokenCallOf(VALID, 0), async (call) => {
        const body = JSON.stringify(call);
        const response = await post(body);
        await judgeAnswer({ method: "POST", path: "/rpc", headers: {}, body }, response);
      }),
      { numRuns: 1_500 },
    );
    assert.deepEqual([agent.heldTasks(), agent.facts().state], [[], "ready"]);
    isDone = true;
    const last = messageOf({ ...SPECS[3]!, taskId: "task-last" } as TaskSpec);
    const params = { message: last };
    const answer = await post(
      JSON.stringify({ jsonrpc: "2.0", id: 1, method: "SendMessage", params }),
    );
    assert.equal((await answer.json()).result.task.status.state, "TASK_STATE_COMPLETED");
  } finally {
    link.close();
    agent.close();
    await served.close();
  }
});
