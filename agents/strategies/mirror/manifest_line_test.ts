import assert from "node:assert/strict";
import fc from "fast-check";
import {
  anyEntries,
  anyStat,
  byteName,
  tableOf,
} from "../../../tests/support/arbitrary_entries.ts";
import { tableOfFiles } from "../../../tests/support/sample_table.ts";
import { KIND_FILE, KIND_SYMLINK } from "../../platform/posix.ts";
import { NONE, utf8OfLatin1 } from "../../source/entry_table.ts";
import {
  entryPathLatin1,
  inodeText,
  lineOfRow,
  type ManifestEntry,
  nanoseconds,
  recordedAsItIs,
} from "./manifest_line.ts";

const SHA256 = "0123456789abcdef".repeat(4);

Deno.test("nanoseconds are exact before 1970, now and far from now", () => {
  assert.equal(nanoseconds(0, 0), "0");
  assert.equal(nanoseconds(0, 7), "7");
  assert.equal(nanoseconds(1, 7), "1000000007");
  assert.equal(nanoseconds(-1, 999_999_999), "-1");
  assert.equal(nanoseconds(-1, 0), "-1000000000");
  assert.equal(nanoseconds(2 ** 53 - 1, 999_999_999), "9007199254740991999999999");
  fc.assert(
    fc.property(fc.maxSafeInteger(), fc.integer({ min: 0, max: 999_999_999 }), (sec, nsec) => {
      assert.equal(nanoseconds(sec, nsec), String(BigInt(sec) * 1_000_000_000n + BigInt(nsec)));
    }),
  );
});

Deno.test("inode numbers of 64 bits keep every digit", () => {
  assert.equal(inodeText(5, 0), "5");
  assert.equal(inodeText(0xffffffff, 0xffffffff), "18446744073709551615");
  assert.equal(inodeText(1, 0x200000), "9007199254740993");
});

Deno.test("a line is one line of JSON that says exactly what the row says, for any bytes", () => {
  fc.assert(fc.property(anyEntries, (entries) => {
    const { table, paths } = tableOf(entries);
    table.freeze();
    entries.forEach(({ stat, target }, k) => {
      const path = paths[k + 1]!;
      const line = lineOfRow(table, k + 1, path, { sha256: SHA256, verifiedAtMs: 1234 });
      assert.ok(!line.includes("\n"));
      const entry = JSON.parse(line) as ManifestEntry;
      assert.equal(entryPathLatin1(entry), path);
      assert.equal(entry.path, utf8OfLatin1(path));
      assert.equal(entry.mtimeNs, nanoseconds(stat.mtimeSec, stat.mtimeNsec));
      assert.deepEqual([entry.mode, entry.uid, entry.gid], [stat.mode, stat.uid, stat.gid]);
      assert.equal(entry.verifiedAtMs, 1234);
      if (stat.kind === KIND_FILE) {
        assert.equal(entry.type, "file");
        assert.equal(entry.sizeBytes, stat.sizeBytes);
        assert.equal(entry.inode, inodeText(stat.inodeLow, stat.inodeHigh));
        assert.equal(entry.ctimeNs, nanoseconds(stat.ctimeSec, stat.ctimeNsec));
      }
      if (stat.kind === KIND_SYMLINK) {
        const bytes = entry.targetBase64 === undefined
          ? new TextEncoder().encode(entry.target)
          : Uint8Array.from(atob(entry.targetBase64), (letter) => letter.charCodeAt(0));
        assert.equal(String.fromCharCode(...bytes), target);
      }
    });
  }));
});

Deno.test("a later version of a file is written with its own numbers", () => {
  fc.assert(fc.property(anyStat, anyStat, byteName, (stat, later, name) => {
    const { table } = tableOf([{
      name,
      stat: { ...stat, kind: KIND_FILE },
      parent: 0,
      target: "t",
    }]);
    const version = { ...later, sha256: "00".repeat(32) };
    const entry = JSON.parse(lineOfRow(table, 1, name, { version })) as ManifestEntry;
    assert.equal(entry.sizeBytes, later.sizeBytes);
    assert.equal(entry.mtimeNs, nanoseconds(later.mtimeSec, later.mtimeNsec));
    assert.deepEqual([entry.mode, entry.uid, entry.gid], [later.mode, later.uid, later.gid]);
  }));
});

Deno.test("a further name of a file says which name is the first", () => {
  const stat = { ...fc.sample(anyStat, 1)[0]!, kind: KIND_FILE };
  const { table } = tableOf(["a\xff", "b"].map((name) => ({ name, stat, parent: 0, target: "" })));
  table.columns.linkTo[2] = 1;
  const entry = JSON.parse(lineOfRow(table, 2, "b", {})) as ManifestEntry;
  assert.equal(atob(entry.hardLinkToBase64!), "a\xff");
  assert.equal(table.columns.linkTo[1], NONE);
});

Deno.test("a line with XXH64 is recognised as text, and says it", () => {
  const table = tableOfFiles([5]);
  const row = 1;
  const path = table.pathLatin1(row);
  const content = { sha256: "ab".repeat(32), verifiedAtMs: 1_700_000_000_000 };
  for (const xxh64 of ["0123456789abcdef", undefined]) {
    const text = lineOfRow(table, row, path, { ...content, xxh64 });
    assert.deepEqual(recordedAsItIs(table, row, path, text), { ...content, xxh64 });
  }
  const odd = lineOfRow(table, row, path, { ...content, xxh64: "too short" });
  assert.equal(recordedAsItIs(table, row, path, odd), undefined);
});
