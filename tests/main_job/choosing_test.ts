/** What is left out, and what is only planned. Rule: the report counts everything that was left out, by rule. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { assertCopies, snapshotOf, STOCK_TOOLS } from "../support/compare_trees.ts";
import { fillFiles, noise } from "../support/fill_tree.ts";
import { withTmpfs } from "../support/loop_fs.ts";
import { createScene, destinationOf, type JsonLine } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

interface Excluded {
  rule: string;
  files: number;
  directories: number;
  bytes: number;
}

function excludedOf(summary: JsonLine): Map<string, Excluded> {
  const [source] = summary["sources"] as { excluded: Excluded[] }[];
  return new Map(source!.excluded.map((row) => [row.rule, row]));
}

/** The rule whose text contains `part`. */
function ruleWith(summary: JsonLine, part: string): Excluded {
  for (const [rule, row] of excludedOf(summary)) if (rule.includes(part)) return row;
  throw new Error(`no rule with ${part} in ${JSON.stringify([...excludedOf(summary).keys()])}`);
}

function relativePaths(folder: string): string[] {
  return (readdirSync(folder, { recursive: true }) as string[]).sort();
}

Deno.test({
  ...needs("nothing is left out by default, whatever it is called", ...STOCK_TOOLS),
  async fn() {
    await using scene = createScene();
    const { source, one } = scene;
    for (const folder of [".git/objects", "node_modules/x", "dist", ".cache", "__pycache__"]) {
      mkdirSync(`${source}/${folder}`, { recursive: true });
      writeFileSync(`${source}/${folder}/file`, folder);
    }
    for (const name of [".env", "a.log", "b.tmp", "c~", "Thumbs.db", "core"]) {
      writeFileSync(`${source}/${name}`, name);
    }
    const { code, summary } = await scene.backupJson(["source", "--to", one]);
    assert.equal(code, 0);
    await assertCopies(source, [one]);
    assert.equal(excludedOf(summary).size, 0);
  },
});

Deno.test("--exclude and --exclude-file leave out what matches, and the report counts it by rule", async () => {
  await using scene = createScene();
  const { source, one, folder } = scene;
  mkdirSync(`${source}/build/deep`, { recursive: true });
  writeFileSync(`${source}/build/deep/a`, "12345");
  mkdirSync(`${source}/sub`);
  for (const name of ["a.log", "b.log", "keep.log", "x.txt", "sub/c.log", "sub/build"]) {
    writeFileSync(`${source}/${name}`, "1234567890");
  }
  writeFileSync(`${folder}/rules`, "# a comment\n*.log\n!keep.log\n");
  const words = ["source", "--to", one, "--exclude", "build/", "--exclude-file", "rules"];
  const { code, summary } = await scene.backupJson(words);
  assert.equal(code, 0);
  assert.deepEqual(relativePaths(`${one}/source`), ["keep.log", "sub", "sub/build", "x.txt"]);
  const build = ruleWith(summary, "build/");
  assert.deepEqual([build.files, build.directories], [0, 1]);
  const logs = ruleWith(summary, "*.log");
  assert.deepEqual([logs.files, logs.directories, logs.bytes], [3, 0, 30]);

  const text = await scene.backup(words);
  assert.match(text.out, /Left out:/);
  assert.match(text.out, /\*\.log.*: 3 files, 30 B/);
});

Deno.test("a .backupignore counts from its own folder down, and --no-ignore-files copies everything", async () => {
  await using scene = createScene();
  const { source, one, two } = scene;
  mkdirSync(`${source}/a/b`, { recursive: true });
  for (const name of ["x.tmp", "a/x.tmp", "a/b/x.tmp", "a/b/keep.tmp", "a/top", "top"]) {
    writeFileSync(`${source}/${name}`, "content");
  }
  writeFileSync(`${source}/a/.backupignore`, "*.tmp\n/top\n");
  writeFileSync(`${source}/a/b/.backupignore`, "!keep.tmp\n");
  const { code, summary } = await scene.backupJson(["source", "--to", one]);
  assert.equal(code, 0);
  assert.deepEqual(relativePaths(`${one}/source`), [
    "a",
    "a/.backupignore",
    "a/b",
    "a/b/.backupignore",
    "a/b/keep.tmp",
    "top",
    "x.tmp",
  ]);
  const rule = ruleWith(summary, "*.tmp");
  assert.deepEqual([rule.files, rule.bytes], [2, 14]);
  assert.match(rule.rule, /a\/\.backupignore/);

  assert.equal((await scene.backup(["source", "--to", two, "--no-ignore-files"])).code, 0);
  assert.deepEqual(relativePaths(`${two}/source`), relativePaths(source));
});

Deno.test("--exclude-caches leaves out what a true CACHEDIR.TAG marks, keeps the tag, and counts", async () => {
  await using scene = createScene();
  const { source, one } = scene;
  for (const name of ["true", "false"]) {
    mkdirSync(`${source}/${name}`);
    writeFileSync(`${source}/${name}/thumbnail`, "1234");
  }
  const signature = "Signature: 8a477f597d28d172789f06886806bc55";
  writeFileSync(`${source}/true/CACHEDIR.TAG`, `${signature}\n# more`);
  writeFileSync(`${source}/false/CACHEDIR.TAG`, "Signature: of something else");
  const { code, summary } = await scene.backupJson(["source", "--to", one, "--exclude-caches"]);
  assert.equal(code, 0);
  assert.deepEqual(relativePaths(`${one}/source`), [
    "false",
    "false/CACHEDIR.TAG",
    "false/thumbnail",
    "true",
    "true/CACHEDIR.TAG",
  ]);
  const rule = ruleWith(summary, "caches");
  assert.deepEqual([rule.files, rule.bytes], [1, 4]);
});

Deno.test({
  ...needs("--one-file-system keeps the mount point empty and counts it", "linux", "root", "mount"),
  async fn() {
    await withTmpfs({ sizeBytes: 1 << 20 }, async (mountPoint) => {
      await using scene = createScene();
      const { one, two } = scene;
      // The folder above the mount point is the source.
      const source = mountPoint.replace(/\/mnt$/, "");
      writeFileSync(`${mountPoint}/on the other`, "file system");
      const words = [source, "--as", "copy", "--to", one];
      const { code, summary } = await scene.backupJson([...words, "--one-file-system"]);
      assert.equal(code, 0);
      assert.deepEqual(relativePaths(`${one}/copy`), ["mnt"]);
      assert.deepEqual(ruleWith(summary, "--one-file-system").directories, 1);

      assert.equal((await scene.backup([source, "--as", "copy", "--to", two])).code, 0);
      assert.deepEqual(relativePaths(`${two}/copy`), ["mnt", "mnt/on the other"]);
    });
  },
});

Deno.test({
  ...needs("--dry-run writes nothing, anywhere, and shows sizes", "find", "sha256sum"),
  async fn() {
    await using scene = createScene();
    const { source, one, two, folder } = scene;
    fillFiles(source, 10, 1000);
    writeFileSync(`${source}/large`, noise(2_000_000, 1));
    assert.equal((await scene.backup(["source", "--to", one])).code, 0);
    writeFileSync(`${source}/large`, noise(3_000_000, 2));
    writeFileSync(`${source}/new`, "new");
    symlinkSync("x", `${source}/link`);
    const before = [await snapshotOf(one), await snapshotOf(source)];

    const { code, summary } = await scene.backupJson([
      "source",
      "--to",
      one,
      "--to",
      two,
      "--dry-run",
    ]);
    assert.equal(code, 0);
    assert.equal(summary["dry_run"], true);
    assert.deepEqual(destinationOf(summary, one)["plan"], {
      files_to_copy: 2,
      bytes_to_copy: 3_000_003,
      files_unmodified: 10,
      files_gone: 0,
    });
    assert.deepEqual(destinationOf(summary, two)["plan"], {
      files_to_copy: 12,
      bytes_to_copy: 3_010_003,
      files_unmodified: 0,
      files_gone: 0,
    });
    // A source that this destination does not know yet.
    const other = await scene.backup([folder, "--as", "other", "--to", one, "-n"]);
    assert.equal(other.code, 2, "the destination lies inside that source");
    mkdirSync(`${folder}/elsewhere`);
    writeFileSync(`${folder}/elsewhere/file`, "1234");
    const fresh = await scene.backup(["elsewhere", "--to", one, "-n"]);
    assert.equal(fresh.code, 0, fresh.out);
    assert.match(fresh.out, /nothing was written/);
    assert.match(fresh.out, /would copy 1 file \(4 B\)/);

    assert.deepEqual([await snapshotOf(one), await snapshotOf(source)], before);
    assert.equal(existsSync(two), false);
  },
});
