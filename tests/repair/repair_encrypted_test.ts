/** Encrypted copies, repaired from destinations where each file has other bytes. Rule: stock age and rsync judge. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { assertChecksumsHold } from "../support/compare_trees.ts";
import { noise } from "../support/fill_tree.ts";
import { runProgram } from "../support/run_program.ts";
import { createScene, type Scene } from "../support/scene.ts";
import { findProgram, needs } from "../support/tools.ts";
import { treeState } from "../support/tree_state.ts";

const TOOLS = ["age", "age-keygen", "rsync", "sha256sum"] as const;
const FILES = ["large", "small", "first", "dir/second", "dir/missing"];

function flip(path: string, offset: number): void {
  const { atime, mtime } = fs.statSync(path);
  const bytes = fs.readFileSync(path);
  bytes[offset]! ^= 0x10;
  fs.writeFileSync(path, bytes);
  fs.utimesSync(path, atime, mtime);
}

async function makeKey(scene: Scene, name: string): Promise<string> {
  const path = `${scene.folder}/${name}`;
  const made = await runProgram(findProgram("age-keygen")!, ["-o", path]);
  assert.equal(made.code, 0, made.err);
  return (await runProgram(findProgram("age-keygen")!, ["-y", path])).out.trim();
}

/** Two encrypted copies, the first with every kind of damage to contents. */
async function damagedCopies(scene: Scene, words: string[][]): Promise<void> {
  const { source, one, two } = scene;
  fs.mkdirSync(`${source}/dir`);
  fs.writeFileSync(`${source}/large`, noise(3_000_000, 7));
  for (const name of ["small", "first", "dir/missing"]) fs.writeFileSync(`${source}/${name}`, name);
  fs.linkSync(`${source}/first`, `${source}/dir/second`);
  for (const [k, at] of [one, two].entries()) {
    const { code, out, err } = await scene.backup(["source", "--to", at, ...words[k]!]);
    assert.equal(code, 0, out + err);
  }
  const copy = `${one}/source`;
  flip(`${copy}/large.age`, 1_500_000);
  flip(`${copy}/small.age`, 40);
  flip(`${copy}/first.age`, fs.statSync(`${copy}/first.age`).size - 1);
  fs.rmSync(`${copy}/dir/missing.age`);
  fs.writeFileSync(`${copy}/stranger`, "nobody's");
}

async function assertRepaired(scene: Scene, words: string[], key: string): Promise<string> {
  const { one, two, source, folder } = scene;
  const before = treeState(`${two}/source`);
  const { code, out, err } = await scene.run(["verify", one, "--repair-from", two, ...words]);
  assert.equal(code, 0, out + err);
  for (const name of ["large", "small", "first", "dir/missing"]) {
    assert.ok(out.includes(`source/${name}`), `${name}\n${out}`);
  }
  assert.match(out, /stranger/);
  assert.deepEqual(treeState(`${two}/source`), before, "the other one is only read");
  for (const name of FILES) {
    const args = ["-d", "-i", key, "-o", `${folder}/out`, `${one}/source/${name}.age`];
    const opened = await runProgram(findProgram("age")!, args);
    assert.equal(opened.code, 0, `${name}: ${opened.err}`);
    assert.deepEqual(fs.readFileSync(`${folder}/out`), fs.readFileSync(`${source}/${name}`), name);
  }
  const [first, second] = ["first", "dir/second"].map((name) =>
    fs.statSync(`${one}/source/${name}.age`).ino
  );
  assert.equal(first, second, "one file with two names");
  fs.rmSync(`${one}/source/stranger`);
  await assertChecksumsHold(one);
  const again = await scene.run(["verify", one, ...words]);
  assert.equal(again.code, 0, again.out);
  return out;
}

Deno.test({
  ...needs("encrypted for the same people: repaired without any key", ...TOOLS),
  async fn() {
    await using scene = createScene();
    const recipient = await makeKey(scene, "key");
    const words = ["--encrypt", "--recipient", recipient];
    await damagedCopies(scene, [words, words]);
    const { folder, one } = scene;
    await assertRepaired(scene, [], `${folder}/key`);
    const { code, out } = await scene.backup(["source", "--to", one, ...words]);
    assert.equal(code, 0, out);
    assert.match(out, /0 files copied.*5 unchanged/);
  },
});

Deno.test({
  ...needs("encrypted for others there: repaired with their key, and encrypted anew", ...TOOLS),
  async fn() {
    await using scene = createScene();
    const { folder, one, two } = scene;
    const [mine, theirs] = [await makeKey(scene, "mine"), await makeKey(scene, "theirs")];
    await damagedCopies(scene, [
      ["--encrypt", "--recipient", mine, "--identity", "mine"],
      ["--encrypt", "--recipient", theirs, "--identity", "theirs"],
    ]);
    const list = `${one}/.backup-agent/manifests/s1.jsonl.age`;
    assert.ok(fs.existsSync(list));
    // Damage at the other one costs what it would have given, by name.
    const copy = `${two}/source/small.age`;
    const whole = fs.readFileSync(copy);
    flip(copy, whole.length - 1);
    const keys = ["--identity", "mine", "--identity", "theirs"];
    const part = await scene.run(["verify", one, "--repair-from", two, ...keys]);
    assert.equal(part.code, 1, part.out);
    assert.match(part.out, /small.*not repaired/);
    assert.equal((part.out.match(/not repaired/g) ?? []).length, 1, part.out);
    fs.writeFileSync(copy, whole);
    fs.writeFileSync(`${one}/source/stranger`, "nobody's");
    flip(`${one}/source/large.age`, 99);
    flip(`${one}/source/first.age`, 250);
    fs.rmSync(`${one}/source/dir/missing.age`);
    await assertRepaired(scene, keys, `${folder}/mine`);
    assert.ok(fs.existsSync(list), "the list stays encrypted");
    const opened = await runProgram(findProgram("age")!, ["-d", "-i", `${folder}/mine`, list]);
    assert.equal(opened.code, 0, opened.err);
    const words = ["source", "--to", one, "--encrypt", "--recipient", mine, "--identity", "mine"];
    const { code, out } = await scene.backup(words);
    assert.equal(code, 0, out);
    assert.match(out, /0 files copied.*5 unchanged/);
  },
});

Deno.test({
  ...needs("encrypted for others there, and no key: named, and nothing is touched", ...TOOLS),
  async fn() {
    await using scene = createScene();
    const { one, two } = scene;
    const [mine, theirs] = [await makeKey(scene, "mine"), await makeKey(scene, "theirs")];
    await damagedCopies(scene, [
      ["--encrypt", "--recipient", mine],
      ["--encrypt", "--recipient", theirs],
    ]);
    const bytes = () =>
      [...FILES, "stranger"].map((name) => {
        const path = `${one}/source/${name}${name === "stranger" ? "" : ".age"}`;
        return fs.existsSync(path) ? fs.readFileSync(path) : undefined;
      });
    const before = bytes();
    const { code, out } = await scene.run(["verify", one, "--repair-from", two]);
    assert.equal(code, 1, out);
    assert.equal((out.match(/not repaired: .*no key is given/g) ?? []).length, 5, out);
    assert.deepEqual(bytes(), before);
  },
});
