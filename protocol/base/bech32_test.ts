import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeBech32, encodeBech32 } from "./bech32.ts";

Deno.test("bech32: BIP 173's examples that are valid and those that are not", () => {
  assert.equal(decodeBech32("A12UEL5L")?.prefix, "a");
  assert.equal(decodeBech32("a12uel5l")?.bytes.length, 0);
  assert.equal(decodeBech32("?1ezyfcl")?.prefix, "?");
  const alphabet = decodeBech32("abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw");
  assert.equal(
    Array.from(alphabet!.bytes, (byte) => byte.toString(16).padStart(2, "0")).join(""),
    "00443214c74254b635cf84653a56d7c675be77df",
  );
  const wrong = ["pzry9x0s0muk", "1pzry9x0s0muk", "x1b4n0q5v", "li1dgmt3", "A1G7SGD8", "a12UEL5L"];
  for (const text of wrong) assert.equal(decodeBech32(text), undefined, text);
});

Deno.test("bech32: any bytes come back, and one other letter is always found", () => {
  const place = fc.nat(1000);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), place, place, (bytes, where, other) => {
    const text = encodeBech32("age", bytes);
    assert.deepEqual(decodeBech32(text), { prefix: "age", bytes });
    const at = 4 + where % (text.length - 4);
    const letter = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"[other % 32]!;
    if (letter === text[at]) return;
    assert.equal(decodeBech32(text.slice(0, at) + letter + text.slice(at + 1)), undefined);
  }));
});
