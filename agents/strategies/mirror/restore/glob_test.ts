import assert from "node:assert/strict";
import fc from "fast-check";
import { globMatcher } from "./glob.ts";

Deno.test("a pattern without a slash is for the name, one with a slash for the path or its end", () => {
  const cases: [pattern: string, path: string, matches: boolean][] = [
    ["*.txt", "a/b/c.txt", true],
    ["*.txt", "a/b.txt/c", false],
    ["b/*.txt", "a/b/c.txt", true],
    ["b/*.txt", "a/xb/c.txt", false],
    ["/b/*.txt", "a/b/c.txt", false],
    ["/a/**", "a/b/c.txt", true],
    ["a/*", "a/b/c", false],
    ["a/**/c", "a/c", true],
    ["a/**/c", "a/b/b/c", true],
    ["?", "é", true],
    ["?", "🗄", true],
    ["[a-c]x", "bx", true],
    ["[!a-c]x", "bx", false],
    ["[]]", "]", true],
    ["[z-a]", "[z-a]", true],
    ["[", "[", true],
    ["a[", "a[", true],
    ["\\*", "*", true],
    ["\\*", "x", false],
    ["a.b", "axb", false],
    ["*", "line\nbreak", true],
    ["**", "line\nbreak", true],
  ];
  for (const [pattern, path, matches] of cases) {
    assert.equal(globMatcher(pattern, false)(path), matches, `${pattern} for ${path}`);
  }
  assert.equal(globMatcher("CAFÉ*", true)("x/café.txt"), true);
});

Deno.test("whatever is typed is a pattern, and a name with its special characters escaped matches itself", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), fc.boolean(), (pattern, ignoreCase) => {
    globMatcher(pattern, ignoreCase)("a/name");
  }));
  fc.assert(
    fc.property(fc.string({ minLength: 1 }).filter((name) => !name.includes("/")), (name) => {
      assert.ok(globMatcher(name.replace(/[\\*?[]/g, "\\$&"), false)(`folder/${name}`));
    }),
  );
});
