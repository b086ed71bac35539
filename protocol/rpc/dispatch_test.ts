/** The dispatcher: the error table, and that any text gets a valid answer. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import * as v from "valibot";
import { silentLog } from "../base/log.ts";
import { createDispatch } from "./dispatch.ts";
import { encodeEnvelope, ResponseEnvelope } from "./envelope.ts";
import { type CallContext, defineMethod, defineStreamMethod, onCall, onStream } from "./method.ts";
import { RpcError } from "./rpc_error.ts";

const Double = defineMethod({
  name: "Double",
  params: v.object({ n: v.number() }),
  result: v.object({ n: v.number() }),
});
const Fail = defineMethod({ name: "Fail", params: v.unknown(), result: v.never() });
const Refuse = defineMethod({ name: "Refuse", params: v.unknown(), result: v.never() });
const Count = defineStreamMethod({
  name: "Count",
  params: v.object({ to: v.number() }),
  event: v.number(),
});

const CONTEXT: CallContext = {
  caller: "anyone",
  header: () => undefined,
};

const dispatch = createDispatch([
  onCall(Double, ({ n }) => ({ n: n * 2 })),
  onCall(Fail, () => {
    throw new Error("secret path /root/.ssh");
  }),
  onCall(Refuse, () => {
    throw new RpcError(-32042, "Not now", [{ why: "test" }]);
  }),
  onStream(Count, ({ to }) => {
    if (to < 0) throw new RpcError(-32042, "Too few");
    let i = 0;
    return {
      next: () => {
        if (i >= to) throw new Error("broken in mid-stream");
        return Promise.resolve({ done: false, value: i++ });
      },
      return: () => Promise.resolve({ done: true, value: undefined }),
    };
  }),
], { log: silentLog });

async function answer(text: string): Promise<ResponseEnvelope> {
  const outcome = await dispatch(text, CONTEXT);
  assert(outcome.kind === "reply");
  return v.parse(ResponseEnvelope, JSON.parse(encodeEnvelope(outcome.body)));
}

async function codeOf(text: string): Promise<[id: unknown, code: number]> {
  const body = await answer(text);
  assert("error" in body);
  return [body.id, body.error.code];
}

Deno.test("a call is answered with its result and the id in its own type", async () => {
  for (const id of [1, "1", "", 0, -7]) {
    const text = JSON.stringify({ jsonrpc: "2.0", id, method: "Double", params: { n: 21 } });
    assert.deepEqual(await answer(text), { jsonrpc: "2.0", id, result: { n: 42 } });
  }
});

const REFUSED: [what: string, text: string, id: unknown, code: number][] = [
  ["text that is not JSON", "{", null, -32700],
  ["an empty body", "", null, -32700],
  ["a batch", '[{"jsonrpc":"2.0","id":1,"method":"Double"}]', null, -32600],
  ["an empty batch", "[]", null, -32600],
  ["a number", "7", null, -32600],
  ["another protocol version", '{"jsonrpc":"1.0","id":1,"method":"Double"}', 1, -32600],
  ["a request without id", '{"jsonrpc":"2.0","method":"Double"}', null, -32600],
  ["a null id", '{"jsonrpc":"2.0","id":null,"method":"Double"}', null, -32600],
  ["a fractional id", '{"jsonrpc":"2.0","id":1.5,"method":"Double"}', null, -32600],
  ["an id beyond 2^53", '{"jsonrpc":"2.0","id":9007199254740993,"method":"x"}', null, -32600],
  ["a method that is no text", '{"jsonrpc":"2.0","id":"a","method":7}', "a", -32600],
  ["an unknown method", '{"jsonrpc":"2.0","id":1,"method":"__proto__"}', 1, -32601],
  ["missing params", '{"jsonrpc":"2.0","id":1,"method":"Double"}', 1, -32602],
  ["params of another shape", '{"jsonrpc":"2.0","id":1,"method":"Double","params":[]}', 1, -32602],
  ["an exception in a handler", '{"jsonrpc":"2.0","id":1,"method":"Fail"}', 1, -32603],
  ["a refusal by a handler", '{"jsonrpc":"2.0","id":1,"method":"Refuse"}', 1, -32042],
  ["deep nesting", "[".repeat(5_000) + "]".repeat(5_000), null, -32600],
  [
    "an early error of a stream",
    '{"jsonrpc":"2.0","id":1,"method":"Count","params":{"to":-1}}',
    1,
    -32042,
  ],
];
for (const [what, text, id, code] of REFUSED) {
  Deno.test(`${what} is answered with ${code}`, async () => {
    assert.deepEqual(await codeOf(text), [id, code]);
  });
}

Deno.test("invalid params name the fields that are wrong", async () => {
  const body = await answer('{"jsonrpc":"2.0","id":1,"method":"Double","params":{"n":"x"}}');
  assert("error" in body);
  assert.match(JSON.stringify(body.error.data), /google\.rpc\.BadRequest.*"field":"n"/);
});

Deno.test("an internal error shows neither text nor stack", async () => {
  const body = await answer('{"jsonrpc":"2.0","id":1,"method":"Fail"}');
  assert.deepEqual(body, {
    jsonrpc: "2.0",
    id: 1,
    error: { code: -32603, message: "Internal error" },
  });
});

Deno.test("a stream that breaks ends with an error that carries the id", async () => {
  const outcome = await dispatch(
    '{"jsonrpc":"2.0","id":"s","method":"Count","params":{"to":2}}',
    CONTEXT,
  );
  assert(outcome.kind === "stream");
  const seen: unknown[] = [];
  for (let step = await outcome.events.next(); !step.done; step = await outcome.events.next()) {
    seen.push(step.value);
  }
  assert.deepEqual(seen, [
    { jsonrpc: "2.0", id: "s", result: 0 },
    { jsonrpc: "2.0", id: "s", result: 1 },
    { jsonrpc: "2.0", id: "s", error: { code: -32603, message: "Internal error" } },
  ]);
});

Deno.test("a result that cannot be written as JSON becomes an internal error", () => {
  const text = encodeEnvelope({ jsonrpc: "2.0", id: 5, result: 1n });
  assert.deepEqual(JSON.parse(text).error, { code: -32603, message: "Internal error" });
});

Deno.test("whatever arrives is answered with a valid response and nothing is thrown", async () => {
  const name = fc.oneof(fc.constantFrom("Double", "Fail", "Refuse", "Count"), fc.jsonValue());
  const nearRequest = fc.record({
    jsonrpc: fc.oneof(fc.constant("2.0"), fc.jsonValue()),
    id: fc.oneof(fc.integer(), fc.string(), fc.jsonValue()),
    method: name,
    params: fc.oneof(fc.record({ n: fc.jsonValue() }), fc.jsonValue()),
  }, { requiredKeys: [] }).map((value) => JSON.stringify(value));
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.string(), fc.json(), nearRequest), async (text) => {
      const outcome = await dispatch(text, CONTEXT);
      if (outcome.kind === "stream") return;
      v.assert(ResponseEnvelope, JSON.parse(encodeEnvelope(outcome.body)));
    }),
    { numRuns: 500 },
  );
});
