import assert from "node:assert/strict";
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { compareTrees } from "./compare_trees.ts";

const TIME = new Date(1_600_000_000_000);

/** Files by path with their content, all of one time. */
function withTrees(
  source: Record<string, string>,
  copy: Record<string, string>,
  use: (source: string, copy: string) => void,
): void {
  const root = Deno.makeTempDirSync();
  try {
    for (const [name, files] of Object.entries({ source, copy })) {
      mkdirSync(`${root}/${name}/folder`, { recursive: true });
      for (const [path, content] of Object.entries(files)) {
        writeFileSync(`${root}/${name}/${path}`, content);
        utimesSync(`${root}/${name}/${path}`, TIME, TIME);
      }
    }
    use(`${root}/source`, `${root}/copy`);
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
}

Deno.test("equal trees have no differences and every file is counted", () => {
  const files = { "a": "1", "folder/b": "" };
  withTrees(files, files, (source, copy) => {
    assert.deepEqual(compareTrees(source, copy), { filesEqual: 2, differences: [] });
  });
});

Deno.test("other content of the same length, a missing file and an added file are all found", () => {
  withTrees(
    { "folder/a": "1", b: "", c: "" },
    { "folder/a": "2", c: "", d: "" },
    (source, copy) => {
      const { filesEqual, differences } = compareTrees(source, copy);
      assert.equal(filesEqual, 1);
      assert.deepEqual(differences.sort(), [
        "b: file became nothing",
        "d: nothing became file",
        "folder/a: content",
      ]);
    },
  );
});

Deno.test("a copy with another time is a difference", () => {
  withTrees({ a: "1" }, { a: "1" }, (source, copy) => {
    utimesSync(`${copy}/a`, new Date(TIME.getTime() + 1000), TIME.getTime() / 1000 + 1);
    assert.deepEqual(compareTrees(source, copy).differences, ["a: time"]);
  });
});
