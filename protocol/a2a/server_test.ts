/** The A2A server behind its dispatcher, without HTTP. */
import assert from "node:assert/strict";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { silentLog } from "../base/log.ts";
import { createDispatch } from "../rpc/dispatch.ts";
import type { AgentExecutor } from "./executor.ts";
import { createMemoryTaskStore } from "./memory_task_store.ts";
import type { StreamEvent } from "./stream_event.ts";
import { type A2AServer, createA2AServer } from "./server.ts";
import type { Task } from "./task.ts";
import { requireVersion } from "./version.ts";

const URI = "urn:test:v1";

interface Peer {
  server: A2AServer;
  clock: ManualClock;
  /** The result, or the error code. */
  call(method: string, params: unknown, caller?: string): Promise<unknown>;
  answer(method: string, params: unknown): Promise<{ body: unknown }>;
  /** Events of a stream so far, and the rest on demand. */
  open(method: string, params: unknown): Promise<AsyncGenerator<StreamEvent, void, undefined>>;
}

function serve(execute: AgentExecutor["execute"]): Peer {
  const clock = new ManualClock();
  const server = createA2AServer({
    executor: { execute },
    store: createMemoryTaskStore(),
    clock,
    log: silentLog,
    inputModes: ["application/json"],
    extensionUri: URI,
  });
  const dispatch = createDispatch(server.bindings, { before: requireVersion, log: silentLog });
  const contextFor = (caller: string) => ({
    caller,
    header: (name: string) => name === "A2A-Version" ? "1.0.1" : undefined,
  });
  const send = (method: string, params: unknown, caller: string) =>
    dispatch(JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }), contextFor(caller));
  return {
    server,
    clock,
    async answer(method, params) {
      const outcome = await send(method, params, "me");
      assert(outcome.kind === "reply");
      return outcome;
    },
    async call(method, params, caller = "me") {
      const outcome = await send(method, params, caller);
      assert(outcome.kind === "reply");
      return "error" in outcome.body ? outcome.body.error.code : outcome.body.result;
    },
    async open(method, params) {
      const outcome = await send(method, params, "me");
      assert(outcome.kind === "stream", JSON.stringify(outcome));
      return (async function* () {
        try {
          for (let s = await outcome.events.next(); !s.done; s = await outcome.events.next()) {
            assert("result" in s.value);
            yield s.value.result as StreamEvent;
          }
        } finally {
          await outcome.events.return();
        }
      })();
    },
  };
}

/** Says each word as an artifact, then completes. */
const echo: AgentExecutor["execute"] = (turn, events) => {
  events.status("TASK_STATE_WORKING");
  events.artifact({ artifactId: "echo", parts: turn.message.parts });
  events.status("TASK_STATE_COMPLETED", { metadata: { [URI]: { done: true } } });
  return Promise.resolve();
};

function message(more: Record<string, unknown> = {}) {
  return { message: { messageId: "m", role: "ROLE_USER", parts: [{ data: 1 }], ...more } };
}

function keyed(key: string, data: unknown = 1) {
  return message({ parts: [{ data }], metadata: { [URI]: { idempotencyKey: key } } });
}

async function taskOf(sent: Promise<unknown>): Promise<Task> {
  const result = await sent as { task?: Task };
  assert(result.task, `No task: ${JSON.stringify(result)}`);
  return result.task;
}

function states(events: readonly StreamEvent[]): string[] {
  return events.map((e) =>
    "statusUpdate" in e
      ? e.statusUpdate.status.state
      : "task" in e
      ? `task ${e.task.status.state}`
      : Object.keys(e)[0]!
  );
}

Deno.test("SendMessage waits for the end and returns the task with artifacts and metadata", async () => {
  const peer = serve(echo);
  const task = await taskOf(peer.call("SendMessage", message({ contextId: "run-7" })));
  assert.equal(task.contextId, "run-7");
  assert.equal(task.status.state, "TASK_STATE_COMPLETED");
  assert.deepEqual(task.artifacts, [{ artifactId: "echo", parts: [{ data: 1 }] }]);
  assert.deepEqual(task.metadata, { [URI]: { done: true } });
  assert.deepEqual(await peer.call("GetTask", { id: task.id }), task);
  const { history: _, ...short } = task;
  assert.deepEqual(await peer.call("GetTask", { id: task.id, history_length: 0 }), short);
});

Deno.test("returnImmediately returns the submitted task and the work goes on", async () => {
  const done = Promise.withResolvers<void>();
  const peer = serve(async (_, events) => {
    await done.promise;
    events.status("TASK_STATE_COMPLETED");
  });
  const configuration = { returnImmediately: true };
  const task = await taskOf(peer.call("SendMessage", { ...message(), configuration }));
  assert.equal(task.status.state, "TASK_STATE_SUBMITTED");
  const events = await peer.open("SubscribeToTask", { id: task.id });
  done.resolve();
  const seen = await Array.fromAsync(events);
  assert.deepEqual(states(seen), ["task TASK_STATE_SUBMITTED", "TASK_STATE_COMPLETED"]);
});

Deno.test("a stream begins with the task, keeps the order and ends at the end", async () => {
  const seen = await Array.fromAsync(await serve(echo).open("SendStreamingMessage", message()));
  assert.deepEqual(states(seen), [
    "task TASK_STATE_SUBMITTED",
    "TASK_STATE_WORKING",
    "artifactUpdate",
    "TASK_STATE_COMPLETED",
  ]);
});

Deno.test("a reader that leaves does not stop the task", async () => {
  const done = Promise.withResolvers<void>();
  const peer = serve(async (turn, events) => {
    await done.promise;
    events.status(turn.signal.aborted ? "TASK_STATE_CANCELED" : "TASK_STATE_COMPLETED");
  });
  const events = await peer.open("SendStreamingMessage", message());
  const first = await events.next();
  assert(!first.done && "task" in first.value);
  const { id } = first.value.task;
  await events.return();
  const other = await peer.open("SubscribeToTask", { id });
  done.resolve();
  assert.equal(states(await Array.fromAsync(other)).at(-1), "TASK_STATE_COMPLETED");
});

Deno.test("the same key and body is the same task, another body is refused", async () => {
  let calls = 0;
  const peer = serve((turn, events) => {
    calls++;
    return echo(turn, events);
  });
  const first = await taskOf(peer.call("SendMessage", keyed("k", { a: 1, b: 2 })));
  const again = await taskOf(peer.call("SendMessage", keyed("k", { b: 2, a: 1 })));
  assert.equal(again.id, first.id);
  assert.equal(calls, 1);
  assert.equal(await peer.call("SendMessage", keyed("k", { a: 2 })), -32602);
  const foreign = await taskOf(peer.call("SendMessage", keyed("k", { a: 2 }), "somebody else"));
  assert.notEqual(foreign.id, first.id);
});

Deno.test("the same message id without a key is another task", async () => {
  const peer = serve(echo);
  const first = await taskOf(peer.call("SendMessage", message()));
  const second = await taskOf(peer.call("SendMessage", message()));
  assert.notEqual(first.id, second.id);
});

Deno.test("CancelTask aborts, waits for the executor and may be repeated", async () => {
  const peer = serve((turn) =>
    new Promise((resolve) => turn.signal.addEventListener("abort", () => resolve()))
  );
  const configuration = { returnImmediately: true };
  const { id } = await taskOf(peer.call("SendMessage", { ...message(), configuration }));
  await peer.clock.advance(0);
  for (let i = 0; i < 2; i++) {
    const task = await peer.call("CancelTask", { id }) as Task;
    assert.equal(task.status.state, "TASK_STATE_CANCELED");
  }
  assert.equal(await peer.call("SubscribeToTask", { id }), -32004);
});

Deno.test("CancelTask of work that does not stop answers after 10 s that it was asked", async () => {
  const stuck = Promise.withResolvers<void>();
  const peer = serve(async (_, events) => {
    events.status("TASK_STATE_WORKING");
    await stuck.promise;
  });
  const configuration = { returnImmediately: true };
  const { id } = await taskOf(peer.call("SendMessage", { ...message(), configuration }));
  const cancel = peer.call("CancelTask", { id });
  await peer.clock.advance(10_000);
  const task = await cancel as Task;
  assert.equal(task.status.state, "TASK_STATE_WORKING");
  assert.deepEqual(task.metadata, { [URI]: { cancelRequested: true } });
  const events = await peer.open("SubscribeToTask", { id });
  stuck.resolve();
  assert.equal(states(await Array.fromAsync(events)).at(-1), "TASK_STATE_CANCELED");
});

Deno.test("an executor that throws, or ends without an end, leaves a failed task", async () => {
  for (const execute of [() => Promise.reject(new Error("secret")), () => Promise.resolve()]) {
    const task = await taskOf(serve(execute).call("SendMessage", message()));
    assert.equal(task.status.state, "TASK_STATE_FAILED");
    assert(!JSON.stringify(task).includes("secret"));
  }
});

Deno.test("what an executor says after the end of its task or turn is dropped", async () => {
  let late = () => {};
  const peer = serve((_, events) => {
    events.status("TASK_STATE_COMPLETED");
    events.status("TASK_STATE_FAILED");
    late = () => events.artifact({ artifactId: "late", parts: [{ data: 1 }] });
    return Promise.resolve();
  });
  const task = await taskOf(peer.call("SendMessage", message()));
  late();
  assert.equal(task.status.state, "TASK_STATE_COMPLETED");
  assert.deepEqual(await peer.call("GetTask", { id: task.id }), task);
});

Deno.test("a task that asks goes on with the answer", async () => {
  const peer = serve((turn, events) => {
    const isAnswer = turn.message.taskId !== undefined;
    events.status(isAnswer ? "TASK_STATE_COMPLETED" : "TASK_STATE_INPUT_REQUIRED", {
      text: isAnswer ? "Thanks" : "Overwrite?",
    });
    return Promise.resolve();
  });
  const asked = await taskOf(peer.call("SendMessage", message()));
  assert.equal(asked.status.state, "TASK_STATE_INPUT_REQUIRED");
  const taskId = asked.id;
  assert.equal(await peer.call("SendMessage", message({ taskId, contextId: "other" })), -32602);
  const done = await taskOf(peer.call("SendMessage", message({ taskId })));
  assert.equal(done.status.state, "TASK_STATE_COMPLETED");
  assert.equal(done.history?.length, 4);
  assert.equal(await peer.call("SendMessage", message({ taskId })), -32004);
});

Deno.test("ListTasks pages through the caller's tasks, newest first, without artifacts", async () => {
  const peer = serve(echo);
  const sent: string[] = [];
  for (let i = 0; i < 5; i++) {
    await peer.clock.advance(1_000);
    sent.unshift((await taskOf(peer.call("SendMessage", message({ contextId: "c" })))).id);
  }
  await peer.call("SendMessage", message({ contextId: "other" }));
  await peer.call("SendMessage", message({ contextId: "c" }), "somebody else");
  const seen: string[] = [];
  let pageToken = "";
  do {
    const params = { context_id: "c", page_size: 2, page_token: pageToken };
    const page = await peer.call("ListTasks", params) as {
      tasks: Task[];
      nextPageToken: string;
      totalSize: number;
      pageSize: number;
    };
    assert.deepEqual([page.totalSize, page.pageSize], [5, 2]);
    assert(page.tasks.every((task) => !("artifacts" in task)));
    seen.push(...page.tasks.map((task) => task.id));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  assert.deepEqual(seen, sent);
});

Deno.test("closing cancels what runs, ends streams and refuses new messages", async () => {
  const peer = serve((turn) =>
    new Promise((resolve) => turn.signal.addEventListener("abort", () => resolve()))
  );
  const events = await peer.open("SendStreamingMessage", message());
  const first = await events.next();
  assert(!first.done);
  await peer.server.close();
  assert.deepEqual(states(await Array.fromAsync(events)), ["TASK_STATE_CANCELED"]);
  assert.equal(await peer.call("SendMessage", message()), -32093);
});

const REFUSED: [what: string, method: string, params: unknown, code: number][] = [
  ["an unknown task", "GetTask", { id: "x" }, -32001],
  ["cancelling an unknown task", "CancelTask", { id: "x" }, -32001],
  ["subscribing to an unknown task", "SubscribeToTask", { id: "x" }, -32001],
  ["a message to an unknown task", "SendMessage", message({ taskId: "x" }), -32001],
  ["a negative history length", "GetTask", { id: "x", historyLength: -1 }, -32602],
  ["a page of nothing", "ListTasks", { pageSize: 0 }, -32602],
  ["a time that is none", "ListTasks", { statusTimestampAfter: "1" }, -32602],
  ["a foreign page token", "ListTasks", { pageToken: "?" }, -32602],
  ["a message from an agent", "SendMessage", message({ role: "ROLE_AGENT" }), -32602],
  [
    "another media type",
    "SendMessage",
    message({ parts: [{ text: "a", mediaType: "text/plain" }] }),
    -32005,
  ],
  ["a push configuration", "CreateTaskPushNotificationConfig", { taskId: "x" }, -32003],
  [
    "push with a message",
    "SendMessage",
    { ...message(), configuration: { taskPushNotificationConfig: { url: "http://a" } } },
    -32003,
  ],
  ["the extended card", "GetExtendedAgentCard", undefined, -32004],
];
for (const [what, method, params, code] of REFUSED) {
  Deno.test(`${what} is answered with ${code}`, async () => {
    assert.equal(await serve(echo).call(method, params), code);
  });
}

Deno.test("what a caller sent is not repeated to it at length", async () => {
  const mediaType = "x".repeat(100_000);
  const parts = [{ text: "a", mediaType }];
  const { body } = await serve(echo).answer("SendMessage", message({ parts }));
  assert(JSON.stringify(body).length < 1_000);
});

Deno.test("a task of another caller looks like an unknown one", async () => {
  const peer = serve(echo);
  const { id } = await taskOf(peer.call("SendMessage", message()));
  assert.equal(await peer.call("GetTask", { id }, "somebody else"), -32001);
  assert.equal(await peer.call("CancelTask", { id }, "somebody else"), -32001);
  assert.equal(await peer.call("CancelTask", { id }), -32002);
});
