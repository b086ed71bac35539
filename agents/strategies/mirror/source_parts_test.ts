import assert from "node:assert/strict";
import { walkedTable } from "../../../tests/support/walked_table.ts";
import { KIND_DIRECTORY } from "../../platform/posix.ts";
import { liesIn } from "../../source/stretch.ts";
import { partOf, partsOf } from "./source_parts.ts";

const files = (...paths: string[]) => walkedTable(paths.map((path) => ({ path, sizeBytes: 1 })));

Deno.test("a part is called by its folders, or in one flat folder by its entries", () => {
  const labels = (table: ReturnType<typeof walkedTable>, partsMax: number) =>
    partsOf(table, undefined, { partsMax, weightMin: 1 }).map(({ part }) => part.label);
  assert.deepEqual(labels(files("f1", "f2", "f3", "f4", "f5", "f6"), 3), [
    "f1",
    "f2 … f4",
    "f5 … f6",
  ]);
  assert.deepEqual(labels(files("a/1", "a/2", "b/1", "b/2", "c/1", "c/2"), 2), ["a", "b … c"]);
  assert.deepEqual(labels(files("a/x/1", "a/x/2", "a/y/1", "a/y/2"), 2), ["a … a/x/2", "a/y"]);
  assert.deepEqual(labels(files("a", "b"), 1), ["/"]);
});

Deno.test("a part says its stretch in bytes, whatever they are", () => {
  const parts = partsOf(files("a", "b\xff/c", "b\xff/d", "e"), undefined, {
    partsMax: 6,
    weightMin: 1,
  });
  const stretches = parts.map(({ part }) => partOf(part));
  assert.deepEqual(stretches.map(({ key }) => key), parts.map((_, at) => `p${at + 1}`));
  for (const path of ["", "a", "b\xff", "b\xff/c", "b\xff/d", "e", "z"]) {
    assert.equal(stretches.filter((stretch) => liesIn(stretch, path)).length, 1, path);
  }
});

Deno.test("a file stays with the folder whose name its encoded form would have", () => {
  const table = files("a", "b", "n", "n.zst/in", "o", "p");
  const cuts = (codec: "zst" | undefined) =>
    partsOf(table, codec, { partsMax: 20, weightMin: 1 }).slice(1).map(({ part }) =>
      partOf(part).from
    );
  assert.ok(cuts(undefined).includes("n.zst"));
  const between = cuts("zst").filter((from) => from === "n.zst" || from === "n.zst/in");
  // The folder's own begin is what would part them; what is in it may lie elsewhere.
  assert.ok(!between.includes("n.zst"), `${between}`);
  assert.equal(table.columns.kind[0], KIND_DIRECTORY);
});
