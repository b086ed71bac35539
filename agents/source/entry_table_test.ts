import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import {
  anyEntries,
  anyStat,
  anyXattrs,
  byteName,
  tableOf,
} from "../../tests/support/arbitrary_entries.ts";
import { statOf } from "../../tests/support/sample_table.ts";
import { KIND_DIRECTORY, KIND_SYMLINK, newStat } from "../platform/posix.ts";
import { EntryTable, FLAG_SPARSE, latin1OfUtf8, NONE, utf8OfLatin1 } from "./entry_table.ts";

/** What `stat` says of any kind, in full. */
const STORED = [
  "kind",
  "mode",
  "uid",
  "gid",
  "device",
  "inodeLow",
  "inodeHigh",
  "mtimeSec",
  "mtimeNsec",
  "ctimeSec",
  "ctimeNsec",
] as const;

Deno.test("every row comes back as it was put in, also on another thread's view, whatever the bytes and numbers", () => {
  fc.assert(fc.property(anyEntries, (entries) => {
    const { table, parents, paths } = tableOf(entries);
    const shared = EntryTable.fromShare(structuredClone(table.freeze()));
    for (const view of [table, shared]) {
      assert.equal(view.count, entries.length + 1);
      entries.forEach(({ name, stat, target }, k) => {
        const i = k + 1;
        const c = view.columns;
        assert.equal(view.nameLatin1(i), name);
        assert.equal(Buffer.from(view.cName(i)).toString("latin1"), `${name}\0`);
        assert.equal(view.pathLatin1(i), paths[i]);
        assert.equal(c.parent[i], parents[i]);
        assert.equal(c.linkTo[i], NONE);
        assert.equal(c.kind[i], stat.kind);
        for (const field of ["mode", "uid", "gid", "mtimeSec", "mtimeNsec"] as const) {
          assert.equal(c[field][i], stat[field], field);
        }
        if (stat.kind === KIND_SYMLINK) {
          assert.equal(Buffer.from(view.cLinkTarget(i)).toString("latin1"), `${target}\0`);
          assert.equal(c.sizeBytes[i], target.length);
        } else assert.ok(view.sameStat(i, stat));
        assert.equal(view.isHashed(i), false);
        const out = newStat();
        view.getStat(i, out);
        for (const field of STORED) assert.equal(out[field], stat[field], field);
        if (stat.kind !== KIND_DIRECTORY) assert.equal(out.linkCount, Math.max(1, stat.linkCount));
      });
    }
  }));
});

Deno.test("one different number is another version of the file", () => {
  const fields = [
    "sizeBytes",
    "mtimeSec",
    "mtimeNsec",
    "ctimeSec",
    "ctimeNsec",
    "inodeLow",
    "inodeHigh",
  ] as const;
  fc.assert(fc.property(anyStat, fc.constantFrom(...fields), (stat, field) => {
    const table = EntryTable.create();
    table.push(NONE, "", stat);
    const changed = { ...stat, [field]: stat[field] === 5 ? 6 : 5 };
    assert.equal(table.sameStat(0, changed), false);
    // The mode and the owner are not content.
    assert.equal(table.sameStat(0, { ...stat, mode: stat.mode ^ 1, uid: 77 }), true);
  }));
});

Deno.test("a hash that one thread fills in is there for all, with what was read", () => {
  const table = EntryTable.create(1);
  for (let k = 0; k < 5; k++) table.push(NONE, `n${k}`, statOf({ sizeBytes: k }));
  const share = table.freeze();
  const other = EntryTable.fromShare(share);
  const sha256 = Buffer.from(new Uint8Array(32).map((_, k) => 255 - k)).toString("hex");
  EntryTable.fromShare(share).setHashed(3, statOf({ sizeBytes: 999, mtimeSec: -7 }), sha256);
  assert.deepEqual([0, 1, 2, 3, 4].map((i) => other.isHashed(i)), [
    false,
    false,
    false,
    true,
    false,
  ]);
  assert.equal(other.sha256Hex(3), sha256);
  assert.equal(other.sha256Hex(2) + other.sha256Hex(4), "0".repeat(128));
  assert.equal(other.columns.sizeBytes[3], 999);
  assert.equal(other.columns.mtimeSec[3], -7);
});

Deno.test("bytes and text: UTF-8 survives the way there and back, other bytes are shown and not lost", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), (text) => {
    const whole = text.toWellFormed();
    assert.equal(utf8OfLatin1(latin1OfUtf8(whole)), whole);
  }));
  fc.assert(fc.property(byteName, (name) => {
    const table = EntryTable.create();
    table.push(NONE, "", statOf({}));
    table.push(0, name, statOf({}));
    assert.equal(table.pathText(1), Buffer.from(name, "latin1").toString("utf8"));
  }));
});

Deno.test("attributes come back on every thread's view, equal ones are kept once, and a read can replace them", () => {
  fc.assert(fc.property(fc.array(anyXattrs, { minLength: 1, maxLength: 10 }), (lists) => {
    const table = EntryTable.create(1);
    for (const list of [...lists, lists[0]!]) {
      table.setXattrs(table.push(NONE, "n", statOf({})), list);
    }
    const share = table.freeze();
    const views = [
      table,
      EntryTable.fromShare(structuredClone(share)),
      EntryTable.fromShare(share),
    ];
    for (const view of views) {
      lists.forEach((list, k) => {
        assert.deepEqual(view.xattrs(k), list);
        assert.equal(view.hasXattrs(k), list.length > 0);
      });
    }
    const { xattrs } = table.columns;
    assert.equal(xattrs[lists.length], xattrs[0]);

    // Each row gets the attributes of the next one, from one view after the other.
    const next = (k: number) => lists[(k + 1) % lists.length]!;
    lists.forEach((_, k) => views[k % 3]!.setHashed(k, statOf({}), "00".repeat(32), next(k)));
    for (const view of views) lists.forEach((_, k) => assert.deepEqual(view.xattrs(k), next(k)));
    assert.deepEqual(table.xattrs(lists.length), lists[0]);
  }));
});

Deno.test("a file that takes less room than its size is flagged, also when that shows only later", () => {
  const table = EntryTable.create();
  const whole = statOf({ sizeBytes: 8192, allocatedBytes: 8192 });
  const holed = statOf({ sizeBytes: 8192, allocatedBytes: 4096 });
  const flag = (row: number) => table.columns.flags[row]! & FLAG_SPARSE;
  const [a, b] = [table.push(NONE, "a", whole), table.push(NONE, "b", holed)];
  assert.deepEqual([flag(a), flag(b)], [0, FLAG_SPARSE]);
  assert.equal(flag(table.push(NONE, "d", { ...holed, kind: KIND_SYMLINK })), 0);
  table.freeze();
  table.setHashed(a, holed, "00".repeat(32));
  table.setHashed(b, whole, "00".repeat(32));
  assert.deepEqual([flag(a), flag(b)], [FLAG_SPARSE, 0]);
});
