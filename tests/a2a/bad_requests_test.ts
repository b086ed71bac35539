/** Garbage against a whole agent: it always answers, as JSON-RPC has it, and goes on serving. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { systemClock } from "../../protocol/base/clock.ts";
import { createFixtureAgent } from "../support/fixture_agent.ts";
import { badRequest } from "./bad_requests.ts";
import { judgeAnswer } from "./judge_answer.ts";

const ORIGIN = "http://127.0.0.1:8801";
const RUNS = 5_000;

Deno.test("5,000 bad requests of any kind get a valid answer each, and the agent goes on serving", async () => {
  const logged: string[] = [];
  const agent = createFixtureAgent({
    origin: ORIGIN,
    table: [{ messageIdPrefix: "ask", reply: [{ state: "TASK_STATE_INPUT_REQUIRED" }] }],
    streaming: true,
    push: true,
    clock: systemClock,
    log: (level, message) => void (level === "error" && logged.push(message)),
  });
  const post = (headers: Record<string, string>, body: BodyInit) =>
    agent.app.request(`${ORIGIN}/rpc`, { method: "POST", headers, body });

  await fc.assert(
    fc.asyncProperty(badRequest, async (request) => {
      const { method, path, headers, body } = request;
      const response = await agent.app.request(ORIGIN + path, { method, headers, body });
      await judgeAnswer(request, response);
    }),
    { numRuns: RUNS },
  );
  assert.deepEqual(logged, []);

  const response = await post(
    { "content-type": "application/json", "a2a-version": "1.0" },
    JSON.stringify({
      jsonrpc: "2.0",
      id: "last",
      method: "SendMessage",
      params: { message: { messageId: "x", role: "ROLE_USER", parts: [{ text: "Still there?" }] } },
    }),
  );
  const { id, result } = await response.json();
  assert.deepEqual([id, result.task.status.state], ["last", "TASK_STATE_COMPLETED"]);
  await agent.close();
});
