import assert from "node:assert/strict";
import { CAPABILITIES, capabilityId, missingCapabilities } from "./capability.ts";

Deno.test("an id is itself and a bare word is its alias", () => {
  for (const id of CAPABILITIES) assert.equal(capabilityId(id), id);
  for (const word of ["sequential", "parallel", "verify", "restore"]) {
    assert.equal(capabilityId(word), `backup.${word}`);
  }
});

Deno.test("what is no capability has no id, whatever an object inherits", () => {
  for (
    const text of [
      "",
      "Parallel",
      "backup.",
      "backup.mirror",
      "toString",
      "__proto__",
      "constructor",
    ]
  ) {
    assert.equal(capabilityId(text), undefined, text);
  }
});

Deno.test("D3: required and offered match by wire id, written either way", () => {
  assert.deepEqual(missingCapabilities(["parallel"], ["backup.parallel"]), []);
  assert.deepEqual(missingCapabilities(["backup.parallel"], ["parallel"]), []);
  assert.deepEqual(missingCapabilities(["mirror", "verify"], ["mirror", "backup.verify", "x"]), []);
  assert.deepEqual(missingCapabilities([], []), []);
});

Deno.test("what is missing is named as it was asked for, also what nobody knows", () => {
  assert.deepEqual(missingCapabilities(["verify", "encrypt", "fly"], ["encrypt"]), [
    "verify",
    "fly",
  ]);
  assert.deepEqual(missingCapabilities(["fly"], ["fly"]), []);
});
