import assert from "node:assert/strict";
import fc from "fast-check";
import { runsOfData } from "./zero_blocks.ts";

const BLOCK = 4096;

/** Stretches of zeros and of data, about as long as blocks and pieces are. */
const anyBytes = fc.array(
  fc.record({
    length: fc.oneof(fc.nat(3 * BLOCK), fc.constantFrom(BLOCK, 8 * BLOCK, 256 << 10)),
    byte: fc.constantFrom(0, 0, 9),
    last: fc.constantFrom(0, 1),
  }),
  { maxLength: 8 },
).map((parts) => {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const { length, byte, last } of parts) {
    bytes.fill(byte, at, at + length);
    at += length;
    if (length > 0 && last > 0) bytes[at - 1] = last;
  }
  return bytes;
});

Deno.test("what is written over zeros gives the file again, and no whole block of zeros is written", () => {
  fc.assert(fc.property(anyBytes, fc.constantFrom(0, 2 << 20, BLOCK, 1000), (bytes, offset) => {
    const copy = new Uint8Array(bytes.length);
    let before = -1;
    for (const { start, end } of runsOfData(bytes, offset)) {
      assert.ok(before < start && start < end, "in order, apart");
      before = end;
      copy.set(bytes.subarray(start, end), start);
      const firstBlock = start + (BLOCK - (offset + start) % BLOCK) % BLOCK;
      for (let at = firstBlock; at + BLOCK <= end; at += BLOCK) {
        assert.ok(bytes.subarray(at, at + BLOCK).some((byte) => byte !== 0), `zeros at ${at}`);
      }
    }
    assert.ok(copy.every((byte, k) => byte === bytes[k]));
  }));
});

Deno.test("shared memory is looked at as it is", () => {
  const bytes = new Uint8Array(new SharedArrayBuffer(1 << 20));
  assert.deepEqual([...runsOfData(bytes, 0)], []);
  bytes[300_000] = 1;
  assert.deepEqual([...runsOfData(bytes, 0)], [{ start: 299_008, end: 303_104 }]);
});
