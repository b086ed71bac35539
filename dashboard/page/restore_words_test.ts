import assert from "node:assert/strict";
import { restoreWords } from "./restore_words.ts";

const TARGET = { target: "/back", overwrites: false };

Deno.test("a chosen restore is typed for a place of copies, and for one snapshot of a repository", () => {
  const from = "/mnt/a";
  assert.deepEqual(
    restoreWords({ ...TARGET, from, paths: ["docs/a"], overwrites: true }),
    ["restore", "docs/a", "--from", from, "--target", "/back", "--overwrite"],
  );
  const repository = "restic:/mnt/r";
  const words = (...paths: string[]) => restoreWords({ ...TARGET, from: repository, paths });
  const end = ["--target", "/back"];
  assert.deepEqual(words(), ["restore", repository, ...end]);
  assert.deepEqual(
    words("1a2b3c4d/home/a", "1a2b3c4d/home/b"),
    ["restore", repository, "/home/a", "/home/b", "--snapshot", "1a2b3c4d", ...end],
  );
  assert.deepEqual(
    words("1a2b3c4d", "1a2b3c4d/b"),
    ["restore", repository, "--snapshot", "1a2b3c4d", ...end],
  );
  assert.equal(words("1a2b3c4d/a", "99999999/a"), undefined, "two commands");
});
