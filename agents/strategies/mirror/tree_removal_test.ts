import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { inFolder } from "../../../tests/support/posix_folder.ts";
import { needs } from "../../../tests/support/tools.ts";
import { ENOENT } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";
import { cName } from "../../platform/posix.ts";
import { moveFilesBack, openPath, removeTree } from "./tree_removal.ts";

const posix = openPosix();

function fill(path: string, files: number): void {
  fs.mkdirSync(join(path, "from/deep"), { recursive: true });
  for (let i = 0; i < files; i++) fs.writeFileSync(join(path, `from/deep/${i}`), `${i}`);
}

Deno.test({
  ...needs("removing a tree ticks for every entry, so a slow disk is not a stuck one", "linux"),
  fn: () =>
    inFolder(posix, (folder, path) => {
      fill(path, 100);
      let ticks = 0;
      assert.equal(removeTree(posix, folder, cName("from"), () => ticks++), 0);
      assert.ok(ticks >= 102, `${ticks}`);
      assert.equal(fs.existsSync(join(path, "from")), false);
      assert.equal(removeTree(posix, folder, cName("from"), () => {}), 0);
    }),
});

Deno.test({
  ...needs("putting files back ticks for every entry and makes the folders that are gone", "linux"),
  fn: () =>
    inFolder(posix, (folder, path) => {
      fill(path, 100);
      fs.mkdirSync(join(path, "to"));
      const from = posix.openDirectory(folder, cName("from"));
      const to = posix.openDirectory(folder, cName("to"));
      let ticks = 0;
      const moved: string[] = [];
      moveFilesBack(posix, from, to, "", {
        onMoved: (one) => moved.push(one),
        onFailed: (one, result) => assert.fail(`${one}: ${result}`),
        tick: () => ticks++,
      });
      posix.closeDirectory(from);
      posix.closeDirectory(to);
      assert.equal(ticks, 101);
      assert.equal(moved.length, 100);
      assert.equal(fs.readFileSync(join(path, "to/deep/7"), "utf8"), "7");
    }),
});

Deno.test({
  ...needs("a path that is only looked for is not made", "linux"),
  fn: () =>
    inFolder(posix, (folder, path) => {
      assert.equal(openPath(posix, folder, "a/b", false), -ENOENT);
      assert.deepEqual(fs.readdirSync(path), []);
      const handle = openPath(posix, folder, "a/b", true);
      assert.ok(handle >= 0);
      posix.closeDirectory(handle);
      assert.ok(fs.statSync(join(path, "a/b")).isDirectory());
    }),
});
