/** Encrypted copies brought back by the program. Rule: age-keygen makes the keys, rsync judges, and no key is ever shown. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { assertRsyncSeesNoDifference, STOCK_TOOLS } from "../support/compare_trees.ts";
import { fillOddTree } from "../support/fill_tree.ts";
import { runProgram } from "../support/run_program.ts";
import { createScene, parseLines, type Scene } from "../support/scene.ts";
import { findProgram, needs } from "../support/tools.ts";

const TOOLS = ["age", "age-keygen", "perl", "mkfifo", "setfattr", ...STOCK_TOOLS];

/** A new identity file `name`; its public key, and its secret one to look for. */
async function makeKey(scene: Scene, name: string): Promise<{ recipient: string; secret: string }> {
  const path = `${scene.folder}/${name}`;
  for (const words of [["-o", path], ["-y", path]]) {
    const { code, out, err } = await runProgram(findProgram("age-keygen")!, words);
    assert.equal(code, 0, err);
    if (words[0] === "-y") {
      const secret = /^AGE-SECRET-KEY-.+$/m.exec(fs.readFileSync(path, "utf8"))![0];
      return { recipient: out.trim(), secret };
    }
  }
  throw new Error("unreachable");
}

function encrypted(
  name: string,
  fn: (scene: Scene, secret: string) => Promise<void>,
): void {
  Deno.test({
    ...needs(name, ...TOOLS),
    async fn() {
      await using scene = createScene();
      const { source, one } = scene;
      await fillOddTree(source);
      fs.writeFileSync(`${source}/large`, "line\n".repeat(1_000_000));
      const marked = await runProgram("setfattr", ["-n", "user.a", "-v", "b", `${source}/large`]);
      assert.equal(marked.code, 0, marked.err);
      const { recipient, secret } = await makeKey(scene, "key");
      const words = ["source", "--to", one, "--compress", "--encrypt", "--recipient", recipient];
      const { code, out, err } = await scene.backup(words);
      assert.equal(code, 0, out + err);
      assert.ok(fs.existsSync(`${one}/source/large.zst.age`));
      await fn(scene, secret);
    },
  });
}

encrypted(
  "a compressed and encrypted copy comes back as rsync wants it, with its key",
  async (scene, secret) => {
    const { source, one, folder } = scene;
    const words = ["restore", "--from", one, "--target", "back", "--identity", "key"];
    const { code, out, err } = await scene.run([...words, "--json"]);
    assert.equal(code, 0, out + err);
    assert.ok(!(out + err).includes(secret.slice(16, 40)));
    const compared = ["-aHAXni", "--delete", `${source}/`, `${folder}/back/source/`];
    const judged = await runProgram("rsync", compared);
    assert.deepEqual([judged.code, judged.out, judged.err], [0, "", ""]);
    fs.chmodSync(`${folder}/key`, 0o644);
    const again = await scene.run(words);
    assert.equal(again.code, 0, again.out + again.err);
    assert.match(again.out, /Warning: Others may read the identity file .+\/key: chmod 600/);
  },
);

encrypted("a wrong key and no key are exit code 12, and nothing has a name", async (scene) => {
  await makeKey(scene, "other");
  const { one, folder } = scene;
  for (const more of [[], ["--identity", "other"]]) {
    const words = ["restore", "--from", one, "--target", "back", ...more, "--json"];
    const { code, out, err } = await scene.run(words);
    assert.equal(code, 12, out + err);
    const lines = parseLines(out);
    const summary = lines.find((line) => line.message_type === "summary")!;
    assert.deepEqual([summary["state"], summary["files_restored"]], ["failed", 0]);
    assert.equal(summary["files_locked"], summary["total_files"]);
    const large = lines.find((line) => line["item"] === "source/large")!;
    assert.equal(large["code"], "wrong_key");
    assert.equal(fs.existsSync(`${folder}/back/source/large`), false);
    assert.equal(JSON.parse(err.trim().split("\n").at(-1)!).code, 12);
  }
});

encrypted("a key that comes through a pipe opens a copy, and is in no argument", async (scene) => {
  const { source, one, folder } = scene;
  const shell = ["/bin/bash", "-c", 'exec "$@" --identity <(cat key)', "bash"];
  const words = ["restore", "--from", one, "--target", "back"];
  const { code, out, err } = await scene.run(words, { before: shell });
  assert.equal(code, 0, out + err);
  await assertRsyncSeesNoDifference(source, `${folder}/back/source`);
});

encrypted("a drill takes the key as a restore does, and says 12 without it", async (scene) => {
  const words = ["drill", scene.one, "--sample", "100%", "--scratch", scene.folder];
  const opened = await scene.run([...words, "--identity", "key"]);
  assert.equal(opened.code, 0, opened.out + opened.err);
  const locked = await scene.run(words);
  assert.equal(locked.code, 12, locked.out + locked.err);
  assert.match(locked.out + locked.err, /source\/large: .*no key is given/);
});
