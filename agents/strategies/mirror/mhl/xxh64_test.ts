/** XXH64 against published values and the stock program. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { runProgram } from "../../../../tests/support/run_program.ts";
import { findProgram, needs } from "../../../../tests/support/tools.ts";
import { Xxh64 } from "./xxh64.ts";

function hexOf(...parts: Uint8Array[]): string {
  const hash = new Xxh64();
  for (const part of parts) hash.update(part);
  return hash.hex();
}

/** Bytes without a pattern of 32. */
function sample(lengthBytes: number): Uint8Array {
  return Uint8Array.from({ length: lengthBytes }, (_, k) => (k * 167 + (k >> 8) * 31) & 255);
}

Deno.test("the published values come out", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  assert.equal(hexOf(), "ef46db3751d8e999");
  assert.equal(hexOf(bytes("a")), "d24ec4f1a98c6e5b");
  assert.equal(hexOf(bytes("abc")), "44bc2cf5ad770999");
});

Deno.test({
  ...needs("xxh64sum says the same of every length around stripes and pieces", "xxh64sum"),
  async fn() {
    const folder = Deno.makeTempDirSync();
    try {
      const lengths = [...Array(70).keys(), 255, 4096, 262_143, 262_144, 262_145, 1_000_003];
      for (const length of lengths) writeFileSync(`${folder}/${length}`, sample(length));
      const { code, out, err } = await runProgram(findProgram("xxh64sum")!, [
        ...lengths.map((length) => `${folder}/${length}`),
      ]);
      assert.equal(code, 0, err);
      const lines = out.trim().split("\n");
      assert.equal(lines.length, lengths.length);
      lines.forEach((line, k) =>
        assert.equal(hexOf(sample(lengths[k]!)), line.split(" ")[0], `${lengths[k]} bytes`)
      );
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
});

Deno.test("it does not matter where the input is cut, and a hash can be used again", () => {
  const whole = sample(10_000);
  const expected = hexOf(whole);
  const hash = new Xxh64();
  for (const step of [1, 7, 31, 32, 33, 4096]) {
    hash.reset();
    for (let at = 0; at < whole.length; at += step) hash.update(whole.subarray(at, at + step));
    assert.equal(hash.hex(), expected, `cut every ${step} bytes`);
  }
});
