/** Events written and read back, cut anywhere. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { BackupError } from "../base/errors.ts";
import { createSseParser, encodeSseEvent, SSE_PING } from "./sse.ts";

function parse(pieces: readonly string[]): string[] {
  const parser = createSseParser();
  return pieces.flatMap((piece) => parser.push(piece));
}

/** Cuts a text at the given places, wherever they fall. */
function cut(text: string, places: readonly number[]): string[] {
  const sorted = places.map((place) => place % (text.length + 1)).sort((a, b) => a - b);
  return [0, ...sorted].map((start, i) => text.slice(start, sorted[i] ?? text.length));
}

Deno.test("every event survives encoding and any cutting of the stream", () => {
  fc.assert(fc.property(
    fc.array(fc.json(), { maxLength: 5 }),
    fc.array(fc.nat(), { maxLength: 20 }),
    (events, places) => {
      const text = events.map((json) => SSE_PING + encodeSseEvent(json)).join("");
      assert.deepEqual(parse(cut(text, places)), events);
    },
  ));
});

Deno.test("line ends may be LF, CR or CRLF, also when cut in the middle", () => {
  const text = "data: a\r\n\r\ndata: b\r\rdata: c\n\n";
  for (let place = 0; place <= text.length; place++) {
    assert.deepEqual(parse(cut(text, [place])), ["a", "b", "c"], `cut at ${place}`);
  }
});

Deno.test("data lines of one event are joined, comments and other fields are ignored", () => {
  assert.deepEqual(parse([": hello\nevent: x\nid: 7\ndata: a\ndata:b\ndata\n\n"]), ["a\nb\n"]);
});

Deno.test("a byte order mark at the start is skipped and an unfinished event is not reported", () => {
  assert.deepEqual(parse(["\uFEFFdata: a\n\ndata: b\n"]), ["a"]);
});

Deno.test("an event longer than the limit is refused before it is whole", () => {
  const parser = createSseParser(10);
  parser.push("data: 12");
  assert.throws(() => parser.push("345"), BackupError);
});

Deno.test("the limit is for one event, however many comments and events there are", () => {
  const parser = createSseParser(20);
  for (let i = 0; i < 100; i++) {
    assert.deepEqual(parser.push(": a comment\ndata: 123\n\n"), ["123"]);
  }
});
