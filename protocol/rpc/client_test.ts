/** The typed client against hand-made answers, good and bad. */
import assert from "node:assert/strict";
import * as v from "valibot";
import { BackupError } from "../base/errors.ts";
import { createRpcClient, type RpcClient } from "./client.ts";
import { defineMethod, defineStreamMethod } from "./method.ts";
import { RpcError } from "./rpc_error.ts";

const Get = defineMethod({ name: "Get", params: v.unknown(), result: v.object({ n: v.number() }) });
const Watch = defineStreamMethod({ name: "Watch", params: v.unknown(), event: v.number() });

function clientOf(respond: (id: number) => Response | Promise<Response>): RpcClient {
  return createRpcClient({
    url: "http://peer.test/rpc",
    headers: { authorization: "Bearer x" },
    async fetch(request) {
      assert.equal(request.headers.get("authorization"), "Bearer x");
      assert.equal(request.headers.get("content-type"), "application/json");
      return await respond((await request.json()).id);
    },
  });
}

function sse(...data: string[]): Response {
  return new Response(data.map((d) => `data: ${d}\n\n`).join(""), {
    headers: { "content-type": "text/event-stream; charset=utf-8" },
  });
}

function ok(id: unknown, result: unknown): string {
  return JSON.stringify({ jsonrpc: "2.0", id, result });
}

async function failureCode(work: Promise<unknown>): Promise<string | number> {
  try {
    await work;
  } catch (thrown) {
    if (thrown instanceof RpcError || thrown instanceof BackupError) return thrown.code;
    throw thrown;
  }
  assert.fail("Expected a failure");
}

async function collect<T>(events: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const event of events) all.push(event);
  return all;
}

Deno.test("a call returns the parsed result", async () => {
  const client = clientOf((id) => new Response(ok(id, { n: 1, more: 2 })));
  assert.deepEqual(await client.call(Get, {}), { n: 1 });
});

Deno.test("an error of the peer keeps its code, also under an HTTP error status", async () => {
  const client = clientOf((id) => {
    const body = { jsonrpc: "2.0", id, error: { code: -32001, message: "Task not found" } };
    return Response.json(body, { status: 404 });
  });
  assert.equal(await failureCode(client.call(Get, {})), -32001);
  assert.equal(await failureCode(collect(client.stream(Watch, {}))), -32001);
});

const NONSENSE: [what: string, respond: (id: number) => Response][] = [
  ["a page instead of JSON", () => new Response("<h1>Bad gateway</h1>", { status: 502 })],
  ["JSON that is no response", () => Response.json({ n: 1 })],
  ["the answer to another request", (id) => new Response(ok(id + 1, { n: 1 }))],
  ["an id of another type", (id) => new Response(ok(String(id), { n: 1 }))],
  ["a result of another shape", (id) => new Response(ok(id, { n: "1" }))],
];
for (const [what, respond] of NONSENSE) {
  Deno.test(`${what} is reported as nonsense`, async () => {
    assert.equal(await failureCode(clientOf(respond).call(Get, {})), "protocol");
  });
}

Deno.test("a peer that cannot be reached is reported as io", async () => {
  const client = clientOf(() => Promise.reject(new TypeError("connection refused")));
  assert.equal(await failureCode(client.call(Get, {})), "io");
});

Deno.test("a stream yields its events and throws the error that ends it", async () => {
  const client = clientOf((id) => {
    const error = { jsonrpc: "2.0", id, error: { code: -32603, message: "Internal error" } };
    return sse(ok(id, 1), ok(id, 2), JSON.stringify(error));
  });
  const seen: number[] = [];
  await assert.rejects(async () => {
    for await (const n of client.stream(Watch, {})) seen.push(n);
  }, RpcError);
  assert.deepEqual(seen, [1, 2]);
});

Deno.test("leaving a stream early closes its connection", async () => {
  let isClosed = false;
  const client = clientOf((id) => {
    const body = new ReadableStream({
      pull: (controller) => controller.enqueue(new TextEncoder().encode(`data: ${ok(id, 1)}\n\n`)),
      cancel: () => {
        isClosed = true;
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  });
  for await (const _ of client.stream(Watch, {})) break;
  assert(isClosed);
});

Deno.test("an aborted call rejects at once, also when the peer never answers", async () => {
  const stop = new AbortController();
  const client = clientOf(() => new Promise(() => {}));
  const call = client.call(Get, {}, { signal: stop.signal });
  const stream = collect(client.stream(Watch, {}, { signal: stop.signal }));
  stop.abort(new Error("enough"));
  await assert.rejects(call, /enough/);
  await assert.rejects(stream, /enough/);
});
