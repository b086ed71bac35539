import assert from "node:assert/strict";
import fc from "fast-check";
import { BackupError } from "../../../../protocol/base/errors.ts";
import { generateIdentity } from "./age_keys.ts";
import { type Codec, CODECS, createDecoder, createEncoder, isCodec } from "./codec.ts";
import { assertFails, assertSame, cut, noise, prose, transformed } from "./codec_suite.ts";

const me = generateIdentity();
const other = generateIdentity();

function encode(codec: Codec, ...pieces: Uint8Array[]): Uint8Array {
  return transformed(
    createEncoder({ codec, recipients: [other.recipient, me.recipient] }),
    ...pieces,
  );
}

function decode(codec: Codec, sizeBytes: number, ...pieces: Uint8Array[]): Uint8Array {
  return transformed(createDecoder({ codec, identities: [me], sizeBytes }), ...pieces);
}

/** Around the borders of chunks and frames. */
const SIZES = [0, 1, 65_535, 65_536, 65_537, 131_072, 2 << 20, (2 << 20) + 1, (4 << 20) + 70_000];

for (const codec of CODECS) {
  Deno.test(`${codec}: content of any size comes back, whatever the pieces`, () => {
    for (const make of [noise, prose]) {
      for (const size of SIZES) {
        const content = make(size);
        const stored = encode(codec, ...cut(content, [2 << 20]));
        assertSame(decode(codec, size, ...cut(stored, [1 << 20])), content, `${size} bytes`);
        assertSame(decode(codec, size, ...cut(stored, [70_001, 3, 1])), content, `${size} bytes`);
      }
    }
  });

  Deno.test(`${codec}: any bytes in any pieces come back`, () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 5 });
    const bytes = fc.uint8Array({ maxLength: 2000 });
    fc.assert(fc.property(bytes, sizes, sizes, (content, written, read) => {
      const stored = encode(codec, ...cut(content, written));
      assert.deepEqual(decode(codec, content.length, ...cut(stored, read)), content);
    }));
  });

  Deno.test(`${codec}: a file that is cut off anywhere is damaged`, () => {
    const content = prose(600);
    const stored = encode(codec, content);
    for (let end = 0; end < stored.length; end++) {
      assertFails(() => decode(codec, content.length, stored.subarray(0, end)), "damaged");
      // A file of unknown size, too.
      const open = { codec, identities: [me], maxBytes: 1 << 20 };
      assertFails(() => transformed(createDecoder(open), stored.subarray(0, end)), "damaged");
    }
  });

  Deno.test(`${codec}: a file that is cut off between its frames or chunks is damaged`, () => {
    const content = noise(3 << 20);
    const stored = encode(codec, content);
    for (let kept = stored.length - 1; kept > 0; kept -= 65_521) {
      assertFails(() => decode(codec, content.length, stored.subarray(0, kept)), "damaged");
    }
    if (codec !== "zst") return;
    const frame = encode(codec, content.subarray(0, 2 << 20));
    assertSame(frame, stored.subarray(0, frame.length), "the first frame");
    assertFails(() => decode(codec, content.length, frame), "damaged");
  });

  Deno.test(`${codec}: a changed byte at any place of a small file is found`, () => {
    for (const content of [prose(900), noise(40), new Uint8Array(0)]) {
      const stored = encode(codec, content);
      for (let at = 0; at < stored.length; at++) {
        const flipped = stored.slice();
        flipped[at]! ^= 0xff;
        const found = () => decode(codec, content.length, flipped);
        assertFails(found, "damaged", "wrong_key", "unsupported");
      }
    }
  });

  Deno.test(`${codec}: a changed bit is found, or changes nothing`, () => {
    const content = prose(300);
    const stored = encode(codec, content);
    const harmless: string[] = [];
    for (let at = 0; at < stored.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const flipped = stored.slice();
        flipped[at]! ^= 1 << bit;
        let read: Uint8Array;
        try {
          read = decode(codec, content.length, flipped);
        } catch (thrown) {
          assert.ok(thrown instanceof BackupError, String(thrown));
          continue;
        }
        assertSame(read, content, `byte ${at} bit ${bit}`);
        harmless.push(`${at}.${bit}`);
      }
    }
    // A compressed block says the same in more than one way; what is encrypted does not.
    if (codec !== "zst") assert.deepEqual(harmless, []);
  });

  Deno.test(`${codec}: bytes after the end are damage`, () => {
    const content = prose(900);
    for (const more of [Uint8Array.of(0), noise(100)]) {
      assertFails(() => decode(codec, content.length, encode(codec, content), more), "damaged");
    }
  });

  Deno.test(`${codec}: content of another size than recorded is damaged`, () => {
    const content = noise(70_000);
    const stored = encode(codec, content);
    for (const size of [0, 1, 69_999, 70_001, 1 << 30]) {
      assertFails(() => decode(codec, size, stored), "damaged");
    }
  });

  Deno.test(`${codec}: nothing that is no stored file is read as one`, () => {
    for (const bytes of [new Uint8Array(0), noise(1), noise(500), new Uint8Array(500)]) {
      assertFails(() => decode(codec, 10, bytes), "damaged");
    }
  });
}

Deno.test("frames put together by two files are not one of them", () => {
  const [one, two] = [prose(500), noise(300)];
  const both = [encode("zst", one), encode("zst", two)];
  assertFails(() => decode("zst", one.length, ...both), "damaged");
  assert.equal(decode("zst", one.length + two.length, ...both).length, 800);
});

Deno.test("encrypting to nobody is refused", () => {
  assertFails(() => createEncoder({ codec: "age" }), "usage");
  assertFails(() => createEncoder({ codec: "zst.age", recipients: [] }), "usage");
});

Deno.test("a codec is one of three words", () => {
  assert.deepEqual(["zst", "age", "zst.age", "gz", "", "age.zst"].map(isCodec), [
    true,
    true,
    true,
    false,
    false,
    false,
  ]);
});
