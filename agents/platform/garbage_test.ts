import { strict as assert } from "node:assert";
import { Garbage, HASH_GARBAGE_BYTES } from "./garbage.ts";

Deno.test("garbage is collected once in 16 MiB of it, which is once in 16,384 hashes", () => {
  let collections = 0;
  const garbage = new Garbage(() => collections++);
  for (let n = 0; n < 40_000; n++) garbage.made(HASH_GARBAGE_BYTES);
  assert.equal(collections, 2);
});

Deno.test("where V8 offers no collection, nothing is asked of it", () => {
  const garbage = new Garbage(undefined);
  for (let n = 0; n < 40_000; n++) garbage.made(HASH_GARBAGE_BYTES);
});
