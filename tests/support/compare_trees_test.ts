import assert from "node:assert/strict";
import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { assertChecksumsHold, assertSameTree, STOCK_TOOLS } from "./compare_trees.ts";
import { runProgram } from "./run_program.ts";
import { createScene } from "./scene.ts";
import { needs } from "./tools.ts";

/** Each makes `copy` differ from a good copy in one thing. */
const DAMAGES: Record<string, (copy: string) => Promise<void> | void> = {
  "one more file": (copy) => writeFileSync(`${copy}/new`, ""),
  "one file less": (copy) => rmSync(`${copy}/file`),
  "another byte, with size and mtime as before": (copy) => touched(`${copy}/file`, "CONTENT"),
  "one nanosecond": (copy) => touched(`${copy}/file`, "content", "12:00:00.000000002"),
  "another mode": (copy) => chmodSync(`${copy}/file`, 0o600),
  "another link target": (copy) => {
    rmSync(`${copy}/link`);
    symlinkSync("elsewhere", `${copy}/link`);
  },
  "a hard link that became a file of its own": async (copy) => {
    rmSync(`${copy}/second name`);
    await touched(`${copy}/second name`, "content");
  },
  "a folder's mtime": (copy) => touched(`${copy}/folder`, undefined, "13:00:00"),
};

for (const [name, damage] of Object.entries(DAMAGES)) {
  Deno.test({
    ...needs(`the comparator sees ${name}`, "linux", "touch", ...STOCK_TOOLS),
    async fn() {
      await using scene = createScene();
      const copy = `${scene.folder}/copy`;
      for (const folder of [scene.source, copy]) await fill(folder);
      await assertSameTree(scene.source, copy);
      await damage(copy);
      await assert.rejects(assertSameTree(scene.source, copy), /differs from/);
    },
  });
}

Deno.test({
  ...needs("the check of SHA256SUMS sees a file that the list does not name", ...STOCK_TOOLS),
  async fn() {
    await using scene = createScene();
    mkdirSync(`${scene.one}/.backup-agent`, { recursive: true });
    writeFileSync(`${scene.one}/empty`, "");
    const sums = `${scene.one}/.backup-agent/SHA256SUMS`;
    const hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    writeFileSync(sums, `${hash}  empty\n`);
    await assertChecksumsHold(scene.one);
    writeFileSync(`${scene.one}/not named`, "");
    await assert.rejects(assertChecksumsHold(scene.one));
    appendFileSync(sums, `${hash}  not named\n`);
    await assertChecksumsHold(scene.one);
    writeFileSync(`${scene.one}/not named`, "changed");
    await assert.rejects(assertChecksumsHold(scene.one));
  },
});

async function fill(folder: string): Promise<void> {
  mkdirSync(`${folder}/folder`, { recursive: true });
  await touched(`${folder}/file`, "content");
  linkSync(`${folder}/file`, `${folder}/second name`);
  symlinkSync("file", `${folder}/link`);
  await touched(`${folder}/link`);
  await touched(`${folder}/folder`);
  await touched(folder);
}

async function touched(path: string, content?: string, time = "12:00:00.000000001"): Promise<void> {
  if (content !== undefined) writeFileSync(path, content);
  const args = ["--no-dereference", "--date", `2024-05-05 ${time} UTC`, path];
  const { code, err } = await runProgram("touch", args, {
    env: { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin" },
  });
  assert.deepEqual({ code, err }, { code: 0, err: "" });
}
