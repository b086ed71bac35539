import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { anyFiles, type WalkedFile } from "../../../tests/support/walked_table.ts";
import { foldersAbove, isBelow, liesIn, type Stretch } from "../../source/stretch.ts";
import { compareWalkOrder } from "../../source/walk_order.ts";
import { type ManifestHeader, ManifestLine } from "./manifest_file.ts";
import { lineStart } from "./manifest_line.ts";
import { linePathLatin1, linesWithin } from "./part_list.ts";
import { mergeParts, type PartLines } from "./part_merge.ts";

interface Entry {
  path: string;
  isFolder: boolean;
  /** Says which run has written the line. */
  mark: string;
  isGone?: boolean;
}

function lineOf({ path, isFolder, mark, isGone }: Entry): string {
  const gone = isGone === true ? ',"goneAtMs":1' : "";
  return `${lineStart(path)}${isFolder ? "directory" : "file"}","mark":"${mark}"${gone}}`;
}

function entriesOf(files: readonly WalkedFile[], mark: string): Entry[] {
  const folders = new Set(["", ...files.flatMap(({ path }) => foldersAbove(path))]);
  return [
    ...[...folders].map((path) => ({ path, isFolder: true, mark })),
    ...files.map(({ path }) => ({ path, isFolder: false, mark })),
  ].sort((a, b) => compareWalkOrder(a.path, b.path));
}

function* linesOf(entries: readonly Entry[]): Generator<ManifestLine> {
  for (const entry of entries) yield new ManifestLine(lineOf(entry), "test");
}

/** What the part would list of a source with these entries. */
function partOf(entries: readonly Entry[], key: string, stretch: Stretch): PartLines {
  const base64 = (path: string) => Buffer.from(path, "latin1").toString("base64");
  const header: ManifestHeader = {
    format: "f",
    version: 1,
    name: "n",
    sourcePath: "/s",
    runId: "r",
    stage: "r-1",
    createdAt: "2026-01-01T00:00:00Z",
    part: {
      key,
      ...(stretch.from !== undefined && { from: base64(stretch.from) }),
      ...(stretch.to !== undefined && { to: base64(stretch.to) }),
      above: entries.filter(({ path, isFolder }) =>
        isFolder && stretch.from !== undefined && isBelow(stretch.from, path)
      ).map(lineOf),
    },
  };
  return { header, lines: linesOf(entries.filter(({ path }) => liesIn(stretch, path))) };
}

function stretchesOf(entries: readonly Entry[], choices: readonly number[]): Stretch[] {
  const cuts = [...new Set(choices.map((choice) => choice % entries.length))]
    .filter((at) => at > 0).sort((a, b) => a - b).map((at) => entries[at]!.path);
  return [undefined, ...cuts].map((from, at) => ({ from, to: cuts[at] }));
}

const anyCuts = fc.array(fc.nat(100), { maxLength: 6 });

Deno.test("with all parts the list is that of the source now, whatever was recorded before", () => {
  fc.assert(fc.property(anyFiles, anyFiles, anyCuts, (before, now, choices) => {
    const entries = entriesOf(now, "new");
    const parts = () => stretchesOf(entries, choices).map((s, at) => partOf(entries, `p${at}`, s));
    // The last come first: their order is not that of the files they are in.
    const merged = [...mergeParts(linesOf(entriesOf(before, "old")), parts().reverse())];
    assert.deepEqual(merged.map(({ text }) => text), entries.map(lineOf));
    assert.deepEqual(merged.map(({ path }) => path), entries.map(({ path }) => path));
    assert.deepEqual(
      [...mergeParts(undefined, parts())].map(({ text }) => text),
      entries.map(lineOf),
      "with no list before",
    );
  }));
});

Deno.test("with some of the parts each stretch is of one list, every folder has its line, and once more changes nothing", () => {
  fc.assert(fc.property(
    anyFiles,
    anyFiles,
    anyCuts,
    fc.array(fc.boolean(), { minLength: 7, maxLength: 7 }),
    (before, now, choices, done) => {
      const entries = entriesOf(now, "new");
      const stretches = stretchesOf(entries, choices).filter((_, at) => done[at]);
      const parts = () => stretches.map((stretch, at) => partOf(entries, `p${at}`, stretch));
      const merged = [...mergeParts(linesOf(entriesOf(before, "old")), parts())];
      const paths = merged.map(({ path }) => path);
      assert.deepEqual([...new Set(paths)].sort(compareWalkOrder), paths, "in order, each once");
      const isFolder = new Map<string, boolean>();
      for (const { path, text } of merged) {
        const isGone = text.includes("goneAtMs");
        isFolder.set(path, text.includes('"directory"') && !isGone);
        if (isGone) continue;
        for (const above of foldersAbove(path)) {
          assert.equal(isFolder.get(above), true, `${above} of ${path}`);
        }
      }
      for (const entry of entries) {
        if (!stretches.some((stretch) => liesIn(stretch, entry.path))) continue;
        assert.ok(merged.some(({ text }) => text === lineOf(entry)), entry.path);
      }
      const again = mergeParts(
        merged.map(({ text }) => new ManifestLine(text, "test")).values(),
        parts(),
      );
      assert.deepEqual([...again].map(({ text }) => text), merged.map(({ text }) => text));
    },
  ));
});

Deno.test("what lies below a folder that another part has found to be a file is let go of", () => {
  const folder = entriesOf([{ path: "d/a", sizeBytes: 1 }, { path: "d/b", sizeBytes: 1 }], "new");
  const file = entriesOf([{ path: "d", sizeBytes: 1 }], "newer");
  const merged = [...mergeParts(undefined, [
    partOf(file, "p1", { to: "d/b" }),
    partOf(folder, "p2", { from: "d/b" }),
  ])];
  assert.deepEqual(merged.map(({ path }) => path), ["", "d"]);
});

Deno.test("lists that are about the same entries are refused, not mixed", () => {
  const entries = entriesOf([{ path: "a", sizeBytes: 1 }, { path: "b", sizeBytes: 1 }], "new");
  assert.throws(
    () => [...mergeParts(undefined, [
      partOf(entries, "p1", { to: "b" }),
      partOf(entries, "p2", { from: "a" }),
    ])],
    { code: "damaged" },
  );
});

Deno.test("the lines of stretches are together all lines, and a path is known without parsing", () => {
  fc.assert(fc.property(anyFiles, anyCuts, (files, choices) => {
    const entries = entriesOf(files, "x");
    const found = stretchesOf(entries, choices).flatMap((stretch) => [
      ...linesWithin(linesOf(entries), stretch),
    ]);
    assert.deepEqual(found.map(linePathLatin1), entries.map(({ path }) => path));
    assert.deepEqual(found.map(({ text }) => text), entries.map(lineOf));
  }));
});

Deno.test("a path with quotes, slashes the other way or bytes that are no text is read as it is", () => {
  for (const path of ['a"b', "a\\b", 'a","type":"directory', "\xff/\xe9", "new\nline", ""]) {
    assert.equal(linePathLatin1(new ManifestLine(`${lineStart(path)}file"}`, "test")), path);
  }
});
