import assert from "node:assert/strict";
import { CAPABILITIES } from "../../protocol/mesh/capability.ts";
import { byName, capabilityWords, placeTestWords } from "./words.ts";

Deno.test("a place that was tried is called what it was found to be", () => {
  const text = (found: unknown) => placeTestWords("NAS", { found }).text;
  assert.equal(text({ exists: true, isWritable: true }), "NAS can be written");
  assert.equal(text({ exists: true }), "NAS is there");
  assert.equal(
    text({ exists: false, isWritable: true }),
    "NAS is not there yet; the first run makes it",
  );
  assert.deepEqual(
    placeTestWords("NAS", { found: { exists: true, isWritable: false, problem: "read-only" } }),
    { isWell: false, text: "NAS: read-only" },
  );
});

Deno.test("names with numbers are in the order of the numbers, and all capabilities are one word", () => {
  assert.deepEqual(["w-10", "w-2", "a"].sort(byName), ["a", "w-2", "w-10"]);
  assert.equal(capabilityWords(CAPABILITIES), "everything");
  const withoutRestore = CAPABILITIES.filter((id) => id !== "backup.restore");
  assert.doesNotMatch(capabilityWords(withoutRestore), /everything|restore/);
  assert.equal(capabilityWords(["backup.verify", "mirror"]), "verify, mirror");
});
