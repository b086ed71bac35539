import assert from "node:assert/strict";
import { statOf, tableOfFiles } from "../../../tests/support/sample_table.ts";
import { BackupError } from "../../../protocol/base/errors.ts";
import { KIND_DIRECTORY, KIND_FILE } from "../../platform/posix.ts";
import { LaneFailures } from "./lane_failures.ts";
import { RecentRows } from "./recent_rows.ts";
import { SourceProblems } from "./source_problems.ts";

const BROKEN = { code: "io", message: "Broken" };

/** Two files; row 3 is a further name of the first, row 4 a folder. */
function scene() {
  const table = tableOfFiles([1, 1]);
  table.push(0, "further", statOf({ kind: KIND_FILE, sizeBytes: 1 }));
  table.push(0, "folder", statOf({ kind: KIND_DIRECTORY }));
  table.columns.linkTo[3] = 1;
  const source = new SourceProblems();
  return { source, failures: new LaneFailures(table, "copy", source, new RecentRows()) };
}

Deno.test("a row that fails twice is one failure; a folder is no failed file", () => {
  const { failures } = scene();
  failures.add(1, BROKEN, 3);
  failures.add(1, { code: "internal", message: "Again" }, 1);
  failures.add(4, BROKEN, 1);
  assert.deepEqual([failures.count, failures.files, failures.isEmpty], [2, 1, false]);
  assert.deepEqual(failures.named, [
    { path: "copy/f000000", ...BROKEN, attempts: 3 },
    { path: "copy/folder", ...BROKEN, attempts: 1 },
  ]);
});

Deno.test("a further name fails with its file, and only then", () => {
  const { failures } = scene();
  assert.equal(failures.addWithFirst(3), false);
  failures.add(2, BROKEN, 1);
  assert.equal(failures.addWithFirst(3), false);
  failures.add(1, BROKEN, 2);
  assert.equal(failures.addWithFirst(3), true);
  assert.deepEqual(failures.named.map(({ path }) => path), [
    "copy/f000001",
    "copy/f000000",
    "copy/further",
  ]);
});

Deno.test("what the source could not give is no failure of this destination, under any name", () => {
  const { source, failures } = scene();
  const error = new BackupError("io", "Unreadable");
  source.mark(error);
  failures.addCopy(1, error, 2);
  assert.equal(failures.addWithFirst(3), true);
  assert.deepEqual([failures.count, failures.has(1), failures.hasHere(1)], [0, true, false]);
  assert.equal(failures.isEmpty, false);
  assert.deepEqual(source.named.map(({ path }) => path), ["copy/f000000", "copy/further"]);
});
