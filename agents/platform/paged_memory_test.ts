import assert from "node:assert/strict";
import fc from "fast-check";
import { pagedMemory } from "./paged_memory.ts";
import { DIRECT_BLOCK_BYTES } from "./posix.ts";

Deno.test("paged memory: of any size it has that size, and begins where a block of a disk may be read to", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3 << 20 }), (sizeBytes) => {
      const memory = pagedMemory(sizeBytes);
      assert.equal(memory.byteLength, sizeBytes);
      const bytes: Uint8Array = new Uint8Array(memory, 0, sizeBytes);
      const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes as BufferSource));
      assert.equal(BigInt(address) % BigInt(DIRECT_BLOCK_BYTES), 0n);
    }),
    { numRuns: 20 },
  );
});
