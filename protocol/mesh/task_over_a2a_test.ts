/** Both ends of a task joined by `app.fetch`, as the embedded run joins them. */
import assert from "node:assert/strict";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { sampleAgentFacts } from "../../tests/support/sample_agent_facts.ts";
import { BackupError, IntegrityError } from "../base/errors.ts";
import { silentLog } from "../base/log.ts";
import { createTaskAgentApp, type TaskAgentApp } from "../http/task_agent_app.ts";
import type { FetchLike } from "../rpc/client.ts";
import type { MirrorOptions } from "./job.ts";
import type { TaskProgress } from "./progress.ts";
import type { FinishTask, LaneReport, MirrorResult, MirrorTask, TaskResult } from "./task.ts";
import { createTaskClient, fromWireError, toWireError } from "./task_over_a2a.ts";
import { AgentBusyError, type TaskHandler } from "./task_port.ts";

const URL = "http://agent.test/rpc";

const OPTIONS: MirrorOptions = {
  verify: "new",
  order: "priority",
  priorities: [{ pattern: "*.db", level: "high" }],
  excludes: [],
  ignoreFiles: true,
  excludeCaches: false,
  oneFileSystem: false,
  dryRun: false,
  attemptsMax: 3,
  workersMin: 1,
  workersMax: 8,
  operationTimeoutMs: 30_000,
  waitMs: 0,
  bufferBytes: 64 << 20,
};

const MIRROR: MirrorTask = {
  op: "mirror",
  runId: "run-1",
  taskId: "task-1",
  epoch: 1,
  source: { path: "/home/me/Documents", name: "Documents" },
  destinations: ["/mnt/ssd"],
  options: OPTIONS,
};

const FINISH: FinishTask = { op: "finish", runId: "run-1", destination: "/mnt/ssd" };

function agent(handler: TaskHandler, clock = new ManualClock()): TaskAgentApp {
  return createTaskAgentApp({
    card: {
      name: "Test agent",
      version: "0.1.0",
      facts: sampleAgentFacts(),
      url: URL,
    },
    handler,
    clock,
    log: silentLog,
  });
}

function clientOf({ app }: TaskAgentApp) {
  return createTaskClient({ fetch: app.fetch, url: URL, clock: new ManualClock() });
}

function progress(seq: number): TaskProgress {
  return { seq, lanes: [] };
}

function laneReport(failures: LaneReport["failures"]): LaneReport {
  return {
    destination: "/mnt/ssd",
    state: failures.length === 0 ? "verified" : "failed",
    filesTotal: 3,
    filesCopied: 3,
    bytesCopied: 300,
    filesUnchanged: 0,
    filesVerified: 3,
    bytesVerified: 300,
    verification: "disk",
    failures,
    failureCount: failures.length,
    rewritten: [],
    warnings: [],
  };
}

function mirrorResult(failures: LaneReport["failures"] = []): MirrorResult {
  return { op: "mirror", lanes: [laneReport(failures)], unreadable: [], unreadableCount: 0 };
}

/** Waits for the signal as a well-behaved handler does. */
function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new BackupError("cancelled", "Cancelled")));
  });
}

async function rejectionOf(promise: Promise<unknown>): Promise<BackupError> {
  try {
    await promise;
  } catch (thrown) {
    assert(thrown instanceof BackupError, `Not a BackupError: ${thrown}`);
    return thrown;
  }
  assert.fail("Expected a rejection");
}

Deno.test("a task arrives as it was sent and its result comes back as it was returned", async () => {
  const seen: unknown[] = [];
  const served = agent((spec) => {
    seen.push(spec);
    return Promise.resolve(mirrorResult());
  });
  assert.deepEqual(await clientOf(served).run(MIRROR), mirrorResult());
  assert.deepEqual(seen, [MIRROR]);
});

Deno.test("progress arrives in order and before the result", async () => {
  const served = agent(async (_, context) => {
    for (let seq = 0; seq < 40; seq++) {
      context.progress(progress(seq));
      if (seq % 3 === 0) await Promise.resolve();
    }
    return { op: "finish" };
  });
  const seen: number[] = [];
  await clientOf(served).run(FINISH, { onProgress: ({ seq }) => seen.push(seq) });
  assert.deepEqual(seen, Array.from({ length: 40 }, (_, seq) => seq));
});

Deno.test("a flood of progress keeps memory bounded and the last event arrives", async () => {
  const served = agent((_, context) => {
    for (let seq = 0; seq < 5_000; seq++) context.progress(progress(seq));
    return Promise.resolve({ op: "finish" });
  });
  const seen: number[] = [];
  await clientOf(served).run(FINISH, { onProgress: ({ seq }) => seen.push(seq) });
  assert.equal(seen.at(-1), 4_999);
  assert(seen.length < 300, `${seen.length} events were held`);
  assert.deepEqual(seen, [...seen].sort((a, b) => a - b));
});

Deno.test("a result with 10,000 failures of long names arrives whole", async () => {
  const failures = Array.from({ length: 10_000 }, (_, i) => ({
    path: `Documents/${"🙂".repeat(60)}/${"x".repeat(100)}/${i}`,
    code: "io",
    message: "Input/output error",
    attempts: 3,
  }));
  const served = agent(() => Promise.resolve(mirrorResult(failures)));
  assert.deepEqual(await clientOf(served).run(MIRROR), mirrorResult(failures));
});

Deno.test("an expected failure keeps code, text, path, hint and retry", async () => {
  const sent = new BackupError("no_space", "The disk is full", {
    path: "/mnt/ssd",
    hint: "Free 3 GB",
    retry: "elsewhere",
  });
  const error = await rejectionOf(clientOf(agent(() => Promise.reject(sent))).run(FINISH));
  assert.deepEqual(toWireError(error), toWireError(sent));
});

Deno.test("damage stays an integrity error and an unexpected failure becomes internal", async () => {
  const damaged = clientOf(agent(() => Promise.reject(new IntegrityError("Bytes differ"))));
  assert(await rejectionOf(damaged.run(FINISH)) instanceof IntegrityError);
  const broken = clientOf(agent(() => Promise.reject(new TypeError("x is undefined"))));
  assert.equal((await rejectionOf(broken.run(FINISH))).code, "internal");
});

Deno.test("a code of a newer version is read as internal", () => {
  const error = fromWireError({ code: "from_the_future", message: "?", retry: "later" });
  assert.equal(error.code, "internal");
  assert.equal(error.retry, "later");
});

Deno.test("an operation the agent does not know is rejected and never reaches the handler", async () => {
  let calls = 0;
  const served = agent(() => {
    calls++;
    return Promise.resolve({ op: "finish" });
  });
  const unknown = { ...FINISH, op: "format" } as unknown as FinishTask;
  assert.equal((await rejectionOf(clientOf(served).run(unknown))).code, "rejected");
  assert.equal(calls, 0);
});

Deno.test("a result of another operation is nonsense", async () => {
  const served = agent(() => Promise.resolve({ op: "release" } as TaskResult));
  assert.equal((await rejectionOf(clientOf(served).run(FINISH))).code, "protocol");
});

Deno.test("aborting cancels the task on the agent and rejects as cancelled", async () => {
  const began = Promise.withResolvers<void>();
  let wasAborted = false;
  const served = agent(async (_, { signal }) => {
    began.resolve();
    await untilAborted(signal).finally(() => wasAborted = signal.aborted);
    return { op: "finish" };
  });
  const stop = new AbortController();
  const run = rejectionOf(clientOf(served).run(FINISH, { signal: stop.signal }));
  await began.promise;
  stop.abort();
  assert.equal((await run).code, "cancelled");
  assert(wasAborted);
});

Deno.test("an already aborted call sends nothing", async () => {
  const client = createTaskClient({ fetch: () => assert.fail("No call expected"), url: URL });
  const run = client.run(FINISH, { signal: AbortSignal.abort() });
  assert.equal((await rejectionOf(run)).code, "cancelled");
});

Deno.test("aborting a call to an agent that never answers gives up after its limit", async () => {
  const clock = new ManualClock();
  const client = createTaskClient({ fetch: () => new Promise(() => {}), url: URL, clock });
  const stop = new AbortController();
  const run = rejectionOf(client.run(FINISH, { signal: stop.signal }));
  stop.abort();
  await clock.advance(15_000);
  assert.equal((await run).code, "cancelled");
});

Deno.test("closing the agent cancels what runs and refuses new tasks", async () => {
  const began = Promise.withResolvers<void>();
  const served = agent((_, { signal }) => {
    began.resolve();
    return untilAborted(signal);
  });
  const run = rejectionOf(clientOf(served).run(FINISH));
  await began.promise;
  await served.close();
  assert.equal((await run).code, "cancelled");
  const late = await rejectionOf(clientOf(served).run(FINISH));
  assert.ok(late instanceof AgentBusyError);
  assert.deepEqual([late.code, late.retry], ["rejected", "later"]);
});

Deno.test("a broken stream is picked up again and the task runs once", async () => {
  let calls = 0;
  const goOn = Promise.withResolvers<void>();
  const served = agent(async (_, context) => {
    calls++;
    context.progress(progress(1));
    await goOn.promise;
    context.progress(progress(2));
    return mirrorResult();
  });
  let requests = 0;
  /** Breaks the first connection after its third event (task, working, progress). */
  const flaky: FetchLike = async (request) => {
    const response = await served.app.fetch(request);
    if (++requests > 1) return response;
    return new Response(brokenAfter(response.body!, 3, () => goOn.resolve()), response);
  };
  const clock = new ManualClock();
  const seen: number[] = [];
  const client = createTaskClient({ fetch: flaky, url: URL, clock });
  const run = client.run(MIRROR, { onProgress: ({ seq }) => seen.push(seq) });
  await goOn.promise;
  await advanceUntil(clock, run);
  assert.deepEqual(await run, mirrorResult());
  assert.deepEqual(seen, [1, 2]);
  assert.equal(calls, 1);
});

Deno.test("a request whose answer is lost is sent again and runs once", async () => {
  let calls = 0;
  const served = agent(() => {
    calls++;
    return Promise.resolve(mirrorResult());
  });
  let requests = 0;
  const lossy: FetchLike = async (request) => {
    const response = await served.app.fetch(request);
    if (++requests === 1) throw new TypeError("connection reset");
    return response;
  };
  const clock = new ManualClock();
  const run = createTaskClient({ fetch: lossy, url: URL, clock }).run(MIRROR);
  await advanceUntil(clock, run);
  assert.deepEqual(await run, mirrorResult());
  assert.deepEqual([requests, calls], [2, 1]);
});

Deno.test("an agent that cannot be reached is reported after a few attempts", async () => {
  const clock = new ManualClock();
  let requests = 0;
  const dead: FetchLike = () => {
    requests++;
    return Promise.reject(new TypeError("connection refused"));
  };
  const run = rejectionOf(createTaskClient({ fetch: dead, url: URL, clock }).run(FINISH));
  await advanceUntil(clock, run);
  const error = await run;
  assert.deepEqual([error.code, error.retry], ["io", "later"]);
  assert.equal(requests, 5);
});

Deno.test("progress that breaks its schema is nonsense", async () => {
  const served = agent((_, context) => {
    context.progress({ seq: -1, lanes: [] });
    return Promise.resolve({ op: "finish" });
  });
  assert.equal((await rejectionOf(clientOf(served).run(FINISH))).code, "protocol");
});

/** Passes `events` chunks on, then fails as a cut connection does. */
function brokenAfter(
  body: ReadableStream<Uint8Array>,
  events: number,
  onBreak: () => void,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let passed = 0;
  return new ReadableStream({
    async pull(controller) {
      if (passed++ < events) {
        const step = await reader.read();
        if (step.done) return controller.close();
        return controller.enqueue(step.value);
      }
      await reader.cancel();
      onBreak();
      controller.error(new TypeError("connection reset"));
    },
  }, { highWaterMark: 0 });
}

/** Moves time on until `work` settles: the steps between two pauses take turns of the event loop, not time. */
async function advanceUntil(clock: ManualClock, work: Promise<unknown>): Promise<void> {
  let isSettled = false;
  const settled = () => {
    isSettled = true;
  };
  work.then(settled, settled);
  for (let turn = 0; turn < 1_000 && !isSettled; turn++) {
    await clock.advance(100);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
