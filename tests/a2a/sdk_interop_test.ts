/** Both directions with the stock SDK: our client and its agent, its client and our agent with push notifications. */
import assert from "node:assert/strict";
import {
  CancelTaskRequest,
  DeleteTaskPushNotificationConfigRequest,
  GetTaskPushNotificationConfigRequest,
  ListTaskPushNotificationConfigsRequest,
  SendMessageRequest,
  StreamResponse,
  SubscribeToTaskRequest,
  Task,
  TaskPushNotificationConfig,
} from "@a2a-js/sdk";
import { type Client, ClientFactory } from "@a2a-js/sdk/client";
import { createA2AClient } from "../../protocol/a2a/client.ts";
import type { SendMessageParams } from "../../protocol/a2a/methods.ts";
import type { StreamEvent } from "../../protocol/a2a/stream_event.ts";
import { systemClock } from "../../protocol/base/clock.ts";
import { silentLog } from "../../protocol/base/log.ts";
import { RpcError } from "../../protocol/rpc/rpc_error.ts";
import { createFixtureAgent } from "../support/fixture_agent.ts";
import type { ScriptTable } from "../support/scripted_executor.ts";
import { startSdkAgent } from "./sdk_agent.ts";

// deno-lint-ignore no-explicit-any -- whatever a peer may post
type Answer = any;

const TABLE: ScriptTable = [
  { messageIdPrefix: "ask", reply: [{ state: "TASK_STATE_INPUT_REQUIRED" }] },
  { messageIdPrefix: "say", reply: [{ message: [{ text: "Hello" }] }] },
  {
    messageIdPrefix: "make",
    reply: [
      { state: "TASK_STATE_WORKING" },
      { artifact: { artifactId: "a", parts: [{ data: 1 }] } },
      { state: "TASK_STATE_COMPLETED" },
    ],
  },
];

function ask(text: string): SendMessageParams {
  const parts = [{ data: { text }, mediaType: "application/json" }];
  return { message: { messageId: crypto.randomUUID(), role: "ROLE_USER", parts } };
}

function kindOf(event: StreamEvent): string {
  if ("statusUpdate" in event) return event.statusUpdate.status.state;
  return Object.keys(event)[0]!;
}

Deno.test("our client discovers an agent made of the stock SDK, sends, streams and lists", async () => {
  await using agent = startSdkAgent();
  const client = createA2AClient({ fetch, url: `${agent.origin}/rpc` });
  const card = await client.card();
  assert.deepEqual(card.skills.map(({ id }) => id), ["count"]);

  const sent = await client.sendMessage(ask("count"));
  assert("task" in sent);
  assert.equal(sent.task.status.state, "TASK_STATE_COMPLETED");
  assert.deepEqual(sent.task.artifacts?.[0]?.parts, [{ data: { files: 7 } }]);
  assert.deepEqual((await client.getTask(sent.task.id)).artifacts, sent.task.artifacts);
  const { tasks } = await client.listTasks({ contextId: sent.task.contextId });
  assert.deepEqual(tasks.map(({ id }) => id), [sent.task.id]);

  const events = await Array.fromAsync(client.sendMessageStream(ask("count")));
  assert.deepEqual(events.map(kindOf), [
    "task",
    "TASK_STATE_WORKING",
    "artifactUpdate",
    "TASK_STATE_COMPLETED",
  ]);
});

Deno.test("our client follows and cancels a task of an agent made of the stock SDK", async () => {
  await using agent = startSdkAgent();
  const client = createA2AClient({ fetch, url: `${agent.origin}/rpc` });
  const configuration = { returnImmediately: true };
  const sent = await client.sendMessage({ ...ask("wait"), configuration });
  assert("task" in sent);
  const { id } = sent.task;
  const followed = client.subscribe(id);
  const first = await followed.next();
  assert(!first.done && "task" in first.value);
  assert.equal((await client.cancelTask(id)).status.state, "TASK_STATE_CANCELED");
  const rest = await Array.fromAsync(followed);
  assert.equal(rest.map(kindOf).at(-1), "TASK_STATE_CANCELED");
  const code = (expected: number) => (thrown: unknown) =>
    thrown instanceof RpcError && thrown.code === expected;
  await assert.rejects(client.getTask("nobody"), code(-32001));
  const ended = await client.sendMessage(ask("count"));
  assert("task" in ended);
  await assert.rejects(client.cancelTask(ended.task.id), code(-32002));
  await assert.rejects(client.subscribe(id).next(), code(-32004));
});

/** The fixture behind a socket, and a receiver of notifications beside it. */
function serveFixture() {
  const waiting = Promise.withResolvers<(request: Request) => Response | Promise<Response>>();
  const posts: { headers: Headers; body: Answer }[] = [];
  let wake = () => {};
  const receiver = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (r) => {
    posts.push({ headers: r.headers, body: await r.json() });
    wake();
    return new Response(null, { status: 204 });
  });
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => await (await waiting.promise)(request),
  );
  const origin = `http://127.0.0.1:${server.addr.port}`;
  const agent = createFixtureAgent({
    origin,
    table: TABLE,
    streaming: true,
    push: true,
    clock: systemClock,
    log: silentLog,
  });
  waiting.resolve(agent.app.fetch);
  return {
    origin,
    hook: `http://localhost:${receiver.addr.port}/webhook`,
    /** What was posted, once there are so many. */
    async posted(count: number) {
      while (posts.length < count) await new Promise<void>((resolve) => wake = resolve);
      return posts;
    },
    async [Symbol.asyncDispose]() {
      await agent.close();
      await server.shutdown();
      await receiver.shutdown();
    },
  };
}

function request(messageId: string, more: Answer = {}): SendMessageRequest {
  const { taskId, configuration = {} } = more;
  return SendMessageRequest.fromJSON({
    message: { messageId, role: "ROLE_USER", parts: [{ text: "Hi" }], ...(taskId && { taskId }) },
    configuration,
  });
}

async function sendForTask(client: Client, params: SendMessageRequest): Promise<Answer> {
  const result = await client.sendMessage(params);
  assert("status" in result);
  return Task.toJSON(result);
}

Deno.test("the stock client gets a message in place of a task, sent and streamed", async () => {
  await using fixture = serveFixture();
  const client = await new ClientFactory().createFromUrl(fixture.origin);
  const said = await client.sendMessage(request("say-1"));
  assert("parts" in said && !("status" in said));
  const events = await Array.fromAsync(client.sendMessageStream(request("say-2")));
  assert.deepEqual(events.map((event) => event.payload?.$case), ["message"]);
});

Deno.test("the stock client has a task that waits, follows it, answers it, and cancels another", async () => {
  await using fixture = serveFixture();
  const client = await new ClientFactory().createFromUrl(fixture.origin);
  const { id, status } = await sendForTask(client, request("ask-1"));
  assert.equal(status.state, "TASK_STATE_INPUT_REQUIRED");
  const followed = client.resubscribeTask(SubscribeToTaskRequest.fromJSON({ id }));
  await followed.next();
  await sendForTask(client, request("done-1", { taskId: id }));
  const rest = await Array.fromAsync(followed);
  assert.match(JSON.stringify(StreamResponse.toJSON(rest.at(-1)!)), /TASK_STATE_COMPLETED/);
  const other = await sendForTask(client, request("ask-2"));
  const cancelled = await client.cancelTask(CancelTaskRequest.fromJSON({ id: other.id }));
  assert.match(JSON.stringify(Task.toJSON(cancelled)), /TASK_STATE_CANCELED/);
});

Deno.test("the stock client asks for notifications and they arrive in order at a real socket", async () => {
  await using fixture = serveFixture();
  const client = await new ClientFactory().createFromUrl(fixture.origin);
  const taskPushNotificationConfig = {
    id: "mine",
    url: fixture.hook,
    token: "t-1",
    authentication: { scheme: "Bearer", credentials: "secret" },
  };
  const configuration = { taskPushNotificationConfig };
  const { id } = await sendForTask(client, request("make-1", { configuration }));
  const posts = await fixture.posted(4);
  assert.deepEqual(
    posts.map(({ body }) => body.statusUpdate?.status.state ?? Object.keys(body)[0]),
    ["task", "TASK_STATE_WORKING", "artifactUpdate", "TASK_STATE_COMPLETED"],
  );
  for (const { headers, body } of posts) {
    // What the receiver's own SDK would make of it.
    assert(StreamResponse.fromJSON(body).payload !== undefined);
    assert.equal(headers.get("authorization"), "Bearer secret");
    assert.equal(headers.get("x-a2a-notification-token"), "t-1");
    assert.equal(headers.get("content-type"), "application/a2a+json");
  }

  const known = GetTaskPushNotificationConfigRequest.fromJSON({ taskId: id, id: "mine" });
  assert.equal((await client.getTaskPushNotificationConfig(known)).url, fixture.hook);
  const more = { taskId: id, url: "https://hooks.example/" };
  const made = await client.createTaskPushNotificationConfig(
    TaskPushNotificationConfig.fromJSON(more),
  );
  const all = ListTaskPushNotificationConfigsRequest.fromJSON({ taskId: id });
  const { configs } = await client.listTaskPushNotificationConfig(all);
  assert.deepEqual(configs.map((config) => config.id), ["mine", made.id]);
  for (let i = 0; i < 2; i++) {
    const gone = DeleteTaskPushNotificationConfigRequest.fromJSON({ taskId: id, id: "mine" });
    await client.deleteTaskPushNotificationConfig(gone);
  }
  await assert.rejects(client.getTaskPushNotificationConfig(known));
});
