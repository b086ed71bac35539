import assert from "node:assert/strict";
import { parseIgnoreFile, trimTrailingSpaces } from "./ignore_file.ts";

Deno.test("patterns keep their line numbers; comments, blank lines, CR and a BOM are left out", () => {
  const text = "\uFEFF*.log\r\n# comment\n\n   \n\\#name\n  lead  \nlast\\ ";
  assert.deepEqual(parseIgnoreFile(text, "D/.backupignore"), [
    { pattern: "*.log", origin: "D/.backupignore:1" },
    { pattern: "\\#name", origin: "D/.backupignore:5" },
    { pattern: "  lead", origin: "D/.backupignore:6" },
    { pattern: "last\\ ", origin: "D/.backupignore:7" },
  ]);
});

Deno.test("an empty file has no patterns", () => {
  assert.deepEqual(parseIgnoreFile("", "x"), []);
  assert.deepEqual(parseIgnoreFile("\n# only comments", "x"), []);
});

Deno.test("spaces at the end go, except one behind a backslash that is not itself escaped", () => {
  const cases = {
    "a  ": "a",
    "a\\  ": "a\\ ",
    "a\\\\ ": "a\\\\",
    "a b ": "a b",
    "   ": "",
    "a\\": "a\\",
  };
  for (const [text, trimmed] of Object.entries(cases)) {
    assert.equal(trimTrailingSpaces(text), trimmed, JSON.stringify(text));
  }
});
