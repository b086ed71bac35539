/** Limits on what callers send: length, time, all of them together, and the encoding. */
import assert from "node:assert/strict";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { BodyTooLargeError } from "../rpc/limited_text.ts";
import { RpcError } from "../rpc/rpc_error.ts";
import { createBodyReader } from "./body_reader.ts";

const LIMITS = { bodyBytesMax: 100, bodiesBytesMax: 150, bodyMsMax: 30_000 };

/** A request whose body is fed by hand. */
function fed() {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  let cancelled = 0;
  const body = new ReadableStream<Uint8Array>({
    start: (c) => void (controller = c),
    cancel: () => void cancelled++,
  });
  return {
    request: new Request("http://agent.test/", { method: "POST", body }),
    send: (bytes: number | Uint8Array) =>
      controller.enqueue(typeof bytes === "number" ? new Uint8Array(bytes).fill(32) : bytes),
    end: () => controller.close(),
    cancelled: () => cancelled,
  };
}

function code(expected: number) {
  return (thrown: unknown) => thrown instanceof RpcError && thrown.code === expected;
}

Deno.test("a body arrives whole, also when characters are cut between pieces", async () => {
  const { read } = createBodyReader(LIMITS, new ManualClock());
  const { request, send, end } = fed();
  for (const byte of new TextEncoder().encode('"ä€😀"')) send(Uint8Array.of(byte));
  end();
  assert.equal(await read(request), '"ä€😀"');
});

Deno.test("bytes that are no UTF-8 are a parse error", async () => {
  const { read } = createBodyReader(LIMITS, new ManualClock());
  for (const bytes of [[0x22, 0xff, 0x22], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0x80]]) {
    const body = Uint8Array.from(bytes);
    await assert.rejects(read(new Request("http://a/", { method: "POST", body })), code(-32700));
  }
});

Deno.test("a body is not read beyond its limit", async () => {
  const { read } = createBodyReader(LIMITS, new ManualClock());
  const { request, send, cancelled } = fed();
  const text = read(request);
  send(60);
  send(60);
  await assert.rejects(text, BodyTooLargeError);
  assert.equal(cancelled(), 1);
});

Deno.test("bodies being read share a limit, and give back what they held", async () => {
  const { read } = createBodyReader(LIMITS, new ManualClock());
  const first = fed();
  const firstText = read(first.request);
  first.send(90);
  const second = fed();
  const secondText = read(second.request);
  second.send(90);
  await assert.rejects(secondText, code(-32093));
  first.end();
  assert.equal((await firstText).length, 90);
  const third = fed();
  const thirdText = read(third.request);
  third.send(90);
  third.end();
  assert.equal((await thirdText).length, 90);
});

Deno.test("a caller that sends byte by byte is cut off when its time is over", async () => {
  const clock = new ManualClock();
  const { read } = createBodyReader(LIMITS, clock);
  const { request, send, cancelled } = fed();
  const text = read(request);
  for (let second = 0; second < 29; second++) {
    send(1);
    await clock.advance(1_000);
  }
  assert.equal(cancelled(), 0);
  const refused = assert.rejects(text, code(-32095));
  await clock.advance(1_000);
  await refused;
  assert.equal(cancelled(), 1);
});
