/** The stock A2A SDK as a client of our agent, over a real socket on loopback. */
import assert from "node:assert/strict";
import {
  CancelTaskRequest,
  GetTaskRequest,
  ListTasksRequest,
  SendMessageRequest,
  StreamResponse,
  SubscribeToTaskRequest,
  Task,
} from "@a2a-js/sdk";
import {
  type Client,
  ClientFactory,
  ClientFactoryOptions,
  createAuthenticatingFetchWithRetry,
  JsonRpcTransportFactory,
} from "@a2a-js/sdk/client";
import { sampleAgentFacts } from "../../tests/support/sample_agent_facts.ts";
import { systemClock } from "../base/clock.ts";
import { BackupError } from "../base/errors.ts";
import { silentLog } from "../base/log.ts";
import { createTaskAgentApp } from "../http/task_agent_app.ts";
import { EXTENSION_URI } from "../mesh/task_over_a2a.ts";
import type { TaskHandler } from "../mesh/task_port.ts";

interface Served extends AsyncDisposable {
  origin: string;
}

/** `release` completes at once with progress, `finish` fails, every other operation runs until it is cancelled. */
const handler: TaskHandler = (spec, { progress, signal }) => {
  if (spec.op === "finish") {
    return Promise.reject(new BackupError("no_space", "The disk is full"));
  }
  progress({ seq: 1, lanes: [] });
  if (spec.op === "release") return Promise.resolve({ op: "release" });
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new BackupError("cancelled", "Cancelled")));
  });
};

function serve(token?: string): Served {
  // The card names the port, which is known only once the server listens.
  const waiting = Promise.withResolvers<(request: Request) => Response | Promise<Response>>();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => (await waiting.promise)(request),
  );
  const origin = `http://127.0.0.1:${server.addr.port}`;
  const agent = createTaskAgentApp({
    card: {
      name: "Interop agent",
      version: "0.1.0",
      facts: sampleAgentFacts({ capabilities: ["mirror"] }),
      url: `${origin}/rpc`,
    },
    handler,
    clock: systemClock,
    log: silentLog,
    token,
  });
  waiting.resolve(agent.app.fetch);
  return {
    origin,
    async [Symbol.asyncDispose]() {
      await agent.close();
      await server.shutdown();
    },
  };
}

const RELEASE = { op: "release", runId: "run-1" };
const FINISH = { op: "finish", runId: "run-1", destination: "/mnt/ssd" };
const SCAN = {
  op: "scan",
  runId: "run-1",
  source: { path: "/data", name: "data" },
  options: {
    verify: "new",
    order: "fifo",
    priorities: [],
    excludes: [],
    ignoreFiles: false,
    excludeCaches: false,
    oneFileSystem: false,
    dryRun: false,
    attemptsMax: 1,
    workersMin: 1,
    workersMax: 1,
    operationTimeoutMs: 1_000,
    waitMs: 0,
    bufferBytes: 16 << 20,
  },
};

function request(data: unknown, configuration: Record<string, unknown> = {}): SendMessageRequest {
  return SendMessageRequest.fromJSON({
    message: {
      messageId: "m-1",
      contextId: "run-1",
      role: "ROLE_USER",
      parts: [{ data, mediaType: "application/json" }],
    },
    configuration,
  });
}

async function send(client: Client, params: SendMessageRequest): Promise<Record<string, unknown>> {
  const result = await client.sendMessage(params);
  assert("status" in result, "Expected a task");
  return Task.toJSON(result) as Record<string, unknown>;
}

function stateOf(task: unknown): unknown {
  return (task as { status: { state: unknown } }).status.state;
}

Deno.test("the stock client discovers the agent at both card paths", async () => {
  await using served = serve();
  for (const path of [undefined, "/agent-card"]) {
    const client = await new ClientFactory().createFromUrl(served.origin, path);
    const card = await client.getAgentCard();
    assert.equal(card.name, "Interop agent");
    assert.deepEqual(card.skills.map((skill) => skill.id), ["mirror"]);
    assert.equal(card.capabilities?.extensions[0]?.uri, EXTENSION_URI);
  }
});

Deno.test("the stock client sends a task and gets its report, and finds it again", async () => {
  await using served = serve();
  const client = await new ClientFactory().createFromUrl(served.origin);
  const task = await send(client, request(RELEASE));
  assert.equal(stateOf(task), "TASK_STATE_COMPLETED");
  assert.match(JSON.stringify(task.artifacts), /"report".*"op":"release"/);
  const id = String(task.id);
  const found = await client.getTask(GetTaskRequest.fromJSON({ id }));
  assert.deepEqual(Task.toJSON(found), task);
  const page = await client.listTasks(ListTasksRequest.fromJSON({ contextId: "run-1" }));
  assert.deepEqual(page.tasks.map((t) => t.id), [id]);
});

Deno.test("the stock client follows a stream from the task to its end", async () => {
  await using served = serve();
  const client = await new ClientFactory().createFromUrl(served.origin);
  const seen: string[] = [];
  for await (const event of client.sendMessageStream(request(RELEASE))) {
    const json = StreamResponse.toJSON(event) as Record<string, { status?: { state: string } }>;
    const [name, value] = Object.entries(json)[0]!;
    seen.push(`${name} ${value.status?.state ?? ""}`.trim());
  }
  assert.deepEqual(seen, [
    "task TASK_STATE_SUBMITTED",
    "statusUpdate TASK_STATE_WORKING",
    "statusUpdate TASK_STATE_WORKING",
    "artifactUpdate",
    "statusUpdate TASK_STATE_COMPLETED",
  ]);
});

Deno.test("the stock client cancels a task that another of its streams follows", async () => {
  await using served = serve();
  const client = await new ClientFactory().createFromUrl(served.origin);
  const { id } = await send(client, request(SCAN, { returnImmediately: true }));
  const events = client.resubscribeTask(SubscribeToTaskRequest.fromJSON({ id }));
  const first = await events.next();
  assert(!first.done && first.value.payload?.$case === "task");
  const cancelled = await client.cancelTask(CancelTaskRequest.fromJSON({ id }));
  assert.equal(stateOf(Task.toJSON(cancelled)), "TASK_STATE_CANCELED");
  const rest = await Array.fromAsync(events);
  assert.match(JSON.stringify(StreamResponse.toJSON(rest.at(-1)!)), /TASK_STATE_CANCELED/);
});

Deno.test("the stock client sees a failed task with its reason", async () => {
  await using served = serve();
  const client = await new ClientFactory().createFromUrl(served.origin);
  const task = await send(client, request(FINISH));
  assert.equal(stateOf(task), "TASK_STATE_FAILED");
  assert.match(JSON.stringify(task.metadata), /"code":"no_space"/);
  const rejected = await send(client, request({ op: "format" }));
  assert.equal(stateOf(rejected), "TASK_STATE_REJECTED");
});

Deno.test("the stock client gets typed errors", async () => {
  await using served = serve();
  const client = await new ClientFactory().createFromUrl(served.origin);
  const nameOf = async (work: Promise<unknown>): Promise<string> => {
    const thrown = await work.then(() => assert.fail("Expected an error"), (error) => error);
    return (thrown as Error).name;
  };
  const get = client.getTask(GetTaskRequest.fromJSON({ id: "nobody" }));
  assert.equal(await nameOf(get), "TaskNotFoundError");
  const { id } = await send(client, request(RELEASE));
  const cancel = client.cancelTask(CancelTaskRequest.fromJSON({ id }));
  assert.equal(await nameOf(cancel), "TaskNotCancelableError");
  const subscribe = client.resubscribeTask(SubscribeToTaskRequest.fromJSON({ id })).next();
  assert.equal(await nameOf(subscribe), "UnsupportedOperationError");
});

Deno.test("the stock client works with a token and is refused without", async () => {
  await using served = serve("secret");
  const open = await new ClientFactory().createFromUrl(served.origin);
  await assert.rejects(open.sendMessage(request(RELEASE)));
  const fetchImpl = createAuthenticatingFetchWithRetry(fetch, {
    headers: () => Promise.resolve({ authorization: "Bearer secret" }),
    shouldRetryWithHeaders: () => Promise.resolve(undefined),
  });
  const options = ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
    transports: [new JsonRpcTransportFactory({ fetchImpl })],
  });
  const client = await new ClientFactory(options).createFromUrl(served.origin);
  assert.equal(stateOf(await send(client, request(RELEASE))), "TASK_STATE_COMPLETED");
});
