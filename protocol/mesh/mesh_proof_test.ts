import assert from "node:assert/strict";
import * as v from "valibot";
import { isMeshProof, MeshNonce, meshProof } from "./mesh_proof.ts";

const URL = "http://127.0.0.1:8801/rpc";
const NONCE = "V1StGXR8_Z5jdHi6";

Deno.test("a proof fits one token, one nonce and one address", () => {
  const proof = meshProof("secret", NONCE, URL);
  assert.ok(isMeshProof(proof, "secret", NONCE, URL));
  assert.ok(!isMeshProof(proof, "other", NONCE, URL));
  assert.ok(!isMeshProof(proof, "secret", `${NONCE}x`, URL));
  assert.ok(!isMeshProof(proof, "secret", NONCE, "http://127.0.0.1:8850/rpc"));
  assert.ok(!isMeshProof("", "secret", NONCE, URL));
});

Deno.test("a nonce is short and plain", () => {
  for (const bad of ["", "short", "x".repeat(65), "with space 12345678", "nl\n1234567890123456"]) {
    assert.ok(!v.is(MeshNonce, bad), JSON.stringify(bad));
  }
  assert.ok(v.is(MeshNonce, NONCE));
});
