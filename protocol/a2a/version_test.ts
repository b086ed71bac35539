/** Which versions and extensions are accepted. */
import assert from "node:assert/strict";
import { RpcError } from "../rpc/rpc_error.ts";
import { activatedExtensions, requireExtensions, requireVersion } from "./version.ts";

function codeFor(version: string | undefined): number | "accepted" {
  try {
    requireVersion({ caller: "me", header: () => version });
    return "accepted";
  } catch (thrown) {
    assert(thrown instanceof RpcError);
    assert.match(JSON.stringify(thrown.data), /"reason":"VERSION_NOT_SUPPORTED"/);
    return thrown.code;
  }
}

Deno.test("version 1.0 is accepted whatever its patch level", () => {
  for (const version of ["1.0", "1.0.0", "1.0.1", " 1.0 "]) {
    assert.equal(codeFor(version), "accepted", version);
  }
});

Deno.test("other versions, and requests that state none, are refused with -32009", () => {
  for (const version of [undefined, "", "0.3", "1", "1.1", "10.0", "1.0.x", "nonsense"]) {
    assert.equal(codeFor(version), -32009, String(version));
  }
});

Deno.test("only extensions that are asked for and known are activated", () => {
  assert.deepEqual(activatedExtensions("urn:b , urn:a", ["urn:a", "urn:c"]), ["urn:a"]);
  assert.deepEqual(activatedExtensions(undefined, ["urn:a"]), []);
});

Deno.test("a call that does not activate a required extension is refused with -32008", () => {
  const call = (asked: string | undefined) => () =>
    requireExtensions({ caller: "me", header: () => asked }, ["urn:a", "urn:b"]);
  call("urn:c, urn:b,urn:a")();
  for (const asked of [undefined, "", "urn:a", "urn:abc"]) {
    assert.throws(call(asked), (thrown) => thrown instanceof RpcError && thrown.code === -32008);
  }
});
