import assert from "node:assert/strict";
import fc from "fast-check";
import { anyXattrs } from "../../../tests/support/arbitrary_entries.ts";
import { statOf } from "../../../tests/support/sample_table.ts";
import { EntryTable, FLAG_XATTRS_UNKNOWN, NONE } from "../../source/entry_table.ts";
import type { Xattr } from "../../source/xattrs.ts";
import { lineOfRow, type ManifestEntry } from "./manifest_line.ts";
import { recordsXattrs, xattrsField, xattrsOfEntry } from "./manifest_xattrs.ts";

function tableWith(list: readonly Xattr[]): EntryTable {
  const table = EntryTable.create();
  const row = table.push(NONE, "", statOf({ kind: 1 }));
  table.setXattrs(row, list);
  return table;
}

const plain = (list: readonly Xattr[]) =>
  list.map(({ name, value }) => [name, [...value]] as const).sort();

Deno.test("any attributes come back from a line, names that are not UTF-8 too", () => {
  fc.assert(fc.property(anyXattrs, (list) => {
    if (list.length === 0) return;
    const entry = JSON.parse(`{${xattrsField(list)}}`) as ManifestEntry;
    assert.deepEqual(plain(xattrsOfEntry(entry)), plain(list));
    const table = tableWith(list);
    const line = JSON.parse(lineOfRow(table, 0, "", {})) as ManifestEntry;
    assert.deepEqual(line.xattrs, entry.xattrs);
    assert.ok(recordsXattrs(line, table, 0));
  }));
});

Deno.test("one attribute more, less or other is a change, unless they could not be read", () => {
  const value = Uint8Array.of(1, 2);
  const list = [{ name: "user.a", value }, { name: "user.b", value }];
  const entry = JSON.parse(lineOfRow(tableWith(list), 0, "", {})) as ManifestEntry;
  const others = [
    [],
    list.slice(1),
    [...list, { name: "user.c", value }],
    [list[0]!, { name: "user.b", value: Uint8Array.of(1, 3) }],
    [list[0]!, { name: "user.x", value }],
  ];
  for (const other of others) {
    const table = tableWith(other);
    assert.ok(!recordsXattrs(entry, table, 0), JSON.stringify(other));
    table.columns.flags[0]! |= FLAG_XATTRS_UNKNOWN;
    assert.ok(recordsXattrs(entry, table, 0));
  }
  // The same in another order, as another version may have written it.
  const swapped = { ...entry, xattrs: Object.fromEntries(Object.entries(entry.xattrs!).reverse()) };
  assert.ok(recordsXattrs(swapped, tableWith(list), 0));
  assert.ok(recordsXattrs({}, tableWith([]), 0));
});

Deno.test("a line without attributes has none, whatever stands in their place", () => {
  assert.deepEqual(xattrsOfEntry({}), []);
  const odd = JSON.parse('{"xattrs":{"user.a":5,"user.b":"AQ=="}}') as ManifestEntry;
  assert.deepEqual(plain(xattrsOfEntry(odd)), [["user.b", [1]]]);
  assert.deepEqual(xattrsOfEntry(JSON.parse('{"xattrs":null}') as ManifestEntry), []);
});
