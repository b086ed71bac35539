import assert from "node:assert/strict";
import fc from "fast-check";
import { BackupError } from "../../protocol/base/errors.ts";
import { cleanPath, Selection } from "./selection.ts";

const select = (options: Partial<ConstructorParameters<typeof Selection>[0]>) =>
  new Selection({ paths: [], includes: [], excludes: [], ...options });

Deno.test("selection: paths mean what is at and below them, and folders on the way are only looked into", () => {
  const some = select({ paths: ["a/b/", "/c"] });
  const facts = (path: string, isFolder: boolean) => [
    some.looksAt(path, isFolder),
    some.asksFor(path, isFolder),
  ];
  assert.deepEqual(facts("/a", true), [true, false]);
  assert.deepEqual(facts("/a", false), [false, false]);
  assert.deepEqual(facts("/a/b", true), [true, true]);
  assert.deepEqual(facts("/a/b/x/y", false), [true, true]);
  assert.deepEqual(facts("/a/bc", true), [false, false]);
  assert.deepEqual(facts("/c", false), [true, true]);
  assert.equal(select({ paths: ["/"] }).isWhole, true);
  assert.equal(cleanPath("//a/./b/"), "/a/b");
});

Deno.test("selection: patterns take and leave, and what is left out is never asked for", () => {
  const some = select({ includes: ["*.txt", "/keep/"], excludes: ["private/"] });
  assert.equal(some.asksFor("/x/a.txt", false), true);
  assert.equal(some.asksFor("/x/a.jpg", false), false);
  assert.equal(some.asksFor("/keep/a.jpg", false), true);
  assert.equal(some.looksAt("/x", true), true);
  assert.equal(some.asksFor("/x", true), false);
  assert.equal(some.looksAt("/x/private", true), false);
  assert.equal(some.asksFor("/x/private/a.txt", false), false);
  assert.throws(
    () => select({ excludes: ["["] }),
    (error) => error instanceof BackupError && error.code === "usage",
  );
});

Deno.test("selection: every folder on the way to what is asked for is looked at", () => {
  const name = fc.constantFrom("a", "b", "c.txt");
  const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => `/${names.join("/")}`);
  const list = (of: fc.Arbitrary<string>) => fc.array(of, { maxLength: 2 });
  fc.assert(
    fc.property(
      path,
      list(path),
      list(fc.constantFrom("*.txt", "a/", "/b", "b/c.txt")),
      list(fc.constantFrom("c.txt", "/a/b", "b/")),
      (wanted, paths, includes, excludes) => {
        const some = select({ paths, includes, excludes });
        if (!some.asksFor(wanted, false)) return;
        assert.ok(some.looksAt(wanted, false));
        for (let at = wanted.indexOf("/", 1); at > 0; at = wanted.indexOf("/", at + 1)) {
          assert.ok(some.looksAt(wanted.slice(0, at), true), `${wanted}: ${wanted.slice(0, at)}`);
        }
      },
    ),
  );
});
