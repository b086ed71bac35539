import assert from "node:assert/strict";
import fc from "fast-check";
import {
  isComplete,
  MATRIX_FILES_MAX,
  nextOffset,
  NO_FILES,
  PAGE_FILES,
  stretches,
  withPage,
} from "./file_pages.ts";
import { fileAt, layOut, markOf } from "./matrix_layout.ts";

Deno.test("every file has exactly one cell, and a point of it leads back to the file", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: MATRIX_FILES_MAX }),
    fc.integer({ min: 240, max: 1_200 }),
    fc.integer({ min: 0, max: 5 }),
    fc.double({ min: 0, max: 0.999, noNaN: true }),
    (files, width, zoom, where) => {
      const layout = layOut(files, width, zoom);
      assert.ok(layout.columns * layout.rows >= files);
      const file = Math.floor(where * files);
      const x = (file % layout.columns) * layout.cell;
      const y = Math.floor(file / layout.columns) * layout.cell;
      assert.equal(fileAt(layout, files, x, y), file);
      assert.equal(fileAt(layout, files, x + layout.cell - 1, y + layout.cell - 1), file);
    },
  ));
});

Deno.test("100,000 files fit, and zooming makes their cells larger", () => {
  const small = layOut(100_000, 1_000);
  assert.equal(small.cell, 2);
  assert.ok(small.bandHeight <= 400);
  assert.ok(layOut(100_000, 1_000, 2).cell > small.cell);
  assert.equal(layOut(100, 1_000).cell, 14);
});

Deno.test("pages are asked for in order until all are there, then round and round, and never beyond the limit", () => {
  let pages = { ...NO_FILES, rows: [] as typeof NO_FILES.rows };
  const total = PAGE_FILES * 2 + 1;
  let last = -PAGE_FILES;
  const asked: number[] = [];
  for (let i = 0; i < 5; i++) {
    last = nextOffset(pages, last);
    asked.push(last);
    const rows = Array.from(
      { length: Math.min(PAGE_FILES, total - last) },
      (_, at) => ({ path: `f${last + at}`, sizeBytes: 1, marks: "v" }),
    );
    pages = withPage(pages, { destinations: ["d"], rows, total, unlisted: 0, notes: [] }, last);
  }
  assert.deepEqual(asked, [0, 1_000, 2_000, 0, 1_000]);
  assert.ok(isComplete(pages));
  assert.equal(pages.rows.length, total);
  assert.equal(
    nextOffset(
      { ...pages, total: 1e9, known: MATRIX_FILES_MAX },
      MATRIX_FILES_MAX - PAGE_FILES,
    ),
    0,
  );
});

Deno.test("beyond 100,000 files each has its place in one stretch, and is asked for there alone", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000_000 }), fc.nat(), (total, which) => {
      const all = stretches(total);
      const first = all[which % all.length]!;
      assert.deepEqual([all[0], all.at(-1)! < total], [0, true]);
      let pages = { ...NO_FILES, first, rows: [] as typeof NO_FILES.rows, total };
      let last = -PAGE_FILES;
      const asked = new Set<number>();
      while (!isComplete(pages)) {
        last = nextOffset(pages, last);
        assert.ok(last >= first && last < first + MATRIX_FILES_MAX && last < total);
        assert.ok(!asked.has(last), "asked for twice");
        asked.add(last);
        const rows = new Array(Math.min(PAGE_FILES, total - last)).fill({ marks: "v" });
        pages = withPage(pages, { destinations: ["d"], rows, total, unlisted: 0, notes: [] }, last);
      }
      assert.equal(pages.rows.length, Math.min(MATRIX_FILES_MAX, total - first));
      assert.ok(nextOffset(pages, last) === first || nextOffset(pages, last) === last + PAGE_FILES);
    }),
    { numRuns: 20 },
  );
});

Deno.test("when a task ends, the files after its own are fetched anew at once, and are seen meanwhile", () => {
  const page = (names: string[], unlisted: number) => ({
    destinations: ["d"],
    rows: names.map((path) => ({ path, sizeBytes: 1, marks: "c" })),
    total: 3_000 - unlisted,
    unlisted,
    notes: unlisted === 0 ? [] : ["photos: succeeded"],
  });
  const files = (of: string) => Array.from({ length: PAGE_FILES }, (_, at) => `${of}/${at}`);
  let pages = { ...NO_FILES, rows: [] as typeof NO_FILES.rows };
  ["photos", "mail", "music"].forEach((name, at) => {
    pages = withPage(pages, page(files(name), 0), at * PAGE_FILES);
  });
  assert.ok(isComplete(pages));
  // Answers go round: this one comes when photos are done, in the middle.
  pages = withPage(pages, page(files("music"), 1_000), PAGE_FILES);
  assert.deepEqual([isComplete(pages), pages.rows.length, pages.unlisted], [false, 2_000, 1_000]);
  assert.equal(nextOffset(pages, PAGE_FILES), 0);
  pages = withPage(pages, page(files("mail"), 1_000), 0);
  assert.equal(nextOffset(pages, 0), PAGE_FILES);
  pages = withPage(pages, page(files("music"), 1_000), PAGE_FILES);
  assert.ok(isComplete(pages));
  assert.deepEqual([0, 1_000].map((at) => pages.rows[at]!.path), ["mail/0", "music/0"]);
});

Deno.test("a destination that is not told of a file has none", () => {
  assert.equal(markOf("v", 0), "v");
  assert.equal(markOf("v", 1), "-");
  assert.equal(markOf("?", 0), "-");
});
