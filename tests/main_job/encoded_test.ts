/** Compressed and encrypted copies, made by the program. Rule: stock tools judge, and no secret is ever given to us. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { runProgram } from "../support/run_program.ts";
import { createScene, destinationOf, parseLines, type Scene } from "../support/scene.ts";
import { findProgram, needs } from "../support/tools.ts";
import { noise } from "../support/fill_tree.ts";

const TOOLS = ["age", "age-keygen", "sha256sum", "zstd"];

async function must(program: string, ...args: string[]): Promise<string> {
  const ran = await runProgram(findProgram(program)!, args);
  assert.equal(ran.code, 0, ran.err);
  return ran.out.trim();
}

function encoded(name: string, fn: (scene: Scene) => Promise<void>): void {
  Deno.test({
    ...needs(name, ...TOOLS),
    async fn() {
      await using scene = createScene();
      mkdirSync(`${scene.source}/deep`);
      writeFileSync(`${scene.source}/a.txt`, "text\n".repeat(1000));
      writeFileSync(`${scene.source}/deep/b.bin`, noise(300_000, 1));
      await fn(scene);
    },
  });
}

async function makeKey(scene: Scene): Promise<string> {
  await must("age-keygen", "-o", `${scene.folder}/key`);
  return await must("age-keygen", "-y", `${scene.folder}/key`);
}

async function checksumsHold(destination: string): Promise<void> {
  const ran = await runProgram(findProgram("sha256sum")!, [
    "--check",
    "--strict",
    "--quiet",
    ".backup-agent/SHA256SUMS",
  ], { cwd: destination });
  assert.equal(ran.code, 0, ran.out + ran.err);
}

encoded("--compress stores what zstd -d reads, at every destination", async (scene) => {
  const words = ["source", "--to", scene.one, "--to", scene.two, "--compress"];
  const { code, summary, out, err } = await scene.backupJson(words);
  assert.equal(code, 0, out + err);
  assert.equal(Number(destinationOf(summary, scene.two)["files_verified"]), 2);
  for (const destination of [scene.one, scene.two]) {
    const copy = `${destination}/source`;
    assert.deepEqual(readdirSync(copy).sort(), ["a.txt.zst", "deep"]);
    for (const path of ["a.txt", "deep/b.bin"]) {
      await must("zstd", "-q", "-d", "-f", `${copy}/${path}.zst`, "-o", `${scene.folder}/out`);
      assert.deepEqual(
        readFileSync(`${scene.folder}/out`),
        readFileSync(`${scene.source}/${path}`),
      );
    }
    await checksumsHold(destination);
    const checked = await scene.run(["verify", destination]);
    assert.equal(checked.code, 0, checked.out + checked.err);
  }
});

encoded("--encrypt stores what only the recipients' keys open", async (scene) => {
  const recipient = await makeKey(scene);
  writeFileSync(`${scene.folder}/keys`, `# mine\n${recipient}\n`);
  const words = ["source", "--to", scene.one, "--encrypt", "--recipients-file", "keys"];
  const first = await scene.backup(words);
  assert.equal(first.code, 0, first.out + first.err);
  const stored = `${scene.one}/source/a.txt.age`;
  assert.ok(!readFileSync(stored).includes("text\ntext"));
  await must("age", "-d", "-i", `${scene.folder}/key`, "-o", `${scene.folder}/out`, stored);
  assert.equal(readFileSync(`${scene.folder}/out`, "utf8"), "text\n".repeat(1000));
  await must("age-keygen", "-o", `${scene.folder}/other`);
  const other = ["-d", "-i", `${scene.folder}/other`, stored];
  assert.notEqual((await runProgram(findProgram("age")!, other)).code, 0);
  // Checking needs no key.
  assert.equal((await scene.run(["verify", scene.one])).code, 0);

  const both = await scene.backup([...words, "--compress"]);
  assert.equal(both.code, 0, both.out + both.err);
  assert.ok(!existsSync(stored));
  assert.deepEqual(readdirSync(`${scene.one}/source`).sort(), ["a.txt.zst.age", "deep"]);
  await checksumsHold(scene.one);
  assert.equal((await scene.run(["verify", scene.one])).code, 0);
});

encoded(
  "an encrypted version is listed, opened by age, and restored with --identity",
  async (scene) => {
    const recipient = await makeKey(scene);
    const words = ["source", "--to", scene.one, "--encrypt", "--recipient", recipient];
    const history = ["--keep-versions", "2", "--delete"];
    assert.equal((await scene.backup([...words, ...history])).code, 0);
    writeFileSync(`${scene.source}/a.txt`, "another text");
    rmSync(`${scene.source}/deep/b.bin`);
    const second = await scene.backup([...words, "--compress", ...history]);
    assert.equal(second.code, 0, second.out + second.err);
    assert.deepEqual(readdirSync(`${scene.one}/source/deep`), []);

    const versions = ["versions", "source/a.txt", "--at", scene.one];
    const listed = await scene.run([...versions, "--json"]);
    const [version] = parseLines(listed.out)[0]!["versions"] as Record<string, string>[];
    const stored = `${scene.one}/${version!["stored_at"]}`;
    assert.equal(
      await must("age", "-d", "-i", `${scene.folder}/key`, stored),
      "text\n".repeat(1000).trim(),
    );
    const restore = [...versions, "--restore", "latest", "--target", "back"];
    const locked = await scene.run(restore);
    assert.equal(locked.code, 12, locked.err);
    assert.match(locked.err, /--identity/);
    assert.ok(!existsSync(`${scene.folder}/back`));
    const restored = await scene.run([...restore, "--identity", "key"]);
    assert.equal(restored.code, 0, restored.err);
    assert.equal(readFileSync(`${scene.folder}/back`, "utf8"), "text\n".repeat(1000));
    assert.equal((await scene.run(["verify", scene.one])).code, 0);
  },
);

encoded("a secret key given for a public one is refused and appears nowhere", async (scene) => {
  await makeKey(scene);
  const secret = /^AGE-SECRET-KEY-.+$/m.exec(readFileSync(`${scene.folder}/key`, "utf8"))![0];
  mkdirSync(scene.stateDir, { recursive: true });
  for (const more of [["--recipient", secret], ["--recipients-file", "key"]]) {
    const { code, out, err } = await scene.backup([
      "source",
      "--to",
      scene.one,
      "--encrypt",
      ...more,
    ]);
    assert.equal(code, 2, out + err);
    assert.match(err, /secret key/);
    assert.ok(!(out + err).includes(secret.slice(16, 40)));
  }
  assert.ok(!existsSync(scene.one));
});
