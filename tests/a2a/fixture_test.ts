/** `deno task a2a:fixture` as a conformance suite meets it: over sockets, knowing only what it prints. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { startProgram } from "../support/run_program.ts";

const SCRIPT = fileURLToPath(new URL("../../scripts/a2a_fixture.ts", import.meta.url));
const CONFIG = fileURLToPath(new URL("../../deno.json", import.meta.url));
const HOME = Deno.env.get("HOME") ?? "/root";
const ENVIRONMENT = { HOME, DENO_DIR: Deno.env.get("DENO_DIR") ?? `${HOME}/.cache/deno` };
const TABLE = [
  { messageIdPrefix: "work", reply: [{ state: "TASK_STATE_WORKING" }] },
  { messageIdPrefix: "ask", reply: [{ state: "TASK_STATE_INPUT_REQUIRED" }] },
  { messageIdPrefix: "say", reply: [{ message: { parts: [{ text: "Hello" }] } }] },
  { messageIdPrefix: "say-no", reply: [{ error: { code: -32005, message: "Not that" } }] },
  {
    messageIdPrefix: "make",
    reply: [
      { state: "TASK_STATE_WORKING" },
      { artifact: { artifactId: "a", parts: [{ data: { n: 1 } }] } },
      { state: "TASK_STATE_COMPLETED", message: { parts: [{ text: "Made" }] } },
    ],
  },
  {
    messageIdPrefix: "break",
    reply: [{ state: "TASK_STATE_WORKING" }, { error: { code: -32006, message: "Broken" } }],
  },
];

interface Fixture extends AsyncDisposable {
  origin: string;
  /** Result or error of a call. */
  call(method: string, params: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** The answers of a stream, to its end. */
  stream(method: string, params: unknown): Promise<Answer[]>;
  stop(): Promise<number>;
}

// deno-lint-ignore no-explicit-any -- whatever a peer may answer
type Answer = any;

async function startFixture(...words: string[]): Promise<Fixture> {
  const folder = Deno.makeTempDirSync({ prefix: "fixture-" });
  Deno.writeTextFileSync(`${folder}/table.json`, JSON.stringify(TABLE));
  const running = startProgram(Deno.execPath(), [
    ...["run", "--quiet", "--no-check", "--config", CONFIG, "-A", SCRIPT],
    ...["--port", "0", "--script", `${folder}/table.json`, ...words],
  ], { env: ENVIRONMENT });
  await running.saw("\n");
  const origin = /http:\S+/.exec(running.out())?.[0];
  assert(origin);
  const post = (method: string, params: unknown, headers: Record<string, string> = {}) =>
    fetch(`${origin}/rpc`, {
      method: "POST",
      headers: { "content-type": "application/json", "a2a-version": "1.0", ...headers },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    });
  return {
    origin,
    async call(method, params, headers) {
      const response = await post(method, params, headers);
      assert.equal(response.status, 200);
      const body = await response.json();
      return body.error ?? body.result;
    },
    async stream(method, params) {
      const response = await post(method, params);
      assert.equal(response.headers.get("content-type"), "text/event-stream");
      const lines = (await response.text()).split("\n").filter((line) => line.startsWith("data: "));
      return lines.map((line) => JSON.parse(line.slice(6))).map((body) =>
        body.error ?? body.result
      );
    },
    async stop() {
      running.kill("SIGTERM");
      return (await running.outcome).code;
    },
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

function message(messageId: string, more: Record<string, unknown> = {}) {
  return { message: { messageId, role: "ROLE_USER", parts: [{ text: "Hi" }], ...more } };
}

Deno.test("fixture: a script decides what a message leads to, and SIGTERM ends it with 0", async () => {
  await using fixture = await startFixture();
  const { call, stream } = fixture;

  const other = await call("SendMessage", message("anything"));
  assert.equal(other.task.status.state, "TASK_STATE_COMPLETED");

  const said = await call("SendMessage", message("say-1", { contextId: "c" }));
  assert.deepEqual([said.message.role, said.message.contextId], ["ROLE_AGENT", "c"]);
  assert.deepEqual(said.message.parts, [{ text: "Hello" }]);
  const events = await stream("SendStreamingMessage", message("say-1"));
  assert.deepEqual(events.map((event) => Object.keys(event)), [["message"]]);
  const refused = await call("SendMessage", message("say-no-1"));
  assert.deepEqual([refused.code, refused.data[0].reason], [-32005, "CONTENT_TYPE_NOT_SUPPORTED"]);

  const made = await call("SendMessage", message("make-1"));
  assert.deepEqual(made.task.artifacts, [{ artifactId: "a", parts: [{ data: { n: 1 } }] }]);
  assert.deepEqual(made.task.status.message.parts, [{ text: "Made" }]);

  const working = await call("SendMessage", {
    ...message("work-1"),
    configuration: { returnImmediately: true },
  });
  const taskId = working.task.id;
  const followed = stream("SubscribeToTask", { id: taskId });
  // The answer to the follow-up is the task as its own prefix has it.
  const asked = await call("SendMessage", message("ask-1", { taskId }));
  assert.equal(asked.task.status.state, "TASK_STATE_INPUT_REQUIRED");
  const again = await call("SendMessage", message("ask-2", { taskId }));
  assert.equal(again.task.status.state, "TASK_STATE_INPUT_REQUIRED");
  const done = await call("SendMessage", message("done", { taskId }));
  assert.equal(done.task.status.state, "TASK_STATE_COMPLETED");
  assert.equal(done.task.history.length, 4);
  const last = (await followed).at(-1);
  assert.equal(last.statusUpdate.status.state, "TASK_STATE_COMPLETED");

  const broken = await stream("SendStreamingMessage", message("break-1"));
  assert.deepEqual(broken.slice(1).map((e) => e.code ?? e.statusUpdate.status.state), [
    "TASK_STATE_WORKING",
    -32006,
  ]);
  const task = await call("GetTask", { id: broken[0].task.id });
  assert.equal(task.status.state, "TASK_STATE_FAILED");

  const open = await call("SendMessage", {
    ...message("work-2"),
    configuration: { returnImmediately: true },
  });
  const cancelled = await call("CancelTask", { id: open.task.id });
  assert.equal(cancelled.status.state, "TASK_STATE_CANCELED");
  assert.equal(await fixture.stop(), 0);
});

Deno.test("fixture: what the card does not offer is refused by its code", async () => {
  const uri = "urn:test:needed";
  const words = ["--no-streaming", "--no-push", "--require-extension", uri];
  await using fixture = await startFixture(...words);
  const { capabilities } = await (await fetch(`${fixture.origin}/agent-card`)).json();
  assert.deepEqual([capabilities.streaming, capabilities.pushNotifications], [false, false]);
  assert(capabilities.extensions.some((e: Answer) => e.uri === uri && e.required));

  const without = await fixture.call("SendMessage", message("a"));
  assert.deepEqual([without.code, without.data[0].reason], [-32008, "EXTENSION_SUPPORT_REQUIRED"]);
  const headers = { "a2a-extensions": uri };
  const { task } = await fixture.call("SendMessage", message("ask-1"), headers);
  assert.equal(task.status.state, "TASK_STATE_INPUT_REQUIRED");
  for (
    const [method, params, code] of [
      ["SendStreamingMessage", message("a"), -32004],
      ["SubscribeToTask", { id: task.id }, -32004],
      ["ListTaskPushNotificationConfigs", { taskId: task.id }, -32003],
    ] as const
  ) {
    assert.equal((await fixture.call(method, params, headers)).code, code, method);
  }
});

Deno.test("fixture: a table that is none is refused with the place that is wrong", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "fixture-" });
  const table = [{ messageIdPrefix: "x", reply: [{ state: "TASK_STATE_BUSY" }] }];
  Deno.writeTextFileSync(`${folder}/table.json`, JSON.stringify(table));
  const running = startProgram(Deno.execPath(), [
    ...["run", "--quiet", "--no-check", "--config", CONFIG, "-A", SCRIPT],
    ...["--script", `${folder}/table.json`],
  ], { env: ENVIRONMENT });
  const { code, err } = await running.outcome;
  await Deno.remove(folder, { recursive: true });
  assert.equal(code, 2);
  assert.match(err, /table\.json: 0\.reply\.0/);
});
