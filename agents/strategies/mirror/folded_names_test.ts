import assert from "node:assert/strict";
import fc from "fast-check";
import { foldName } from "../../destinations/name_folding.ts";
import { KIND_DIRECTORY, newStat } from "../../platform/posix.ts";
import { EntryTable, latin1OfUtf8, NONE } from "../../source/entry_table.ts";
import { compareWalkOrder } from "../../source/walk_order.ts";
import { foldedClashes } from "./folded_names.ts";

/** A table of these paths (one byte a character) and the folders above them, as a walk lists it. */
function tableOf(paths: readonly string[]): EntryTable {
  const all = new Set([""]);
  for (const path of paths) {
    for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) {
      all.add(path.slice(0, end));
    }
  }
  const table = EntryTable.create();
  const rows = new Map<string, number>();
  for (const path of [...all].sort(compareWalkOrder)) {
    const slash = path.lastIndexOf("/");
    const parent = path === "" ? NONE : rows.get(path.slice(0, Math.max(0, slash)))!;
    const kind = KIND_DIRECTORY;
    rows.set(path, table.push(parent, path.slice(slash + 1), { ...newStat(), kind }));
  }
  return table;
}

function clashesOf(paths: readonly string[]): string[] {
  const table = tableOf(paths);
  return foldedClashes(table).map((row) => table.pathLatin1(row));
}

Deno.test("of names that differ in case only the first keeps its place", () => {
  assert.deepEqual(clashesOf(["A.txt", "a.txt", "b.txt"]), ["a.txt"]);
  assert.deepEqual(clashesOf(["README", "ReadMe", "readme"]), ["ReadMe", "readme"]);
  assert.deepEqual(clashesOf(["A/x", "b/X", "x"]), [], "the same name in other folders is none");
  assert.deepEqual(clashesOf([]), []);
});

Deno.test("composed and decomposed letters, and letters with several small forms, are one name", () => {
  const names = (text: string[]) => clashesOf(text.map(latin1OfUtf8)).length;
  assert.equal(names(["é", "e\u0301"]), 1);
  assert.equal(names(["É", "e\u0301"]), 1);
  assert.equal(names(["Σ", "σ", "ς"]), 2);
  assert.equal(names(["ä", "a"]), 0);
});

Deno.test("what lies below a folder that lost its place is lost too, and nothing else", () => {
  assert.deepEqual(clashesOf(["Dir/only-here", "dir/sub/file", "dir/z", "dir-2/z"]), [
    "dir",
    "dir/sub",
    "dir/sub/file",
    "dir/z",
  ]);
});

Deno.test("names that are not UTF-8 are compared by their bytes", () => {
  assert.deepEqual(clashesOf(["\xff", "\xfe"]), []);
});

Deno.test("whatever the tree, the rows that are left can live in one folding file system, and one of each name is left", () => {
  const name = fc.string({ unit: fc.constantFrom("a", "A", "b", "B"), minLength: 1, maxLength: 2 });
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
  fc.assert(fc.property(fc.array(path, { maxLength: 20 }), (paths) => {
    const table = tableOf(paths);
    const lost = new Set(foldedClashes(table));
    const folded = (row: number) => foldName(table.pathLatin1(row));
    const rows = Array.from({ length: table.count }, (_, row) => row);
    const left = rows.filter((row) => !lost.has(row));
    assert.equal(new Set(left.map(folded)).size, left.length);
    for (const row of left) assert.ok(!lost.has(table.columns.parent[row]!));
    const tops = (of: number[]) => of.filter((row) => table.columns.parent[row] === 0).map(folded);
    assert.deepEqual(new Set(tops(left)), new Set(tops(rows)));
  }));
});
