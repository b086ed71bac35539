/** Backpressure, keep-alive comments and readers that leave. */
import assert from "node:assert/strict";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { type ResponseEnvelope, success } from "../rpc/envelope.ts";
import type { EventStream } from "../rpc/method.ts";
import { sseResponse } from "./sse_response.ts";

/** A stream that is fed by hand; `push(undefined)` ends it. */
function source() {
  const steps: (ResponseEnvelope | undefined)[] = [];
  let wake = () => {};
  let returned = 0;
  const events: EventStream<ResponseEnvelope> = {
    async next() {
      while (steps.length === 0) await new Promise<void>((resolve) => wake = resolve);
      const value = steps.shift();
      return value === undefined ? { done: true, value } : { done: false, value };
    },
    return() {
      returned++;
      steps.push(undefined);
      wake();
      return Promise.resolve({ done: true, value: undefined });
    },
  };
  return {
    events,
    push(step: ResponseEnvelope | undefined) {
      steps.push(step);
      wake();
    },
    pending: () => steps.length,
    returned: () => returned,
  };
}

function textOf(chunk: ReadableStreamReadResult<Uint8Array>): string {
  return chunk.done ? "(end)" : new TextDecoder().decode(chunk.value);
}

Deno.test("events are sent as they come and the end closes the body", async () => {
  const { events, push } = source();
  const response = sseResponse(events, new ManualClock(), {});
  push(success(1, "a"));
  push(success(1, "b"));
  push(undefined);
  assert.equal(
    await response.text(),
    'data: {"jsonrpc":"2.0","id":1,"result":"a"}\n\ndata: {"jsonrpc":"2.0","id":1,"result":"b"}\n\n',
  );
});

Deno.test("a silent stream gets a comment every 15 s", async () => {
  const { events, push } = source();
  const clock = new ManualClock();
  const reader = sseResponse(events, clock, {}).body!.getReader();
  const first = reader.read();
  await clock.advance(15_000);
  assert.equal(textOf(await first), ": ping\n\n");
  const second = reader.read();
  push(success(1, 2));
  assert.match(textOf(await second), /"result":2/);
  await reader.cancel();
});

Deno.test("a reader that goes away returns the stream and stops the comments", async () => {
  const { events, returned } = source();
  const clock = new ManualClock();
  const reader = sseResponse(events, clock, {}).body!.getReader();
  const waiting = reader.read();
  await reader.cancel();
  await clock.advance(60_000);
  assert.equal(textOf(await waiting), "(end)");
  assert.equal(returned(), 1);
});

Deno.test("nothing is taken from the stream before the reader asks", async () => {
  const { events, push, pending } = source();
  const clock = new ManualClock();
  const response = sseResponse(events, clock, {});
  for (let n = 0; n < 10; n++) push(success(1, n));
  await clock.advance(45_000);
  assert.equal(pending(), 10);
  await response.body!.cancel();
});

Deno.test("a peer that does not read for a minute is given up, before and after its first event", async () => {
  for (const eventsRead of [0, 1]) {
    const { events, push, returned } = source();
    const clock = new ManualClock();
    let closed = 0;
    const reader = sseResponse(events, clock, {}, () => closed++).body!.getReader();
    push(success(1, 1));
    push(success(1, 2));
    for (let i = 0; i < eventsRead; i++) await reader.read();
    await clock.advance(45_000);
    assert.deepEqual([closed, returned()], [0, 0]);
    await clock.advance(30_000);
    assert.deepEqual([closed, returned()], [1, 1]);
    await assert.rejects(reader.read(), /does not read/);
  }
});

Deno.test("the end of a stream is told once, however it comes", async () => {
  for (const end of ["events", "peer"]) {
    const { events, push } = source();
    let closed = 0;
    const { body } = sseResponse(events, new ManualClock(), {}, () => closed++);
    if (end === "events") push(undefined);
    else await body!.cancel();
    await new Response(end === "events" ? body : null).text();
    assert.equal(closed, 1, end);
  }
});
