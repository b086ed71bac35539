import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Action,
  answerOf,
  commandOf,
  curlOf,
  refusalIn,
  requestOf,
  shellWord,
} from "./actions.ts";

const ORIGIN = "http://127.0.0.1:8888";

Deno.test("what is shown as a command is what would be sent", async () => {
  const action: Action = {
    title: "Cancel NAS",
    send: (api) =>
      api.api.runs[":runId"].destinations.cancel.$post({
        param: { runId: "run-1" },
        json: { destination: "it's NAS" },
      }),
    words: ["cancel", "run-1", "--destination", "it's NAS"],
  };
  const request = await requestOf(action, ORIGIN);
  assert.deepEqual(request, {
    method: "POST",
    url: `${ORIGIN}/api/runs/run-1/destinations/cancel`,
    body: `{"destination":"it's NAS"}`,
  });
  assert.match(curlOf(request), /curl -X POST http:\/\/127\.0\.0\.1:8888\/api\/runs\/run-1/);
  assert.equal(
    commandOf(action.words!),
    `backup-agent cancel run-1 --destination 'it'\\''s NAS'`,
  );
});

Deno.test("whatever a name is, a shell reads it as that one word", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: "binary", maxLength: 40 }).filter((text) => !text.includes("\0")),
      async (text) => {
        const { stdout } = await new Deno.Command("sh", {
          args: ["-c", `printf %s ${shellWord(text)}`],
        }).output();
        assert.equal(new TextDecoder().decode(stdout), text.toWellFormed());
      },
    ),
    { numRuns: 25 },
  );
});

Deno.test("an answer that is an error is told in the server's words, with its hint", async () => {
  const problem = { title: "Not found", detail: "No such run", hint: "See runs" };
  const outcome = await answerOf(Promise.resolve(Response.json(problem, { status: 404 })));
  assert.deepEqual(outcome, { ok: false, message: "No such run. See runs" });
  assert.equal((await answerOf(Promise.reject(new TypeError("x")))).ok, false);
  assert.deepEqual(await answerOf(Promise.resolve(Response.json({ a: 1 }))), {
    ok: true,
    value: { a: 1 },
  });
});

Deno.test("what an agent has refused is no success, whatever the status of the answer", () => {
  assert.equal(
    refusalIn({ accepted: false, reason: "worker-2 is draining" }),
    "worker-2 is draining",
  );
  assert.equal(refusalIn({ accepted: false }), "It was refused");
  assert.equal(refusalIn({ accepted: true, epoch: 2 }), undefined);
  assert.equal(refusalIn(null), undefined);
});
