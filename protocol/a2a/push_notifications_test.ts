/** Push notifications: their configs over the wire, and what a receiver gets, with webhooks and time in our hands. */
import assert from "node:assert/strict";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { silentLog } from "../base/log.ts";
import { createDispatch } from "../rpc/dispatch.ts";
import type { AgentExecutor } from "./executor.ts";
import { createMemoryTaskStore } from "./memory_task_store.ts";
import { createA2AServer } from "./server.ts";

// deno-lint-ignore no-explicit-any -- whatever was answered or posted
type Answer = any;

interface Post {
  url: string;
  headers: Readonly<Record<string, string>>;
  body: Answer;
}

const HOOK = "https://hooks.example/tell";
const MESSAGE = { messageId: "m", role: "ROLE_USER", parts: [{ data: 1 }] };

function serve(
  execute: AgentExecutor["execute"],
  answer: (post: Post, signal: AbortSignal) => Promise<number> = () => Promise.resolve(200),
  endedMax = 10,
) {
  const clock = new ManualClock();
  const posts: Post[] = [];
  const server = createA2AServer({
    executor: { execute },
    store: createMemoryTaskStore({
      endedMax,
      endedCharsMax: 1_000_000,
      liveMax: 1_000,
      liveCharsMax: 1_000_000,
    }),
    clock,
    log: silentLog,
    inputModes: ["application/json"],
    extensionUri: "urn:test:v1",
    webhooks: {
      refusal: (url) => url.startsWith("https://hooks.example/") ? undefined : "Not that host",
      async post(url, headers, body, signal) {
        const post = { url, headers, body: JSON.parse(body) };
        posts.push(post);
        return await answer(post, signal);
      },
    },
  });
  const dispatch = createDispatch(server.bindings, { log: silentLog });
  async function call(method: string, params: unknown, caller = "me"): Promise<Answer> {
    const text = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
    const outcome = await dispatch(text, { caller, header: () => undefined });
    assert(outcome.kind === "reply");
    return "error" in outcome.body ? outcome.body.error.code : outcome.body.result;
  }
  return {
    clock,
    posts,
    call,
    server,
    /** Sends a message with a config of its own. */
    send: (config: unknown, message: object = MESSAGE): Promise<Answer> =>
      call("SendMessage", { message, configuration: { taskPushNotificationConfig: config } }),
    /** A task that waits for a message. */
    async waiting(): Promise<string> {
      return (await call("SendMessage", { message: MESSAGE })).task.id;
    },
  };
}

const ask: AgentExecutor["execute"] = (turn, events) => {
  const isAnswer = turn.message.taskId !== undefined;
  events.status(isAnswer ? "TASK_STATE_COMPLETED" : "TASK_STATE_INPUT_REQUIRED");
  return Promise.resolve();
};

const work: AgentExecutor["execute"] = (turn, events) => {
  events.status("TASK_STATE_WORKING");
  events.artifact({ artifactId: "a", parts: turn.message.parts });
  events.status("TASK_STATE_COMPLETED");
  return Promise.resolve();
};

function kinds(posts: readonly Post[]): string[] {
  return posts.map(({ body }) =>
    body.task?.status.state ?? body.statusUpdate?.status.state ?? Object.keys(body)[0]
  );
}

Deno.test("a config that comes with a message gets every event in order, with token and authorization", async () => {
  const { send, posts, clock } = serve(work);
  const authentication = { scheme: "Bearer", credentials: "secret" };
  await send({ url: HOOK, token: "t-1", authentication });
  await clock.advance(0);
  assert.deepEqual(kinds(posts), [
    "TASK_STATE_SUBMITTED",
    "TASK_STATE_WORKING",
    "artifactUpdate",
    "TASK_STATE_COMPLETED",
  ]);
  for (const { url, headers, body } of posts) {
    assert.equal(url, HOOK);
    assert.equal(Object.keys(body).length, 1);
    assert.deepEqual(headers, {
      "content-type": "application/a2a+json",
      "x-a2a-notification-token": "t-1",
      authorization: "Bearer secret",
    });
  }
});

Deno.test("configs are made, read, listed in pages and deleted, also twice", async () => {
  const { call, waiting } = serve(ask);
  const taskId = await waiting();
  const made = [];
  for (const id of ["one", undefined, "three"]) {
    const config = { task_id: taskId, url: HOOK, ...(id && { id }) };
    const answer = await call("CreateTaskPushNotificationConfig", config);
    assert.deepEqual([answer.taskId, answer.url], [taskId, HOOK]);
    made.push(answer);
  }
  assert.match(made[1].id, /^push-/);
  assert.deepEqual(await call("GetTaskPushNotificationConfig", { taskId, id: "one" }), made[0]);
  const first = await call("ListTaskPushNotificationConfigs", { taskId, pageSize: 2 });
  assert.deepEqual(first.configs, made.slice(0, 2));
  const pageToken = first.nextPageToken;
  const second = await call("ListTaskPushNotificationConfigs", { taskId, pageSize: 2, pageToken });
  assert.deepEqual(second, { configs: [made[2]] });
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(await call("DeleteTaskPushNotificationConfig", { taskId, id: "one" }), {});
  }
  assert.equal(await call("GetTaskPushNotificationConfig", { taskId, id: "one" }), -32001);
});

Deno.test("a deleted config is told nothing more, and a replaced one goes to its new place", async () => {
  const { call, waiting, posts, clock } = serve(ask);
  const taskId = await waiting();
  await call("CreateTaskPushNotificationConfig", { taskId, id: "gone", url: `${HOOK}/gone` });
  await call("CreateTaskPushNotificationConfig", { taskId, id: "kept", url: `${HOOK}/old` });
  await clock.advance(0);
  posts.length = 0;
  await call("DeleteTaskPushNotificationConfig", { taskId, id: "gone" });
  await call("CreateTaskPushNotificationConfig", { taskId, id: "kept", url: `${HOOK}/new` });
  await call("SendMessage", { message: { ...MESSAGE, taskId } });
  await clock.advance(0);
  assert.deepEqual(new Set(posts.map((post) => post.url)), new Set([`${HOOK}/new`]));
  assert.equal(kinds(posts).at(-1), "TASK_STATE_COMPLETED");
});

Deno.test("a config of an ended task is kept and told nothing", async () => {
  const { call, posts, clock } = serve(work);
  const { task } = await call("SendMessage", { message: MESSAGE });
  const config = { taskId: task.id, id: "late", url: HOOK };
  assert.deepEqual(await call("CreateTaskPushNotificationConfig", config), config);
  await clock.advance(1_000);
  assert.deepEqual(posts, []);
});

Deno.test("a receiver that fails is asked again with growing pauses, and order is kept", async () => {
  let failures = 3;
  const { send, posts, clock } = serve(work, () => {
    return failures-- > 0 ? Promise.resolve(503) : Promise.resolve(200);
  });
  await send({ url: HOOK });
  await clock.advance(0);
  assert.deepEqual(kinds(posts), ["TASK_STATE_SUBMITTED"]);
  await clock.advance(10_000);
  assert.deepEqual(kinds(posts), [
    ...Array(4).fill("TASK_STATE_SUBMITTED"),
    "TASK_STATE_WORKING",
    "artifactUpdate",
    "TASK_STATE_COMPLETED",
  ]);
});

Deno.test("a receiver that refuses, or sends elsewhere, is tried once an event and then given up", async () => {
  for (const status of [302, 400, 404]) {
    const { send, posts, clock } = serve(work, () => Promise.resolve(status));
    await send({ url: HOOK });
    await clock.advance(60_000);
    assert.equal(posts.length, 3, String(status));
  }
});

Deno.test("a receiver that hangs is left after 10 s, and the task does not wait for it", async () => {
  let aborted = 0;
  const { send, posts, clock } = serve(work, (_, signal) =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => {
        aborted++;
        reject(signal.reason);
      });
    }));
  const { task } = await send({ url: HOOK });
  assert.equal(task.status.state, "TASK_STATE_COMPLETED");
  await clock.advance(10_000);
  assert.equal(aborted, 1);
  await clock.advance(300_000);
  // Three events of four attempts each, then nothing more.
  assert.deepEqual([posts.length, aborted], [12, 12]);
});

Deno.test("a receiver that is slow misses progress, never the end", async () => {
  const gate = Promise.withResolvers<number>();
  const { send, posts, clock } = serve((_, events) => {
    for (let i = 0; i < 5_000; i++) events.status("TASK_STATE_WORKING", { metadata: { i } });
    events.status("TASK_STATE_COMPLETED");
    return Promise.resolve();
  }, () => gate.promise);
  await send({ url: HOOK });
  gate.resolve(200);
  for (let i = 0; i < 100; i++) await clock.advance(0);
  assert(posts.length < 300, String(posts.length));
  assert.equal(kinds(posts).at(-1), "TASK_STATE_COMPLETED");
});

Deno.test("configs go with their task, and there are not more than are allowed", async () => {
  const { call, send, waiting } = serve(ask, undefined, 1);
  const taskId = await waiting();
  const config = (i: number) => ({ taskId, id: `c-${i}`, url: HOOK });
  for (let i = 0; i < 16; i++) await call("CreateTaskPushNotificationConfig", config(i));
  assert.equal(await call("CreateTaskPushNotificationConfig", config(16)), -32093);
  assert.equal((await call("CreateTaskPushNotificationConfig", config(3))).id, "c-3");
  const others = [];
  for (let i = 0; i < 240; i++) others.push((await send({ url: HOOK })).task.id);
  assert.equal(await send({ url: HOOK }), -32093);
  // The store keeps one ended task: the others, and their configs, are forgotten.
  for (const id of others.slice(0, 2)) {
    await call("SendMessage", { message: { ...MESSAGE, taskId: id } });
  }
  assert.equal(await call("ListTaskPushNotificationConfigs", { taskId: others[0] }), -32001);
  assert.equal((await send({ url: HOOK })).task.status.state, "TASK_STATE_INPUT_REQUIRED");
});

Deno.test("a config that is refused leaves no task behind", async () => {
  const { call, send, waiting } = serve(ask);
  const bad = [
    { url: "http://127.0.0.1/" },
    { url: "" },
    { url: HOOK, token: "a\r\nHost: evil" },
    { url: HOOK, authentication: { scheme: "Bearer x", credentials: "y" } },
    { url: HOOK, authentication: { scheme: "Bearer", credentials: "a\nb" } },
    {},
  ];
  for (const config of bad) assert.equal(await send(config), -32602, JSON.stringify(config));
  assert.equal((await call("ListTasks", {})).totalSize, 0);
  const taskId = await waiting();
  for (const config of bad) {
    assert.equal(await call("CreateTaskPushNotificationConfig", { taskId, ...config }), -32602);
  }
});

Deno.test("configs of a task of another caller look like those of an unknown task", async () => {
  const { call, waiting } = serve(ask);
  const taskId = await waiting();
  await call("CreateTaskPushNotificationConfig", { taskId, id: "c", url: HOOK });
  for (const method of ["Create", "Get", "Delete"]) {
    const params = { taskId, id: "c", url: HOOK };
    const name = `${method}TaskPushNotificationConfig`;
    assert.equal(await call(name, params, "somebody else"), -32001, name);
  }
  const list = await call("ListTaskPushNotificationConfigs", { taskId }, "somebody else");
  assert.equal(list, -32001);
});

Deno.test("closing lets the last notification out and then stops", async () => {
  const { send, posts, server, clock } = serve((turn) =>
    new Promise((resolve) => turn.signal.addEventListener("abort", () => resolve()))
  );
  send({ url: HOOK });
  await clock.advance(0);
  await server.close();
  assert.deepEqual(kinds(posts), ["TASK_STATE_SUBMITTED", "TASK_STATE_CANCELED"]);
});
