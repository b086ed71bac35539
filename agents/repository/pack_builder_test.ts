import assert from "node:assert/strict";
import { PACK_BLOBS_MAX, PackBuilder } from "./pack_builder.ts";

const ID = "ab".repeat(32);

Deno.test("a pack is full at its bytes, and of tiny blobs at their number", () => {
  const large = new PackBuilder({ targetBytes: 1000 });
  large.add("data", ID, new Uint8Array(999), 0);
  assert.ok(!large.isFull);
  large.add("data", ID, new Uint8Array(1), 0);
  assert.ok(large.isFull);

  const tiny = new PackBuilder();
  for (let i = 1; i < PACK_BLOBS_MAX; i++) tiny.add("data", ID, new Uint8Array(33), 0);
  assert.ok(!tiny.isFull);
  tiny.add("data", ID, new Uint8Array(33), 0);
  assert.ok(tiny.isFull);
});
