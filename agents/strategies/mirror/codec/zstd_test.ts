import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { zstdCompressSync } from "node:zlib";
import { inScratch } from "../../../../tests/support/small_tree.ts";
import { runProgram } from "../../../../tests/support/run_program.ts";
import { findProgram, needs } from "../../../../tests/support/tools.ts";
import { createDecoder, createEncoder } from "./codec.ts";
import { assertFails, assertSame, cut, noise, prose, transformed } from "./codec_suite.ts";
import { isIncompressible } from "./incompressible.ts";
import { FRAME_LIMIT_BYTES } from "./zstd_frame.ts";

function encode(...pieces: Uint8Array[]): Uint8Array {
  return transformed(createEncoder({ codec: "zst" }), ...pieces);
}

function decode(maxBytes: number, ...pieces: Uint8Array[]): Uint8Array {
  return transformed(createDecoder({ codec: "zst", maxBytes }), ...pieces);
}

/** A frame without a content size, window 2 MiB, of these blocks: [type, size field, content]. */
function frame(...blocks: [type: number, size: number, content: Uint8Array][]): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58)];
  blocks.forEach(([type, size, content], i) => {
    const word = (size << 3) | (type << 1) | (i === blocks.length - 1 ? 1 : 0);
    parts.push(Uint8Array.of(word & 0xff, (word >> 8) & 0xff, (word >> 16) & 0xff), content);
  });
  return new Uint8Array(Buffer.concat(parts));
}

Deno.test("what is stored depends on the content alone, not on the pieces", () => {
  const content = Buffer.concat([prose(3 << 20), noise(2 << 20)]);
  const stored = encode(content);
  assertSame(encode(...cut(content, [2 << 20])), stored);
  assertSame(encode(...cut(content, [100_000, 17])), stored);
});

Deno.test("what does not shrink is stored as it is, with some bytes a frame", () => {
  const content = noise(5 << 20);
  assert.ok(isIncompressible(content));
  const frames = 3;
  const blocks = 5 * 8;
  assert.ok(encode(content).length <= content.length + frames * 20 + blocks * 3);
});

Deno.test("text, empty regions and small files are not taken for incompressible", () => {
  assert.ok(!isIncompressible(prose(2 << 20)));
  assert.ok(!isIncompressible(new Uint8Array(2 << 20)));
  assert.ok(!isIncompressible(noise(10_000)));
  const half = Buffer.concat([noise(1 << 20), prose(1 << 20)]);
  assert.ok(encode(half).length < 1.7 * (1 << 20));
});

Deno.test(needs("stock zstd reads what is stored, and says it is whole", "zstd"), async () => {
  await inScratch(async (folder) => {
    const contents = [0, 1, 70_000, 5 << 20].flatMap((size) => [prose(size), noise(size)]);
    for (const content of contents) {
      Deno.writeFileSync(`${folder}/f.zst`, encode(...cut(content, [2 << 20])));
      const zstd = findProgram("zstd")!;
      const test = await runProgram(zstd, ["-t", `${folder}/f.zst`]);
      assert.equal(test.code, 0, test.err);
      const read = await runProgram(zstd, ["-d", "-f", `${folder}/f.zst`, "-o", `${folder}/f`]);
      assert.equal(read.code, 0, read.err);
      assertSame(Deno.readFileSync(`${folder}/f`), content);
    }
  });
});

Deno.test(needs("files that stock zstd made are read", "zstd"), async () => {
  await inScratch(async (folder) => {
    const content = Buffer.concat([prose(3 << 20), noise(1 << 20), new Uint8Array(2 << 20)]);
    Deno.writeFileSync(`${folder}/f`, content);
    for (const options of [["-1"], ["-19"], ["-3", "--no-check"], ["-3", "-T2"], ["--fast"]]) {
      const args = [...options, "-f", `${folder}/f`, "-o", `${folder}/f.zst`];
      const made = await runProgram(findProgram("zstd")!, args);
      assert.equal(made.code, 0, made.err);
      const stored = Deno.readFileSync(`${folder}/f.zst`);
      assertSame(decode(content.length, ...cut(stored, [99_991])), content, options.join(" "));
    }
  });
});

Deno.test("frames that hold no content are passed over", () => {
  const skippable = Uint8Array.of(0x5a, 0x2a, 0x4d, 0x18, 5, 0, 0, 0, 1, 2, 3, 4, 5);
  const content = prose(1000);
  const stored = [skippable, encode(content), skippable];
  assertSame(decode(1000, ...stored), content);
  assertSame(decode(1000, ...cut(Buffer.concat(stored), [1])), content);
  assertFails(() => decode(1000, ...stored, skippable.subarray(0, 9)), "damaged");
});

Deno.test("a frame without its content size and without a checksum is read", () => {
  const bytes = frame([0, 3, Uint8Array.of(1, 2, 3)], [1, 4, Uint8Array.of(9)]);
  assert.deepEqual([...decode(7, bytes)], [1, 2, 3, 9, 9, 9, 9]);
});

Deno.test("a bomb is refused before it explodes", () => {
  const block: [number, number, Uint8Array] = [1, 128 << 10, Uint8Array.of(0)];
  const bomb = frame(...Array<typeof block>(400).fill(block));
  assert.ok(bomb.length < 2000);
  assertFails(() => decode(1000, bomb), "damaged");
  assertFails(() => decode(49 << 20, bomb), "damaged");
  assert.equal(decode(50 << 20, bomb).length, 50 << 20);

  // What no header tells: compressed blocks, refused while they become too much.
  const dense = zstdCompressSync(new Uint8Array(40 << 20));
  assert.ok(dense.length < 10_000);
  assertFails(() => decode(39 << 20, dense), "damaged");
  assertFails(() => decode(0, dense), "damaged");
  assert.equal(decode(40 << 20, dense).length, 40 << 20);

  // Many small frames.
  const many = Array<Uint8Array>(1000).fill(encode(new Uint8Array(1 << 20)));
  assertFails(() => decode(10 << 20, Buffer.concat(many)), "damaged");
});

Deno.test("a frame larger than can be decoded at once is refused, whoever is to blame", () => {
  const tooMany = FRAME_LIMIT_BYTES / (128 << 10) + 1;
  const rle: [number, number, Uint8Array] = [1, 128 << 10, Uint8Array.of(0)];
  assertFails(() => decode(1e12, frame(...Array<typeof rle>(tooMany).fill(rle))), "unsupported");
  const dense = zstdCompressSync(new Uint8Array(FRAME_LIMIT_BYTES + 1));
  const error = assertFails(() => decode(1e12, dense), "unsupported");
  assert.match(error.message, /64 MiB/);
  // A content size of 2^62.
  const claim = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x40);
  assertFails(() => decode(1e12, claim), "unsupported");
});

Deno.test("a frame that needs a dictionary is refused", () => {
  const needsOne = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x21, 0x07, 0x00, 1, 0, 0);
  assertFails(() => decode(10, needsOne), "unsupported");
});

Deno.test("blocks of an unknown kind or larger than allowed are damage", () => {
  assertFails(() => decode(1e9, frame([3, 1, Uint8Array.of(1)])), "damaged");
  assertFails(() => decode(1e9, frame([1, (128 << 10) + 1, Uint8Array.of(1)])), "damaged");
  assertFails(() => decode(1e9, frame([2, 3, Uint8Array.of(1, 2, 3)])), "damaged");
});
