/** The agent over HTTP semantics, through `app.request`. */
import assert from "node:assert/strict";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { sampleAgentFacts } from "../../tests/support/sample_agent_facts.ts";
import { createA2AClient } from "../a2a/client.ts";
import { silentLog } from "../base/log.ts";
import type { TaskHandler } from "../mesh/task_port.ts";
import { createTaskAgentApp, type TaskAgentApp, type TaskAgentAppDeps } from "./task_agent_app.ts";

const ORIGIN = "http://agent.test";
const CALL = {
  jsonrpc: "2.0",
  id: 1,
  method: "GetTask",
  params: { id: "x" },
};

const MESSAGE = {
  messageId: "m",
  role: "ROLE_USER",
  parts: [{ data: { op: "release", runId: "run-1" }, mediaType: "application/json" }],
};

function agent(
  token?: string,
  reasons: string[] = [],
  more: Partial<TaskAgentAppDeps> = {},
  handler: TaskHandler = () => Promise.resolve({ op: "release" }),
): TaskAgentApp {
  return createTaskAgentApp({
    card: {
      name: "Test agent",
      version: "0.1.0",
      facts: sampleAgentFacts(),
      url: `${ORIGIN}/rpc`,
    },
    handler,
    clock: new ManualClock(),
    log: silentLog,
    ready: () => reasons,
    token,
    ...more,
  });
}

async function post(
  { app }: TaskAgentApp,
  body: string,
  headers: Record<string, string> = {},
  path = "/rpc",
): Promise<[status: number, code: number | undefined, response: Response]> {
  const response = await app.request(ORIGIN + path, {
    method: "POST",
    headers: { "content-type": "application/json", "a2a-version": "1.0", ...headers },
    body,
  });
  return [response.status, (await response.clone().json()).error?.code, response];
}

Deno.test("the card is the same at both paths, with and without a trailing slash", async () => {
  const { app } = agent("secret");
  const bodies = await Promise.all(
    ["/agent-card", "/agent-card/", "/.well-known/agent-card.json", "/.well-known/agent-card.json/"]
      .map(async (path) => {
        const response = await app.request(path);
        assert.equal(response.status, 200, path);
        assert.equal(response.headers.get("content-type"), "application/json");
        assert.match(response.headers.get("cache-control") ?? "", /max-age=\d+/);
        return await response.text();
      }),
  );
  assert.equal(new Set(bodies).size, 1);
});

Deno.test("a card that did not change is answered with 304", async () => {
  const { app } = agent();
  const etag = (await app.request("/agent-card")).headers.get("etag")!;
  for (const known of [etag, `W/${etag}`, `"other", ${etag}`]) {
    const response = await app.request("/agent-card", { headers: { "if-none-match": known } });
    assert.deepEqual([response.status, await response.text()], [304, ""]);
    assert.equal(response.headers.get("etag"), etag);
  }
  const changed = await app.request("/agent-card", { headers: { "if-none-match": '"other"' } });
  assert.equal(changed.status, 200);
});

Deno.test("the card is one our own client reads, and names skills by capability", async () => {
  const { app } = agent("secret");
  const card = await createA2AClient({ fetch: app.fetch, url: `${ORIGIN}/rpc` }).card();
  assert.deepEqual(card.skills.map((skill) => skill.id), ["mirror", "backup.verify"]);
  assert.deepEqual(card.securityRequirements, [{ schemes: { bearer: {} } }]);
  assert(!JSON.stringify(card).includes("secret"));
});

Deno.test("health is public; readiness gives reasons", async () => {
  assert.equal((await agent("secret").app.request("/health")).status, 200);
  const ready = await agent().app.request("/ready");
  assert.deepEqual([ready.status, await ready.json()], [200, { ready: true, reasons: [] }]);
  const not = await agent(undefined, ["draining"]).app.request("/ready");
  assert.deepEqual([not.status, await not.json()], [503, { ready: false, reasons: ["draining"] }]);
  assert.equal((await agent("secret").app.request("/ready")).status, 401);
});

Deno.test("calls are answered at every form of the endpoint's path", async () => {
  for (const path of ["/rpc", "/rpc/", "/", ""]) {
    const [status, code] = await post(agent(), JSON.stringify(CALL), {}, path);
    assert.deepEqual([status, code], [200, -32001], path);
  }
  assert.equal((await agent().app.request("/rpc")).status, 405);
  assert.equal((await agent().app.request("/nothing")).status, 404);
});

Deno.test("a body that is not JSON is -32700, not declared as JSON -32005", async () => {
  const [status, code] = await post(agent(), "{");
  assert.deepEqual([status, code], [200, -32700]);
  const [, plain] = await post(agent(), JSON.stringify(CALL), { "content-type": "text/plain" });
  assert.equal(plain, -32005);
  const type = "application/json; charset=utf-8";
  const [, charset] = await post(agent(), JSON.stringify(CALL), { "content-type": type });
  assert.equal(charset, -32001);
});

Deno.test("a body over the limit is 413, announced or not", async () => {
  const large = " ".repeat((4 << 20) + 1);
  const [status, code] = await post(agent(), large);
  assert.deepEqual([status, code], [413, -32092]);
  const [announced] = await post(agent(), "{}", { "content-length": String(large.length) });
  assert.equal(announced, 413);
});

Deno.test("a missing version header is -32009; it may come as a query parameter", async () => {
  const [status, code] = await post(agent(), JSON.stringify(CALL), { "a2a-version": "" });
  assert.deepEqual([status, code], [200, -32009]);
  const headers = { "content-type": "application/json" };
  const query = await agent().app.request("/rpc?A2A-Version=1.0", {
    method: "POST",
    headers,
    body: JSON.stringify(CALL),
  });
  assert.equal((await query.json()).error.code, -32001);
});

Deno.test("extensions are echoed when they are asked for and known", async () => {
  const asked = "urn:other:v1, urn:backup-agent:a2a:mesh:v1";
  const [, , response] = await post(agent(), JSON.stringify(CALL), { "a2a-extensions": asked });
  assert.equal(response.headers.get("a2a-extensions"), "urn:backup-agent:a2a:mesh:v1");
  const [, , plain] = await post(agent(), JSON.stringify(CALL));
  assert.equal(plain.headers.get("a2a-extensions"), null);
});

Deno.test("with a token every call needs it", async () => {
  for (const authorization of ["", "Bearer", "Bearer wrong", "Basic secret", "secret"]) {
    const [status, code, response] = await post(agent("secret"), JSON.stringify(CALL), {
      authorization,
    });
    assert.deepEqual([status, code], [401, -32090], authorization);
    assert.match(response.headers.get("www-authenticate") ?? "", /^Bearer/);
  }
  const [status, code] = await post(agent("secret"), JSON.stringify(CALL), {
    authorization: "bearer secret",
  });
  assert.deepEqual([status, code], [200, -32001]);
});

Deno.test("methods a path does not take are 405 and named by Allow; OPTIONS opens nothing to web pages", async () => {
  const { app } = agent();
  const reading = ["/agent-card", "/.well-known/agent-card.json", "/health", "/ready"];
  for (const path of reading) {
    const head = await app.request(path, { method: "HEAD" });
    assert.deepEqual([head.status, await head.text()], [200, ""], path);
    for (const method of ["POST", "PUT", "DELETE"]) {
      const response = await app.request(path, { method });
      const allow = response.headers.get("allow");
      assert.deepEqual([response.status, allow], [405, "GET, HEAD, OPTIONS"], path);
    }
  }
  for (const path of ["/rpc", "/"]) {
    for (const method of ["GET", "HEAD", "PUT", "PATCH"]) {
      const response = await app.request(path, { method });
      assert.deepEqual([response.status, response.headers.get("allow")], [405, "POST, OPTIONS"]);
    }
  }
  for (const path of [...reading, "/rpc", "/"]) {
    const headers = { origin: "http://evil.example", "access-control-request-method": "POST" };
    const response = await app.request(path, { method: "OPTIONS", headers });
    assert.equal(response.status, 204);
    assert(response.headers.has("allow"));
    assert(![...response.headers.keys()].some((name) => name.startsWith("access-control-")));
  }
});

Deno.test("foreign names and pages are refused where it matters, and the card stays public", async () => {
  const peer = agent("secret", [], { hosts: ["nas.lan"] });
  const authorization = "Bearer secret";
  const text = JSON.stringify(CALL);
  const rebound = { host: "evil.example", authorization };
  const [byName, nameCode] = await post(peer, text, rebound);
  assert.deepEqual([byName, nameCode], [421, -32091]);
  const foreign = { host: "nas.lan", origin: "http://evil.example" };
  const [byPage, pageCode] = await post(peer, text, foreign);
  assert.deepEqual([byPage, pageCode], [403, -32091]);
  assert.equal((await peer.app.request("/ready", { headers: rebound })).status, 421);
  const [own] = await post(peer, text, { host: "nas.lan:8801", authorization });
  assert.equal(own, 200);
  for (const path of ["/agent-card", "/health"]) {
    assert.equal((await peer.app.request(path, { headers: foreign })).status, 200);
  }
});

Deno.test("limits of an agent are answered with 503 and 429, and end with their cause", async () => {
  const gate = Promise.withResolvers<void>();
  const limits = { callsMax: 1, streamsMax: 1, callsPerSecond: 1, callsBurst: 2 };
  const clock = new ManualClock();
  let tasks = 0;
  const peer = agent(undefined, [], { limits, clock }, async () => {
    tasks++;
    await gate.promise;
    return { op: "release" };
  });
  const send = (method: string) =>
    post(peer, JSON.stringify({ jsonrpc: "2.0", id: 7, method, params: { message: MESSAGE } }));
  const blocked = send("SendMessage");
  const [busy, busyCode, response] = await post(peer, JSON.stringify(CALL));
  assert.deepEqual([busy, busyCode, response.headers.get("retry-after")], [503, -32093, "1"]);
  gate.resolve();
  assert.equal((await blocked)[0], 200);

  const stream = await peer.app.request("/rpc", {
    method: "POST",
    headers: { "content-type": "application/json", "a2a-version": "1.0" },
    body: JSON.stringify({
      ...CALL,
      method: "SendStreamingMessage",
      params: { message: MESSAGE },
    }),
  });
  const before = tasks;
  assert.equal((await send("SendStreamingMessage"))[0], 503);
  assert.equal(tasks, before, "a refused stream starts no task");
  await stream.text();
  const again = await peer.app.request("/rpc", {
    method: "POST",
    headers: { "content-type": "application/json", "a2a-version": "1.0" },
    body: JSON.stringify({ ...CALL, method: "SendStreamingMessage", params: { message: MESSAGE } }),
  });
  assert.equal(again.headers.get("content-type"), "text/event-stream");
  await again.body!.cancel();

  const fromSocket = (hostname: string) =>
    peer.app.request(
      "/rpc",
      { method: "POST", headers: { "content-type": "application/json" }, body: "{" },
      { remoteAddr: { hostname } },
    );
  assert.equal((await fromSocket("10.0.0.1")).status, 200);
  assert.equal((await fromSocket("10.0.0.1")).status, 200);
  const tooFast = await fromSocket("10.0.0.1");
  const { code } = (await tooFast.json()).error;
  assert.deepEqual([tooFast.status, code, tooFast.headers.get("retry-after")], [429, -32094, "1"]);
  assert.equal((await fromSocket("10.0.0.2")).status, 200);
  await clock.advance(1_000);
  assert.equal((await fromSocket("10.0.0.1")).status, 200);
});

Deno.test("an encoded body is refused as another content type", async () => {
  const gzip = { "content-encoding": "gzip" };
  const [status, code] = await post(agent(), JSON.stringify(CALL), gzip);
  assert.deepEqual([status, code], [400, -32005]);
});

Deno.test("an agent that closes answers 503", async () => {
  const peer = agent();
  await peer.close();
  const text = JSON.stringify({ ...CALL, method: "SendMessage", params: { message: MESSAGE } });
  const [status, code, response] = await post(peer, text);
  assert.deepEqual([status, code, response.headers.get("retry-after")], [503, -32093, "1"]);
});
