import assert from "node:assert/strict";
import fc from "fast-check";
import { constants, zstdCompressSync } from "node:zlib";
import { createKernels, createPortableKernels } from "./create_kernels.ts";
import { addToCounter } from "./counter.ts";

const fast = createKernels();
const portable = createPortableKernels();
const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const message = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.tuple(fc.integer({ min: 0, max: 70_000 }), fc.nat(255)).map(([length, k]) =>
    Uint8Array.from({ length }, (_, i) => (i * i + k) >> 3)
  ),
);
// Counters whose blocks wrap are as likely as others.
const counter = fc.tuple(bytesOf(16), fc.boolean()).map(([bytes, wraps]) =>
  wraps ? bytes.fill(0xff, 0, 15) : bytes
);

Deno.test("ciphers: the system's library and the runtime encrypt alike, also around the end of the counters", () => {
  const key = fc.oneof(bytesOf(16), bytesOf(32));
  fc.assert(fc.property(key, counter, message, (key, counter, plain) => {
    const given = counter.slice();
    const [a, b] = [fast, portable].map(({ aesCtr }) => {
      const into = new Uint8Array(plain.length + 3);
      aesCtr(key, counter, plain, into);
      return into;
    });
    assert.deepEqual(a, b);
    assert.deepEqual(counter, given);
  }));
});

Deno.test("ciphers: one stream after the other, with blocks and tags in between", () => {
  const steps = fc.array(fc.tuple(message, fc.boolean()), { maxLength: 8 });
  fc.assert(fc.property(bytesOf(32), counter, steps, (key, start, steps) => {
    const at = start.slice();
    for (const [plain, goesOn] of steps) {
      if (!goesOn) at.reverse();
      const [a, b] = [fast, portable].map((kernels) => {
        const into = new Uint8Array(plain.length + 32);
        kernels.aesCtr(key, at, plain, into);
        kernels.aesBlock(key.subarray(16), at, into.subarray(plain.length));
        kernels.poly1305(key, plain, into.subarray(plain.length + 16));
        return into;
      });
      assert.deepEqual(a, b);
      addToCounter(at, Math.ceil(plain.length / 16));
    }
  }));
});

Deno.test("zstd: either side reads what the other wrote, and neither more than it may", () => {
  const level = fc.constantFrom(1, 3, 7);
  fc.assert(fc.property(message, level, fc.boolean(), (plain, level, isFast) => {
    const [from, to] = isFast ? [fast, portable] : [portable, fast];
    const packed = from.compress(plain, level).slice();
    const whole = new Uint8Array(plain);
    assert.deepEqual(to.decompress(packed, plain.length), whole);
    assert.deepEqual(to.decompress(packed, plain.length + 9), whole);
    for (const less of [0, 1, plain.length - 1]) {
      if (less >= 0 && less < plain.length) assert.equal(to.decompress(packed, less), undefined);
    }
    for (let cut = 1; cut < Math.min(20, packed.length); cut++) {
      const some = to.decompress(packed.subarray(0, -cut), plain.length);
      if (some !== undefined) assert.deepEqual(some, whole.subarray(0, some.length));
    }
  }));
});

Deno.test("zstd: a frame that does not say how much is in it is read, and no more than it may", () => {
  fc.assert(fc.property(message, fc.nat(9), (plain, more) => {
    const params = { [constants.ZSTD_c_contentSizeFlag]: 0 };
    const packed = new Uint8Array(zstdCompressSync(plain, { params }));
    for (const { decompress } of [fast, portable]) {
      assert.deepEqual(decompress(packed, plain.length + more), new Uint8Array(plain));
      if (plain.length > 1) assert.equal(decompress(packed, plain.length - 1), undefined);
    }
  }));
});

Deno.test("zstd: damaged frames and what is none are undefined, in either", () => {
  const plain = new TextEncoder().encode("some text to be damaged ".repeat(50));
  const packed = fast.compress(plain, 3).slice();
  for (const { decompress } of [fast, portable]) {
    assert.equal(decompress(plain, plain.length), undefined);
    for (let at = 0; at < 4; at++) {
      const bytes = packed.slice();
      bytes[at]! ^= 0xff;
      assert.equal(decompress(bytes, plain.length), undefined);
    }
  }
});
