import assert from "node:assert/strict";
import { isMeshProof } from "../mesh/mesh_proof.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { sampleAgentFacts } from "../../tests/support/sample_agent_facts.ts";
import { silentLog } from "../base/log.ts";
import { createTaskAgentApp } from "./task_agent_app.ts";

const URL = "http://agent.test/rpc";

function agent(token?: string) {
  return createTaskAgentApp({
    card: { name: "A", version: "1", url: URL, facts: sampleAgentFacts() },
    handler: () => Promise.resolve({ op: "release" }),
    clock: new ManualClock(),
    log: silentLog,
    token,
  }).app;
}

Deno.test("an agent proves to anybody that it knows its token, for its own address", async () => {
  const nonce = "V1StGXR8_Z5jdHi6";
  const response = await agent("secret").request(`/mesh-proof?nonce=${nonce}`);
  assert.equal(response.status, 200);
  assert.ok(isMeshProof((await response.json()).proof, "secret", nonce, URL));
});

Deno.test("no proof without a plain nonce, and none where there is no token", async () => {
  assert.equal((await agent("secret").request("/mesh-proof")).status, 400);
  assert.equal((await agent("secret").request("/mesh-proof?nonce=a%0Ab")).status, 400);
  assert.equal((await agent().request("/mesh-proof?nonce=V1StGXR8_Z5jdHi6")).status, 404);
});
