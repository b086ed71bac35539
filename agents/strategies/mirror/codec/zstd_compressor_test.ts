import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { zstdDecompressSync } from "node:zlib";
import { noise } from "./codec_suite.ts";
import { type StreamInsides, ZstdCompressor } from "./zstd_compressor.ts";
import { ZstdFrameScanner } from "./zstd_frame.ts";

const LEVEL = 3;
const CONTENTS = [
  new Uint8Array(0),
  new TextEncoder().encode("a"),
  new Uint8Array(100_000),
  noise(1 << 20),
  new TextEncoder().encode("what is said again and again ".repeat(50_000)),
  noise(2 << 20),
  noise(3),
];

/** Frames one after the other, each looked at before the next is made. */
function assertFrames(compressor: ZstdCompressor): number[] {
  return [...CONTENTS, ...CONTENTS.toReversed()].map((content) => {
    const frame = compressor.frame(content);
    const { kind, endBytes, contentBytes } = {
      endBytes: 0,
      contentBytes: undefined,
      ...new ZstdFrameScanner().scan(frame),
    };
    assert.deepEqual([kind, endBytes, contentBytes], ["frame", frame.length, content.length]);
    assert.equal(frame[4]! & 0x04, 0x04, "a checksum");
    assert.ok(Buffer.from(content).equals(zstdDecompressSync(frame)));
    return frame.length;
  });
}

Deno.test("frames of all sizes are whole and state their size and a checksum", () => {
  const sizes = assertFrames(new ZstdCompressor(LEVEL));
  assert.deepEqual(sizes, sizes.toReversed(), "what was made before changes nothing");
});

Deno.test("one context makes all frames: the stream has the insides that are used", () => {
  const compressor = new ZstdCompressor(LEVEL);
  const first = compressor.frame(noise(1 << 20));
  const second = compressor.frame(noise(1000));
  assert.equal(first.buffer, second.buffer);
});

Deno.test("without a stream's insides, or when they leave something over, frames are made all the same", () => {
  const leavesOver: StreamInsides = {
    _handle: { writeSync: () => {}, reset: () => {} },
    _writeState: [0, 10],
  };
  for (const insides of [{}, { _handle: {}, _writeState: [0, 0] }, leavesOver]) {
    assertFrames(new ZstdCompressor(LEVEL, () => insides));
  }
});
