import assert from "node:assert/strict";
import fc from "fast-check";
import { addToCounter, createKernels } from "../kernels/mod.ts";
import { SealingKey } from "./sealing_key.ts";
import { newMasterKey } from "./key_file.ts";

const kernels = createKernels();

Deno.test("sealing: what was sealed opens, with this key only, and no two nonces overlap", () => {
  const key = new SealingKey(kernels, newMasterKey());
  const other = new SealingKey(kernels, newMasterKey());
  const used = new Set<bigint>();
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (plain) => {
    const sealed = key.seal(plain);
    assert.deepEqual(key.open(sealed), plain);
    assert.equal(other.open(sealed), undefined);
    let counter = BigInt(`0x${sealed.subarray(0, 16).toHex()}`);
    for (let at = 0; at === 0 || at < plain.length; at += 16) {
      assert.ok(!used.has(counter), "a counter block is used twice");
      used.add(counter++);
    }
  }));
});

Deno.test("sealing: a stream that goes on encrypts as a new one with its nonce does", () => {
  const key = new SealingKey(kernels, newMasterKey());
  for (const length of [0, 1, 15, 16, 17, 100_000, 3, 0, 5]) {
    const plain = new Uint8Array(length).fill(length);
    const sealed = key.seal(plain);
    assert.deepEqual(key.sealWithNonce(plain, sealed.slice(0, 16)), sealed);
  }
});

Deno.test("sealing: every flipped bit, every cut and a nonce of zeros are refused", () => {
  const key = new SealingKey(kernels, newMasterKey());
  const sealed = key.seal(new TextEncoder().encode("some bytes"));
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const bytes = sealed.slice();
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    assert.equal(key.open(bytes), undefined, `bit ${bit}`);
  }
  for (let length = 0; length < sealed.length; length++) {
    assert.equal(key.open(sealed.subarray(0, length)), undefined);
  }
  assert.equal(key.open(key.sealWithNonce(new Uint8Array(5), new Uint8Array(16))), undefined);
});

Deno.test("sealing: a key of zeros or of another length is refused", () => {
  const material = newMasterKey();
  for (const part of ["encrypt", "macK", "macR"] as const) {
    for (const wrong of [new Uint8Array(material[part].length), material[part].subarray(1)]) {
      assert.throws(() => new SealingKey(kernels, { ...material, [part]: wrong }), RangeError);
    }
  }
});

Deno.test("sealing: the counter is one number of 128 bits and wraps", () => {
  const counter = Uint8Array.fromHex("00".repeat(14) + "ffff");
  addToCounter(counter, 2);
  assert.equal(counter.toHex(), "00".repeat(13) + "010001");
  const last = Uint8Array.fromHex("ff".repeat(16));
  addToCounter(last, 1);
  assert.equal(last.toHex(), "00".repeat(16));
});
