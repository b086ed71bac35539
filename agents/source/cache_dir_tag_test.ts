import assert from "node:assert/strict";
import { CACHE_DIR_TAG_BYTES, isCacheDirectoryTag } from "./cache_dir_tag.ts";

const SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55";
const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("the signature is 43 bytes long and anything may follow it", () => {
  assert.equal(CACHE_DIR_TAG_BYTES, 43);
  assert.ok(isCacheDirectoryTag(bytes(SIGNATURE)));
  assert.ok(isCacheDirectoryTag(bytes(`${SIGNATURE}\n# made by a tool\n`)));
});

Deno.test("a shorter, later or different start is no tag", () => {
  assert.ok(!isCacheDirectoryTag(new Uint8Array()));
  assert.ok(!isCacheDirectoryTag(bytes(SIGNATURE.slice(0, -1))));
  assert.ok(!isCacheDirectoryTag(bytes(` ${SIGNATURE}`)));
  assert.ok(!isCacheDirectoryTag(bytes(SIGNATURE.toLowerCase())));
  for (let at = 0; at < 43; at++) {
    const damaged = bytes(SIGNATURE);
    damaged[at]! ^= 1;
    assert.ok(!isCacheDirectoryTag(damaged), `byte ${at}`);
  }
});
