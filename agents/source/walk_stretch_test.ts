/** A walk of a part sees exactly what a walk of everything sees there. */
import assert from "node:assert/strict";
import fc from "fast-check";
import fs from "node:fs";
import { dirname, join } from "node:path";
import { inScratch } from "../../tests/support/small_tree.ts";
import { anyFiles } from "../../tests/support/walked_table.ts";
import { openPosix } from "../platform/open_posix.ts";
import { EntryTable, FLAG_ABOVE, FLAG_DIVIDED } from "./entry_table.ts";
import { foldersAbove, liesIn, type Stretch } from "./stretch.ts";
import { walk, type WalkOptions } from "./walk.ts";

const posix = openPosix();
const OPTIONS: WalkOptions = {
  excludes: [{ pattern: "b.", origin: "here" }],
  ignoreFiles: true,
  excludeCaches: true,
  oneFileSystem: false,
};

function pathsOf(table: EntryTable, flag?: number): string[] {
  return Array.from({ length: table.count }, (_, row) => row)
    .filter((row) => flag === undefined || (table.columns.flags[row]! & flag) !== 0)
    .map((row) => table.pathLatin1(row));
}

Deno.test("the walks of the parts are together the walk of the whole, with the same rules", () =>
  inScratch((folder) => {
    let round = 0;
    fc.assert(
      fc.property(
        anyFiles,
        fc.array(fc.nat(100), { maxLength: 4 }),
        fc.boolean(),
        (files, choices, hasIgnoreFile) => {
          const root = join(folder, `${round++}`);
          fs.mkdirSync(root);
          for (const { path } of files) {
            fs.mkdirSync(dirname(`${root}/${path}`), { recursive: true });
            fs.writeFileSync(`${root}/${path}`, "x");
          }
          if (hasIgnoreFile) fs.writeFileSync(join(root, ".backupignore"), "a0\n/b/\n!/b/a0\n");
          const whole = walk(posix, root, "s", OPTIONS, () => {}).table;
          const all = pathsOf(whole);
          const cuts = [...new Set(choices.map((choice) => 1 + choice % all.length))]
            .filter((row) => row < all.length).sort((a, b) => a - b).map((row) => all[row]!);
          const found: string[] = [];
          for (let at = 0; at <= cuts.length; at++) {
            const stretch: Stretch = { from: cuts[at - 1], to: cuts[at] };
            const { table, counters } = walk(posix, root, "s", OPTIONS, () => {}, stretch);
            const own = pathsOf(table).filter((path) => liesIn(stretch, path));
            const above = pathsOf(table, FLAG_ABOVE);
            assert.deepEqual(above, foldersAbove(stretch.from ?? ""));
            assert.equal(own.length + above.length, table.count);
            assert.equal(counters.files + counters.directories + counters.others, own.length);
            const divided = new Set([
              ...foldersAbove(stretch.from ?? ""),
              ...foldersAbove(stretch.to ?? ""),
            ]);
            assert.deepEqual(
              new Set(pathsOf(table, FLAG_DIVIDED)),
              new Set([...divided].filter((path) => above.includes(path) || own.includes(path))),
            );
            found.push(...own);
          }
          assert.deepEqual(found, all);
          fs.rmSync(root, { recursive: true });
        },
      ),
      { numRuns: 60 },
    );
  }));
