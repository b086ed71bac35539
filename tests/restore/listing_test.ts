/** `ls`, `find` and `drill` as a user runs them. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { fillFiles, fillOddTree } from "../support/fill_tree.ts";
import { createScene } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

const lines = (text: string) => text.split("\n").filter((line) => line !== "");

Deno.test("ls shows the copies, then a folder, then all below, and marks what the source has lost", async () => {
  await using scene = createScene();
  const { source, one } = scene;
  fs.mkdirSync(`${source}/sub/deeper`, { recursive: true });
  fs.writeFileSync(`${source}/sub/deeper/file`, "12345");
  fs.chmodSync(`${source}/sub/deeper/file`, 0o4750);
  fs.writeFileSync(`${source}/lost`, "x");
  fs.symlinkSync("sub/deeper", `${source}/link`);
  await scene.backup(["source", "--to", one]);
  fs.rmSync(`${source}/lost`);
  await scene.backup(["source", "--to", one]);
  const ls = async (...words: string[]) => {
    const { code, out, err } = await scene.run(["ls", one, ...words]);
    return { code, err, paths: lines(out).map((line) => line.replace(/^.*?:\d\d /, "")), out };
  };
  assert.deepEqual((await ls()).paths, ["source"]);
  const top = await ls("source/");
  assert.deepEqual(top.paths.map((path) => path.replace(/since .*\]/, "since]")), [
    "source/link -> sub/deeper",
    "source/lost  [gone since]",
    "source/sub",
  ]);
  const all = await ls("source/sub", "-R");
  assert.deepEqual(all.paths, ["source/sub/deeper", "source/sub/deeper/file"]);
  assert.match(all.out, /^-rwsr-x--- \d+:\d+ +5 \d{4}-\d\d-\d\d \d\d:\d\d source/m);
  assert.deepEqual((await ls("source/sub/deeper/file")).paths, ["source/sub/deeper/file"]);
  const none = await ls("source/su");
  assert.deepEqual([none.code, none.paths], [1, []]);
  assert.match(none.err, /Nothing recorded/);
});

Deno.test({
  ...needs("names never reach the terminal raw, and JSON has them byte for byte", "perl", "mkfifo"),
  async fn() {
    await using scene = createScene();
    await fillOddTree(scene.source);
    await scene.backup(["source", "--to", scene.one]);
    const { out } = await scene.run(["ls", scene.one, "-R"]);
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(out, /[\x00-\x09\x0b-\x1f]/);
    assert.match(out, /source\/names\/line\\nbreak/);
    const json = lines((await scene.run(["ls", scene.one, "-R", "--json"])).out)
      .map((line) => JSON.parse(line) as { path: string; pathBase64?: string });
    assert.equal(json.length, lines(out).length, "one line each");
    assert.ok(json.some(({ path }) => path === "source/names/line\nbreak"));
    const odd = json.find(({ pathBase64 }) =>
      pathBase64 !== undefined && atob(pathBase64).endsWith("caf\xe9")
    );
    assert.ok(odd !== undefined, "a name that is not UTF-8");
  },
});

Deno.test("find compares names, paths when there is a slash, and small letters when asked", async () => {
  await using scene = createScene();
  const { source, one } = scene;
  fs.mkdirSync(`${source}/Letters/old`, { recursive: true });
  for (const path of ["a.txt", "Letters/B.TXT", "Letters/old/c.txt", "Letters/[x].txt"]) {
    fs.writeFileSync(`${source}/${path}`, path);
  }
  await scene.backup(["source", "--to", one]);
  const find = async (...words: string[]) => {
    const { out } = await scene.run(["find", one, ...words, "--json"]);
    return lines(out).map((line) => (JSON.parse(line) as { path: string }).path);
  };
  assert.deepEqual(await find("*.txt"), [
    "source/Letters/[x].txt",
    "source/Letters/old/c.txt",
    "source/a.txt",
  ]);
  assert.deepEqual(await find("b.*", "-i"), ["source/Letters/B.TXT"]);
  assert.deepEqual(await find("letters/*.txt", "--ignore-case"), [
    "source/Letters/B.TXT",
    "source/Letters/[x].txt",
  ]);
  assert.deepEqual(await find("source/**/c.txt"), ["source/Letters/old/c.txt"]);
  assert.deepEqual(await find("?.txt"), ["source/Letters/old/c.txt", "source/a.txt"]);
  assert.deepEqual(await find("[!a-b].txt"), ["source/Letters/old/c.txt"]);
  assert.deepEqual(await find("\\[x\\].txt"), ["source/Letters/[x].txt"]);
  const restored = await scene.run([
    ...["restore", "--from", one, "--target", "back"],
    ...await find("c.txt"),
  ]);
  assert.equal(restored.code, 0);
  const back = `${scene.folder}/back/source/Letters/old/c.txt`;
  assert.equal(fs.readFileSync(back, "utf8"), "Letters/old/c.txt");
});

Deno.test("a drill leaves a dated report and nothing else, and one that finds damage fails by name", async () => {
  await using scene = createScene();
  const { source, one, folder } = scene;
  fillFiles(source, 60, 2_000);
  await scene.backup(["source", "--to", one]);
  fs.mkdirSync(`${folder}/scratch`);
  const words = ["drill", one, "--scratch", `${folder}/scratch`];
  const sampled = await scene.run([...words, "--sample", "10%"]);
  assert.equal(sampled.code, 0, sampled.err);
  const all = await scene.run([...words, "--sample", "100%", "--json"]);
  assert.equal(all.code, 0, all.err);
  const report = JSON.parse(all.out) as Record<string, unknown>;
  assert.deepEqual(
    [
      report["passed"],
      report["filesChosen"],
      report["filesRestored"],
      report["comparedWithSource"],
    ],
    [true, 60, 60, 60],
  );
  const stored = JSON.parse(fs.readFileSync(report["report_path"] as string, "utf8"));
  assert.deepEqual([stored.format, stored.passed], ["backup-agent drill", true]);
  assert.match(String(report["report_path"]), /\/drills\/\d{8}T\d{6}Z\.json$/);
  assert.deepEqual(fs.readdirSync(`${folder}/scratch`), []);
  fs.writeFileSync(`${source}/folder 0/file 0`, "changed since");
  fs.truncateSync(`${one}/source/folder 0/file 3`, 10);
  const failed = await scene.run([...words, "--sample", "100%", "--json"]);
  assert.equal(failed.code, 1);
  const said = JSON.parse(failed.out);
  assert.deepEqual(said.failures.map((one: { path: string }) => one.path), [
    "source/folder 0/file 3",
  ]);
  assert.equal(said.comparedWithSource, 58, "neither the damaged nor the changed one");
  assert.deepEqual(fs.readdirSync(`${folder}/scratch`), []);
});

for (const command of ["restore", "ls", "find", "drill"]) {
  Deno.test(`${command} --help says how it is used and what its exit codes mean`, async () => {
    await using scene = createScene();
    const { code, out } = await scene.run([command, "--help"]);
    assert.equal(code, 0);
    assert.match(out, new RegExp(`backup-agent ${command} `));
    assert.match(out, /Exit codes:/);
    assert.match(out, /Examples:/);
  });
}
