import assert from "node:assert/strict";
import fc from "fast-check";
import { kernelSourceHash, kernelSources } from "../../tests/support/kernel_sources.ts";
import { createKernels, createTwinKernels } from "./create_kernels.ts";
import { isIrreducible } from "./gf2.ts";
import { KERNELS_SOURCE_SHA256 } from "./kernels_wasm.ts";
import { fingerprint, makeRabinTables } from "./rabin_tables.ts";
import { createWasmLoops } from "./wasm_kernels.ts";
import { DATA_BYTES_MAX, MEMORY_LAYOUT } from "./wasm_memory.ts";

const POLYNOMIALS = [0x3da3358b4dc173n, 0x25b468838dcb75n];

Deno.test("kernels: the compiled module is of the sources that stand beside it", () => {
  assert.equal(KERNELS_SOURCE_SHA256, kernelSourceHash(), "run scripts/build_kernels.ts");
});

Deno.test("kernels: host and module agree where things lie in memory", () => {
  const text = kernelSources().get("memory.ts")!;
  const found = [...text.matchAll(/export const (\w+): usize = (\d+);/g)];
  assert.deepEqual(Object.fromEntries(found.map((m) => [m[1], Number(m[2])])), MEMORY_LAYOUT);
});

Deno.test("kernels: this machine gets WASM", () => {
  assert.equal(createKernels().name, "wasm");
});

Deno.test("rabin: WASM, twin and the plain fingerprint find the same boundaries in any bytes", () => {
  const kernels = createWasmLoops();
  for (const polynomial of POLYNOMIALS) {
    const wasm = kernels.createScanner(polynomial);
    const twin = createTwinKernels().createScanner(polynomial);
    const sizes = fc.integer({ min: 65, max: 200_000 });
    fc.assert(
      fc.property(fc.nat(), sizes, sizes, fc.nat(), (seed, length, other, runs) => {
        const bytes = noise(seed, length, runs % 4);
        const from = Math.min(Math.max(64, other % length), length - 1);
        const found = twin.findFirst(bytes, from, length);
        assert.equal(wasm.findFirst(bytes, from, length), found);
        if (found >= 0) {
          assert.equal(fingerprint(bytes.subarray(found - 64, found), polynomial) & 0xfffffn, 0n);
        }
      }),
      { numRuns: 150 },
    );
  }
});

Deno.test("rabin: a boundary is found wherever it lies, in either lane and at both ends of every length", () => {
  const polynomial = POLYNOMIALS[0]!;
  const wasm = createWasmLoops().createScanner(polynomial);
  const twin = createTwinKernels().createScanner(polynomial);
  // Sixty-four zeros are a boundary, and ones are none.
  for (const length of [1, 2, 3, 64, 65, 127, 128, 129, 32_768, 32_769, 65_537]) {
    for (const place of [1, 2, length >> 1, (length >> 1) + 1, length - 1, length]) {
      if (place < 1 || place > length) continue;
      const bytes = new Uint8Array(64 + length).fill(1);
      bytes.fill(0, place, place + 64);
      assert.equal(twin.findFirst(bytes, 64, bytes.length), 64 + place);
      assert.equal(wasm.findFirst(bytes, 64, bytes.length), 64 + place, `${place} of ${length}`);
    }
    const none = new Uint8Array(64 + length).fill(1);
    assert.equal(wasm.findFirst(none, 64, none.length), -1);
  }
});

Deno.test("rabin: a polynomial of another degree is refused", () => {
  assert.throws(() => makeRabinTables(0x11bn), RangeError);
});

Deno.test("gf2: known irreducible and reducible polynomials", () => {
  for (const p of [0b10n, 0b11n, 0b111n, 0b1011n, 0x11bn, ...POLYNOMIALS]) {
    assert.ok(isIrreducible(p), p.toString(2));
  }
  for (const p of [0n, 1n, 0b101n, 0b110n, 0x11an, POLYNOMIALS[0]! ^ 1n, 0x20000000000003n]) {
    assert.ok(!isIrreducible(p), p.toString(2));
  }
});

Deno.test("poly1305: the example of RFC 8439 and messages that reach the ends of the field", () => {
  const cases: [key: string, message: string, tag: string][] = [
    [
      "85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b",
      "43727970746f6772617068696320466f72756d2052657365617263682047726f7570",
      "a8061dc1305136c6c22b8baf0c0127a9",
    ],
    // RFC 8439 A.3, tests 7 to 9: sums at and just above 2¹³⁰ − 5.
    ["02" + "00".repeat(31), "ff".repeat(16), "03" + "00".repeat(15)],
    ["02" + "00".repeat(15) + "ff".repeat(16), "02" + "00".repeat(15), "03" + "00".repeat(15)],
    [
      "01" + "00".repeat(31),
      "ff".repeat(16) + "f0" + "ff".repeat(15) + "11" + "00".repeat(15),
      "05" + "00".repeat(15),
    ],
    ["02" + "00".repeat(31), "fd" + "ff".repeat(15), "fa" + "ff".repeat(15)],
  ];
  for (const kernels of [createWasmLoops(), createTwinKernels()]) {
    for (const [key, message, expected] of cases) {
      const tag = new Uint8Array(16);
      kernels.poly1305(Uint8Array.fromHex(key), Uint8Array.fromHex(message), tag);
      assert.equal(tag.toHex(), expected, kernels.name);
    }
  }
});

Deno.test("poly1305: WASM and twin give the same tag for any key and length, all-ones bytes among them", () => {
  const wasm = createWasmLoops();
  const twin = createTwinKernels();
  const check = (key: Uint8Array, message: Uint8Array) => {
    const ours = new Uint8Array(16);
    const theirs = new Uint8Array(16);
    wasm.poly1305(key, message, ours);
    twin.poly1305(key, message, theirs);
    assert.equal(ours.toHex(), theirs.toHex(), `${message.length} bytes`);
  };
  const keys = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(keys, fc.integer({ min: 0, max: 3000 }), fc.nat(), fc.nat(4), (key, n, seed, k) => {
      check(key, noise(seed, n, k));
    }),
    { numRuns: 600 },
  );
  const ones = new Uint8Array(32).fill(0xff);
  for (const n of [0, 1, 511, 512, 513, DATA_BYTES_MAX, DATA_BYTES_MAX + 1, 2 * DATA_BYTES_MAX]) {
    check(ones, new Uint8Array(n).fill(0xff));
    check(ones, noise(n, n, 0));
  }
});

/** Pseudo-random bytes; of other kinds: zeros, ones, or noise with runs of one value. */
function noise(seed: number, length: number, kind: number): Uint8Array {
  const bytes = new Uint8Array(length);
  if (kind === 1) return bytes;
  if (kind === 2) return bytes.fill(0xff);
  let x = (seed | 0) || 1;
  for (let i = 0; i < length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes[i] = x;
  }
  if (kind === 3) bytes.fill(0, length >> 2, (length >> 2) + 200);
  return bytes;
}
