/** What lies at a destination afterwards. Rule: stock tools are the only judges. */
import assert from "node:assert/strict";
import {
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { assertCopies, listTree, STOCK_TOOLS } from "../support/compare_trees.ts";
import { fillOddTree, noise, perl } from "../support/fill_tree.ts";
import { runProgram } from "../support/run_program.ts";
import { createScene, destinationOf } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

Deno.test({
  ...needs(
    "every kind of name, link, mode and time reaches every destination as it is",
    "linux",
    "perl",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using scene = createScene();
    const { source, one, two } = scene;
    await fillOddTree(source);
    writeFileSync(`${source}/large`, noise(5_000_003, 1));
    if (Deno.uid() === 0) chownSync(`${source}/one byte`, 1234, 5678);

    const { code, summary, errors } = await scene.backupJson(["source", "--to", one, "--to", two]);

    assert.deepEqual({ code, errors }, { code: 0, errors: [] });
    await assertCopies(source, [one, two]);
    const files = [...(await listTree(source)).values()].filter((text) => text.startsWith("f "));
    for (const destination of [one, two]) {
      const row = destinationOf(summary, destination);
      assert.equal(row["state"], "verified");
      assert.equal(row["files_verified"], files.length);
      assert.equal(row["files_failed"], 0);
    }
    const again = await scene.backupJson(["source", "--to", one, "--to", two]);
    assert.equal(again.code, 0);
    assert.equal(destinationOf(again.summary, one)["files_copied"], 0);
    await assertCopies(source, [one, two]);
  },
});

Deno.test({
  ...needs(
    "paths far longer than PATH_MAX are copied, verified and found unchanged",
    "linux",
    "perl",
    "tar",
    "sh",
  ),
  async fn() {
    await using scene = createScene();
    const { source, one, two } = scene;
    // 60 levels of 200 bytes: 12,000 bytes, where one system call can name 4,096.
    await perl(
      source,
      String.raw`for my $n (1 .. 60) {
        my $name = sprintf('%03d', $n) . 'd' x 197;
        mkdir $name or die "$!"; open(my $f, '>', "file $n") or die "$!"; print $f "level $n" x $n; close $f;
        chdir $name or die "$!";
      }
      open(my $f, '>', 'bottom') or die "$!"; print $f 'the deepest'; close $f;`,
    );
    const { code, err, out } = await scene.backup(["source", "--to", one, "--to", two]);
    assert.equal(code, 0, out + err);
    const original = await archiveHash(source);
    assert.equal(await archiveHash(`${one}/source`), original);
    assert.equal(await archiveHash(`${two}/source`), original);

    const again = await scene.backupJson(["source", "--to", one]);
    assert.equal(again.code, 0);
    assert.equal(destinationOf(again.summary, one)["files_copied"], 0);
    const verified = await scene.run(["verify", one]);
    assert.equal(verified.code, 0, verified.err);
  },
});

/** Content and metadata in one number, by a tool that goes down folder by folder. */
async function archiveHash(folder: string): Promise<string> {
  const script = "set -e; tar --sort=name --numeric-owner --format=pax " +
    "--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f -cf - . | sha256sum";
  const { code, out, err } = await runProgram("sh", ["-c", script], {
    cwd: folder,
    env: { PATH: Deno.env.get("PATH") ?? "", LC_ALL: "C" },
  });
  assert.deepEqual({ code, err }, { code: 0, err: "" });
  return out;
}

Deno.test("the copy is named as its source, or as --as says, and the product's own folder lies beside it", async () => {
  await using scene = createScene();
  const { source, one } = scene;
  writeFileSync(`${source}/file`, "content");
  assert.equal((await scene.backup(["source", "--to", one])).code, 0);
  assert.equal((await scene.backup(["source", "--to", one, "--as", "other name"])).code, 0);

  assert.deepEqual(readdirSync(one).sort(), [".backup-agent", "other name", "source"]);
  assert.equal(readFileSync(`${one}/other name/file`, "utf8"), "content");
  const own = readdirSync(`${one}/.backup-agent`);
  for (const name of ["marker.json", "manifests", "SHA256SUMS", "README.txt"]) {
    assert.ok(own.includes(name), `${name} is not in ${own}`);
  }
  const sums = readFileSync(`${one}/.backup-agent/SHA256SUMS`, "utf8").split("\n");
  assert.deepEqual(sums.map((line) => line.slice(66)).filter((path) => path !== ""), [
    "source/file",
    "other name/file",
  ]);
});

Deno.test({
  ...needs("several sources in one run, each under its own name", "linux", ...STOCK_TOOLS),
  async fn() {
    await using scene = createScene();
    const { folder, one, two } = scene;
    for (const name of ["photos", "music", "empty"]) mkdirSync(`${folder}/${name}`);
    writeFileSync(`${folder}/photos/a`, "picture");
    writeFileSync(`${folder}/music/b`, "sound");
    const words = ["photos", "music/", "./empty", "--to", one, "--to", two];
    const { code } = await scene.backup(words);
    assert.equal(code, 0);
    for (const name of ["photos", "music", "empty"]) {
      await assertCopies(`${folder}/${name}`, [one, two]);
    }
  },
});

Deno.test({
  ...needs("a destination named through a symbolic link is the folder behind it", ...STOCK_TOOLS),
  async fn() {
    await using scene = createScene();
    const { folder, source, one } = scene;
    writeFileSync(`${source}/file`, "content");
    mkdirSync(one);
    symlinkSync(one, `${folder}/link`);
    assert.equal((await scene.backup(["source", "--to", `${folder}/link`])).code, 0);
    await assertCopies(source, [one]);
    const both = await scene.backup(["source", "--to", one, "--to", `${folder}/link`]);
    assert.equal(both.code, 2, both.err);
  },
});

Deno.test({
  ...needs("hard links stay links when the first name of a file changes or goes", ...STOCK_TOOLS),
  async fn() {
    await using scene = createScene();
    const { source, one } = scene;
    writeFileSync(`${source}/b`, "shared");
    linkSync(`${source}/b`, `${source}/c`);
    linkSync(`${source}/b`, `${source}/d`);
    assert.equal((await scene.backup(["source", "--to", one])).code, 0);
    await assertCopies(source, [one]);

    linkSync(`${source}/b`, `${source}/a`);
    assert.equal((await scene.backup(["source", "--to", one])).code, 0);
    await assertCopies(source, [one]);

    // One name becomes a file of its own; another file takes its place in the group.
    Deno.removeSync(`${source}/a`);
    writeFileSync(`${source}/a`, "shared");
    Deno.removeSync(`${source}/d`);
    linkSync(`${source}/a`, `${source}/d`);
    assert.equal((await scene.backup(["source", "--to", one])).code, 0);
    await assertCopies(source, [one]);

    writeFileSync(`${source}/b`, "changed through one name, seen through all");
    assert.equal((await scene.backup(["source", "--to", one])).code, 0);
    await assertCopies(source, [one]);
  },
});

Deno.test({
  ...needs("the stage is empty after a run, also after one that replaced files"),
  async fn() {
    await using scene = createScene();
    const { source, one } = scene;
    for (let n = 0; n < 20; n++) writeFileSync(`${source}/${n}`, noise(3000 * n, n));
    assert.equal((await scene.backup(["source", "--to", one])).code, 0);
    for (let n = 0; n < 20; n += 2) writeFileSync(`${source}/${n}`, noise(2999 * n + 1, n));
    assert.equal((await scene.backup(["source", "--to", one])).code, 0);
    assert.deepEqual(filesBelow(`${one}/.backup-agent/stage`), []);
    assert.equal(existsSync(`${one}/.backup-agent/displaced`), false);
  },
});

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => `${entry.parentPath}/${entry.name}`);
}
