/** A real tree of this machine. Rule: nothing in it was made for the test. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import {
  assertRsyncSeesNoDifference,
  assertSameTree,
  STOCK_TOOLS,
} from "../support/compare_trees.ts";
import { runProgram } from "../support/run_program.ts";
import { createScene, destinationOf } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

/** The first that is neither too small to prove something nor too large for a test is taken. */
const CANDIDATES = [
  "/usr/share/icons",
  "/usr/share/doc",
  "/usr/share/perl",
  "/usr/share/zoneinfo",
  "/usr/share/man",
  "/usr/share",
  "/etc",
];
const ENTRIES_MIN = 500;
const ENTRIES_MAX = 15_000;
const BYTES_MAX = 200_000_000;

async function findTree(): Promise<string | undefined> {
  const env = { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin" };
  for (const folder of CANDIDATES.filter((path) => existsSync(path))) {
    const { out } = await runProgram("find", [folder, "-printf", "%s\n"], { env });
    const sizes = out.trim().split("\n").map(Number);
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    if (sizes.length >= ENTRIES_MIN && sizes.length <= ENTRIES_MAX && bytes <= BYTES_MAX) {
      return folder;
    }
  }
  return undefined;
}

Deno.test({
  ...needs(
    "a real tree of this machine reaches two destinations, every byte compared",
    "linux",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using scene = createScene();
    const tree = await findTree();
    assert.ok(tree !== undefined, "no tree of this machine has a fitting size");
    const { one, two } = scene;
    const words = [tree, "--as", "tree", "--to", one, "--to", two];
    const { code, summary, errors } = await scene.backupJson(words);
    assert.deepEqual({ code, errors }, { code: 0, errors: [] });
    for (const destination of [one, two]) {
      const row = destinationOf(summary, destination);
      assert.equal(row["files_verified"], row["total_files"]);
      await assertSameTree(tree, `${destination}/tree`);
      await assertRsyncSeesNoDifference(tree, `${destination}/tree`);
      const sums = await runProgram("sha256sum", ["--quiet", "-c", ".backup-agent/SHA256SUMS"], {
        cwd: destination,
        env: { PATH: Deno.env.get("PATH") ?? "" },
      });
      assert.deepEqual([sums.code, sums.out], [0, ""]);
    }
    const again = await scene.backupJson(words);
    assert.equal(again.code, 0);
    assert.equal(destinationOf(again.summary, one)["files_copied"], 0);
  },
});
