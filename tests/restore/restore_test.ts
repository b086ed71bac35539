/** `restore` as a user runs it. Judges: rsync, find, sha256sum. */
import assert from "node:assert/strict";
import fs from "node:fs";
import {
  assertRsyncSeesNoDifference,
  assertSameTree,
  snapshotOf,
  STOCK_TOOLS,
} from "../support/compare_trees.ts";
import { fillFiles, fillOddTree } from "../support/fill_tree.ts";
import { withLoopFs } from "../support/loop_fs.ts";
import { runProgram } from "../support/run_program.ts";
import { createScene, parseLines, type Scene } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

const CANCEL_MS_MAX = 1000;

async function restoreJson(scene: Scene, words: readonly string[]) {
  const { code, out, err } = await scene.run(["restore", ...words, "--json"]);
  const lines = parseLines(out);
  const summary = lines.find((line) => line.message_type === "summary");
  assert.ok(summary !== undefined, `${out}${err}`);
  return { code, lines, summary, errors: lines.filter((l) => l.message_type === "error") };
}

function flipByte(path: string): void {
  const { atime, mtime } = fs.statSync(path);
  const bytes = fs.readFileSync(path);
  bytes[bytes.length >> 1]! ^= 1;
  fs.writeFileSync(path, bytes);
  fs.utimesSync(path, atime, mtime);
}

Deno.test({
  ...needs(
    "every kind of name, link, mode and time comes back as it was, and the destination is not touched",
    "perl",
    "mkfifo",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using scene = createScene();
    const { source, one, folder } = scene;
    await fillOddTree(source);
    fillFiles(`${source}/many`, 120, 3_000);
    fs.writeFileSync(`${source}/large`, new Uint8Array(9_000_001).fill(7));
    const { code } = await scene.backup(["source", "--to", one]);
    assert.equal(code, 0);
    const before = await snapshotOf(one);
    // The source's machine may be gone: nothing of it is read.
    fs.renameSync(source, `${folder}/elsewhere`);
    const restored = await scene.run(["restore", "--from", one, "--target", "back"]);
    assert.equal(restored.code, 0, restored.out);
    await assertSameTree(`${folder}/elsewhere`, `${folder}/back/source`);
    await assertRsyncSeesNoDifference(`${folder}/elsewhere`, `${folder}/back/source`);
    assert.equal(await snapshotOf(one), before);
    assert.deepEqual(fs.readdirSync(`${folder}/back`), ["source"]);
    const again = await restoreJson(scene, ["--from", one, "--target", "back"]);
    assert.equal(again.code, 0);
    assert.equal(again.summary["files_restored"], 0);
    await assertSameTree(`${folder}/elsewhere`, `${folder}/back/source`);
  },
});

Deno.test({
  ...needs(
    "a flipped byte is taken from the second destination and told, or fails by name",
    "find",
  ),
  async fn() {
    await using scene = createScene();
    const { source, one, two, folder } = scene;
    fillFiles(source, 20, 5_000);
    await scene.backup(["source", "--to", one, "--to", two]);
    const path = "source/folder 0/file 7";
    flipByte(`${one}/${path}`);
    const both = ["--from", one, "--from", two];
    const taken = await scene.run(["restore", ...both, "--target", "both"]);
    assert.equal(taken.code, 0, taken.out);
    assert.match(taken.out, new RegExp(`Took ${path} from ${two}: the copy at ${one} is damaged`));
    assert.deepEqual(
      fs.readFileSync(`${folder}/both/${path}`),
      fs.readFileSync(`${folder}/${path}`),
    );
    const alone = await restoreJson(scene, ["--from", one, "--target", "alone"]);
    assert.equal(alone.code, 4);
    assert.deepEqual(alone.errors.map((e) => [e["item"], e["code"]]), [[path, "damaged"]]);
    assert.equal(fs.existsSync(`${folder}/alone/${path}`), false);
    assert.deepEqual([alone.summary["state"], alone.summary["files_restored"]], ["partial", 19]);
    const nothing = await scene.run(["restore", "--from", one, "--target", "none", path]);
    assert.equal(nothing.code, 1, "nothing at all was restored");
  },
});

Deno.test("a file that stands there is kept and named with exit code 4, and replaced when asked for", async () => {
  await using scene = createScene();
  const { source, one, folder } = scene;
  fillFiles(source, 3, 100);
  await scene.backup(["source", "--to", one]);
  fs.mkdirSync(`${folder}/back/source/folder 0`, { recursive: true });
  const mine = `${folder}/back/source/folder 0/file 1`;
  fs.writeFileSync(mine, "mine");
  const words = ["--from", one, "--target", "back"];
  const kept = await restoreJson(scene, words);
  assert.equal(kept.code, 4);
  assert.deepEqual(kept.errors.map((e) => e["item"]), ["source/folder 0/file 1"]);
  assert.equal(fs.readFileSync(mine, "utf8"), "mine");
  const replaced = await restoreJson(scene, [...words, "--overwrite"]);
  assert.deepEqual([replaced.code, replaced.summary["files_restored"]], [0, 1]);
  assert.deepEqual(fs.readFileSync(mine), fs.readFileSync(`${source}/folder 0/file 1`));
});

Deno.test({
  ...needs(
    "Ctrl-C ends a restore within a second, no half file has a name, and the same command goes on",
    "linux",
    "find",
    "rsync",
    "sha256sum",
  ),
  async fn() {
    await using scene = createScene();
    const { source, one, folder } = scene;
    fillFiles(source, 12_000, 1_000);
    await scene.backup(["source", "--to", one]);
    const words = ["restore", "--from", one, "--target", "back", "--json"];
    await using running = scene.start(words);
    await running.saw('"total_files":12000');
    const signalledAtMs = performance.now();
    running.kill("SIGINT");
    const { code, out, err } = await running.outcome;
    const tookMs = performance.now() - signalledAtMs;
    assert.equal(code, 130, `${out}${err}`);
    assert.ok(tookMs < CANCEL_MS_MAX, `${tookMs} ms`);
    const { out: differing } = await runProgram("rsync", [
      ...["-rcn", "--existing", "--out-format=%n", "--exclude=*/"],
      ...[`${source}/`, `${folder}/back/source/`],
    ], { env: { PATH: Deno.env.get("PATH")! } });
    assert.equal(differing, "", "what has a name is whole");
    const again = await scene.run(["restore", "--from", one, "--target", "back"]);
    assert.equal(again.code, 0, again.out);
    await assertSameTree(source, `${folder}/back/source`);
    assert.deepEqual(fs.readdirSync(`${folder}/back`), ["source"]);
  },
});

Deno.test({
  ...needs(
    "a destination that is mounted read-only is restored from, listed and drilled",
    "linux",
    "root",
    "mkfs.ext4",
    "mount",
    "find",
  ),
  fn: () =>
    withLoopFs({ type: "ext4", sizeBytes: 32 << 20 }, async (mounted) => {
      await using scene = createScene();
      fillFiles(scene.source, 10, 1_000);
      const destination = `${mounted}/dest`;
      await scene.backup(["source", "--to", destination]);
      const remount = await runProgram("mount", ["-o", "remount,ro", mounted], {
        env: { PATH: Deno.env.get("PATH")! },
      });
      assert.equal(remount.code, 0, remount.err);
      const restored = await scene.run(["restore", "--from", destination, "--target", "back"]);
      assert.equal(restored.code, 0, restored.err);
      await assertSameTree(scene.source, `${scene.folder}/back/source`);
      assert.equal((await scene.run(["ls", destination, "source", "-R"])).code, 0);
      const drilled = await scene.run(["drill", destination, "--sample", "100"]);
      assert.equal(drilled.code, 0, drilled.err);
      assert.match(drilled.out, /could not be kept at the destination/);
    }),
});

Deno.test({
  ...needs(
    "a target without room or rights is a clear failure, and nothing half stands there",
    "linux",
    "root",
    "mkfs.ext4",
    "mount",
  ),
  fn: () =>
    withLoopFs({ type: "ext4", sizeBytes: 8 << 20 }, async (mounted) => {
      await using scene = createScene();
      fillFiles(scene.source, 40, 500_000);
      await scene.backup(["source", "--to", scene.one]);
      const words = ["restore", "--from", scene.one, "--target"];
      const full = await scene.run([...words, `${mounted}/back`]);
      assert.equal(full.code, 1);
      assert.match(full.err, /No space left/);
      for (const file of filesBelow(`${mounted}/back`)) {
        assert.equal(fs.statSync(file).size, 500_000);
      }
      const { code: set } = await runProgram("mount", ["-o", "remount,ro", mounted], {
        env: { PATH: Deno.env.get("PATH")! },
      });
      assert.equal(set, 0);
      const refused = await scene.run([...words, `${mounted}/other`]);
      assert.equal(refused.code, 1);
      assert.match(refused.err, /Read-only file system/);
    }),
});

function filesBelow(folder: string): string[] {
  return fs.readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile()).map((entry) => `${entry.parentPath}/${entry.name}`);
}

Deno.test("what is missing in the command is said with its exit code", async () => {
  await using scene = createScene();
  fs.mkdirSync(`${scene.folder}/empty`);
  const cases: [string[], number, RegExp][] = [
    [["restore", "--target", "back"], 2, /No destination is given/],
    [["restore", "--from", "empty"], 2, /No folder is given/],
    [["restore", "--from", "empty", "--target", "back"], 10, /no backup-agent destination/],
    [["ls"], 2, /No destination is given/],
    [["ls", "empty"], 10, /no backup-agent destination/],
    [["find", "empty"], 2, /No pattern/],
    [["drill"], 2, /No destination is given/],
    [["drill", "empty", "--sample", "0%"], 2, /percentage/],
    [["drill", "empty"], 10, /no backup-agent destination/],
  ];
  for (const [words, code, message] of cases) {
    const run = await scene.run(words);
    assert.equal(run.code, code, words.join(" "));
    assert.match(run.err, message);
  }
  assert.equal(fs.existsSync(`${scene.folder}/back`), false);
});
