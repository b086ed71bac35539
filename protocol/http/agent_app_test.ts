/** The agent over HTTP semantics, through `app.request`. */
import assert from "node:assert/strict";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { createA2AClient } from "../a2a/client.ts";
import { silentLog } from "../base/log.ts";
import { createTaskAgentApp, type TaskAgentApp } from "./task_agent_app.ts";

const ORIGIN = "http://agent.test";
const CALL = {
  jsonrpc: "2.0",
  id: 1,
  method: "GetTask",
  params: { id: "x" },
};

function agent(token?: string, reasons: string[] = []): TaskAgentApp {
  return createTaskAgentApp({
    card: {
      name: "Test agent",
      agentId: "agent-1",
      version: "0.1.0",
      capabilities: ["mirror", "backup.verify"],
      url: `${ORIGIN}/rpc`,
    },
    handler: () => Promise.resolve({ op: "release" }),
    clock: new ManualClock(),
    log: silentLog,
    ready: () => reasons,
    token,
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
