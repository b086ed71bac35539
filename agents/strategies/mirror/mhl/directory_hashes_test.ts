/** Directory hashes and C4 against values that were published with the reference implementation and with C4. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { c4Of } from "./c4.ts";
import { DirectoryHasher } from "./directory_hashes.ts";
import { Xxh64 } from "./xxh64.ts";

const nameOf = (text: string) => new TextEncoder().encode(text);

Deno.test("a folder with a folder in it has the hashes of the reference's fifth scenario", () => {
  const hash = new Xxh64();
  const clips = new DirectoryHasher(hash);
  // In neither order of names nor of hashes: both orders are the hasher's own business.
  clips.addFile(nameOf("A003C012_141024_R2EC.mov"), "5dbca064ddddd6fc");
  clips.addFile(nameOf("A003C011_141024_R2EC.mov"), "52392f79a36d6571");
  const clipHashes = clips.finish();
  assert.deepEqual(clipHashes, { content: "f2afc6434255a53d", structure: "a25d5ca89c95f9e2" });
  const card = new DirectoryHasher(hash);
  card.addFile(nameOf("Sidecar.txt"), "e5dda75a353d8b34");
  card.addDirectory(nameOf("Clips"), clipHashes);
  assert.deepEqual(card.finish(), { content: "7a82373c131cf40a", structure: "1131a950fcc55e4b" });
});

Deno.test("an empty folder has the hash of nothing", () => {
  const nothing = new Xxh64().hex();
  assert.deepEqual(new DirectoryHasher(new Xxh64()).finish(), {
    content: nothing,
    structure: nothing,
  });
});

Deno.test("the C4 of nothing is the published one", () => {
  assert.equal(
    c4Of(createHash("sha512")),
    "c459dsjfscH38cYeXXYogktxf4Cd9ibshE3BHUo6a58hBXmRQdZrAkZzsWcbWtDg5oQstpDuni4Hirj75GEmTc1sFT",
  );
});
