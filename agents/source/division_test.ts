import assert from "node:assert/strict";
import fc from "fast-check";
import {
  anyFiles,
  anyPath,
  type WalkedFile,
  walkedTable,
} from "../../tests/support/walked_table.ts";
import { KIND_DIRECTORY } from "../platform/posix.ts";
import { countRows, divide, weightOf } from "./division.ts";
import type { EntryTable } from "./entry_table.ts";
import { liesIn, type Stretch } from "./stretch.ts";

const MIB = 1 << 20;

function stretchesOf(table: EntryTable, cuts: number[]): Stretch[] {
  const paths = cuts.map((row) => table.pathLatin1(row));
  return [0, ...cuts].map((_, at) => ({
    ...(at > 0 && { from: paths[at - 1] }),
    ...(at < cuts.length && { to: paths[at] }),
  }));
}

/** Makes rows of files further names of a file before them, as given pairs say. */
function link(table: EntryTable, pairs: readonly [number, number][]): void {
  const { kind, linkTo } = table.columns;
  for (const [a, b] of pairs) {
    const [first, row] = [a % table.count, b % table.count].sort((x, y) => x - y) as [
      number,
      number,
    ];
    const areFiles = kind[first] !== KIND_DIRECTORY && kind[row] !== KIND_DIRECTORY;
    if (first !== row && areFiles && linkTo[first] === 0xffffffff) linkTo[row] = first;
  }
}

const anyLinks = fc.array(fc.tuple(fc.nat(100), fc.nat(100)), { maxLength: 3 });

Deno.test("whatever the tree, its parts cover every path that is or may come, each once", () => {
  fc.assert(fc.property(
    anyFiles,
    fc.integer({ min: 1, max: 30 }),
    fc.array(anyPath, { maxLength: 20 }),
    anyLinks,
    (files, partsMax, others, links) => {
      const table = walkedTable(files);
      link(table, links);
      const cuts = divide(table, { partsMax, weightMin: 1 });
      assert.ok(cuts.length < partsMax);
      assert.deepEqual([...cuts].sort((a, b) => a - b), cuts);
      assert.equal(new Set([0, ...cuts]).size, cuts.length + 1, "no part is empty");
      const stretches = stretchesOf(table, cuts);
      const partOf = (path: string): number[] =>
        stretches.flatMap((stretch, at) => liesIn(stretch, path) ? [at] : []);
      for (const path of others) assert.equal(partOf(path).length, 1, path);
      const ends = [...cuts, table.count];
      for (let row = 0; row < table.count; row++) {
        const expected = ends.findIndex((end) => row < end);
        assert.deepEqual(partOf(table.pathLatin1(row)), [expected]);
        const first = table.columns.linkTo[row]!;
        if (first !== 0xffffffff) assert.equal(ends.findIndex((end) => first < end), expected);
      }
    },
  ));
});

Deno.test("what a caller wants together stays together", () => {
  fc.assert(fc.property(anyFiles, fc.nat(100), fc.nat(100), (files, a, b) => {
    const table = walkedTable(files);
    const pair = [a % table.count, b % table.count].sort((x, y) => x - y) as [number, number];
    for (const cut of divide(table, { partsMax: 100, weightMin: 1, together: [pair] })) {
      assert.ok(cut <= pair[0] || cut > pair[1], `${cut} is in ${pair}`);
    }
  }));
});

function evenFiles(folders: number, each: number): WalkedFile[] {
  return Array.from({ length: folders * each }, (_, k) => ({
    path: `d${String(Math.floor(k / each)).padStart(4, "0")}/f${String(k % each).padStart(4, "0")}`,
    sizeBytes: MIB,
  }));
}

function weights(table: EntryTable, cuts: number[]): number[] {
  const ends = [...cuts, table.count];
  return [0, ...cuts].map((from, at) => {
    let sum = 0;
    for (let row = from; row < ends[at]!; row++) sum += weightOf(table, row);
    return sum;
  });
}

Deno.test("parts of an even tree are even, and begin with a folder", () => {
  const table = walkedTable(evenFiles(100, 10));
  const cuts = divide(table, { partsMax: 8 });
  assert.equal(cuts.length, 7);
  for (const row of cuts) assert.equal(table.columns.kind[row], KIND_DIRECTORY);
  const all = weights(table, cuts);
  const even = all.reduce((a, b) => a + b) / 8;
  for (const weight of all) assert.ok(Math.abs(weight - even) < even / 2, `${all}`);
});

Deno.test("a folder that is most of the source is divided within, and tiny ones are grouped", () => {
  const big = Array.from({ length: 800 }, (_, k) => ({
    path: `big/f${String(k).padStart(4, "0")}`,
    sizeBytes: MIB,
  }));
  const tiny = Array.from({ length: 50 }, (_, k) => ({ path: `tiny/${k}/x`, sizeBytes: 10 }));
  const table = walkedTable([...big, ...tiny]);
  const cuts = divide(table, { partsMax: 4 });
  assert.equal(cuts.length, 3);
  const all = weights(table, cuts);
  assert.ok(Math.max(...all) < 2 * Math.min(...all), `${all}`);
});

Deno.test("one file that is most of the source gets a part of its own", () => {
  const table = walkedTable([
    ...evenFiles(4, 50),
    { path: "d0002/f0020-huge", sizeBytes: 4000 * MIB },
  ]);
  const cuts = divide(table, { partsMax: 8 });
  const [alone] = [...cuts, table.count].flatMap((end, at) => {
    const from = [0, ...cuts][at]!;
    return end - from === 1 ? [table.pathLatin1(from)] : [];
  });
  assert.equal(alone, "d0002/f0020-huge");
});

Deno.test("a small source stays whole, and so does one that cannot be cut", () => {
  assert.deepEqual(divide(walkedTable(evenFiles(2, 5)), { partsMax: 8 }), []);
  const table = walkedTable(evenFiles(100, 10));
  assert.deepEqual(divide(table, { partsMax: 1 }), []);
  link(table, [[2, table.count - 1]]);
  // Everything but what lies before the first name and behind the last is held together by that one file.
  assert.ok(divide(table, { partsMax: 8 }).every((row) => row <= 2));
});

Deno.test("the counters of parts add up", () => {
  fc.assert(fc.property(anyFiles, (files) => {
    const table = walkedTable(files);
    const cuts = divide(table, { partsMax: 5, weightMin: 1 });
    const ends = [...cuts, table.count];
    const counted = [0, ...cuts].map((from, at) => countRows(table, from, ends[at]!));
    const sum = (of: (one: (typeof counted)[number]) => number) =>
      counted.reduce((all, one) => all + of(one), 0);
    assert.equal(sum((one) => one.files), files.length);
    assert.equal(sum((one) => one.bytes), files.reduce((all, { sizeBytes }) => all + sizeBytes, 0));
    assert.equal(sum((one) => one.files + one.directories + one.others), table.count);
  }));
});
