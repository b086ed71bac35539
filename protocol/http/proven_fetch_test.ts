import assert from "node:assert/strict";
import { BackupError } from "../base/errors.ts";
import { systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { AgentFacts } from "../mesh/agent_facts.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { createProvenFetch } from "./proven_fetch.ts";
import { createTaskAgentApp } from "./task_agent_app.ts";

const FACTS: AgentFacts = {
  agentId: "agent-1",
  bootId: "boot-1",
  hostId: "host-1",
  capabilities: ["mirror"],
  roots: [],
  limits: { slots: 3 },
  load: { score: 0, observedAtMs: 0 },
  state: "ready",
};

function agent(token: string, url = "http://127.0.0.1:8801/rpc") {
  return createTaskAgentApp({
    card: { name: "a", version: "1", url, facts: FACTS },
    handler: () => Promise.reject(new BackupError("rejected", "not here")),
    clock: systemClock,
    log: silentLog,
    token,
  }).app;
}

const call = (origin: string) =>
  new Request(`${origin}/rpc`, {
    method: "POST",
    headers: { "content-type": "application/json", "a2a-version": "1.0" },
    body: '{"jsonrpc":"2.0","id":1,"method":"ListTasks","params":{}}',
  });

Deno.test("the token goes to an agent that has proven to know it, at the address of its card", async () => {
  const app = agent("the-right-token-here");
  const seen: string[] = [];
  const fetch = createProvenFetch({
    fetch: async (request) => {
      seen.push(`${new URL(request.url).host} ${request.headers.has("authorization")}`);
      return await app.fetch(request);
    },
    token: "the-right-token-here",
    clock: new ManualClock(),
  });
  const answer = await fetch(call("http://localhost:8801"));
  assert.deepEqual((await answer.json()).result.tasks, []);
  await (await fetch(call("http://localhost:8801"))).body?.cancel();
  assert.deepEqual(seen, [
    "localhost:8801 false",
    "127.0.0.1:8801 false",
    "127.0.0.1:8801 true",
    "127.0.0.1:8801 true",
  ]);
});

Deno.test("a stranger on the port gets no token, and is asked again the next time", async () => {
  let app = agent("another-users-token");
  let carried = 0;
  const fetch = createProvenFetch({
    fetch: async (request) => {
      if (request.headers.has("authorization")) carried++;
      return await app.fetch(request);
    },
    token: "the-right-token-here",
    clock: new ManualClock(),
  });
  await assert.rejects(
    async () => await fetch(call("http://127.0.0.1:8801")),
    (e) => e instanceof BackupError && e.code === "permission",
  );
  assert.equal(carried, 0);
  app = agent("the-right-token-here");
  assert.equal((await fetch(call("http://127.0.0.1:8801"))).status, 200);
});

Deno.test("a proof is asked for again after a while", async () => {
  let app = agent("the-right-token-here");
  const clock = new ManualClock();
  const fetch = createProvenFetch({
    fetch: async (request) => await app.fetch(request),
    token: "the-right-token-here",
    clock,
  });
  await fetch(call("http://127.0.0.1:8801"));
  app = agent("another-users-token");
  await clock.advance(61_000);
  await assert.rejects(async () => await fetch(call("http://127.0.0.1:8801")));
});

Deno.test("an agent whose machine went away in the middle of its proof is asked anew", async () => {
  const app = agent("the-right-token-here");
  const clock = new ManualClock();
  let isGone = true;
  const fetch = createProvenFetch({
    fetch: async (request) => isGone ? await new Promise(() => {}) : await app.fetch(request),
    token: "the-right-token-here",
    clock,
  });
  const unanswered = fetch(call("http://127.0.0.1:8801"));
  isGone = false;
  await clock.advance(6_000);
  assert.equal((await fetch(call("http://127.0.0.1:8801"))).status, 200);
  assert.equal(await Promise.race([unanswered, Promise.resolve("waits")]), "waits");
});
