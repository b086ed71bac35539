import assert from "node:assert/strict";
import { hostname } from "node:os";
import { join } from "node:path";
import { backupOurs, openOurs } from "../../tests/support/restic.ts";
import { RepositoryShell } from "../../tests/support/repository_commands.ts";
import { BlobReader, loadIndex, loadSnapshot } from "../repository/mod.ts";
import { drawSample } from "./drill_sample.ts";
import { Selection } from "./selection.ts";
import { walkSnapshot } from "./walk_snapshot.ts";

interface Scene {
  shell: RepositoryShell;
  source: string;
  repository: string;
  at: string;
  scratch: string;
  drill(...words: string[]): ReturnType<RepositoryShell["type"]>;
}

const FILES = 40;

/** A repository with one backup of some files on this machine. */
async function inScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  const [source, repository, scratch] = ["source", "repository", "scratch"]
    .map((name) => join(folder, name)) as [string, string, string];
  for (const path of [source, scratch, `${source}/folder`]) Deno.mkdirSync(path);
  for (let k = 0; k < FILES; k++) Deno.writeTextFileSync(`${source}/folder/${k}`, `text ${k}`);
  Deno.symlinkSync("folder", `${source}/link`);
  Deno.chmodSync(`${source}/folder`, 0o555);
  const shell = new RepositoryShell();
  const at = `restic:${repository}`;
  try {
    assert.equal((await shell.type(["init", at])).code, 0);
    await backupOurs(await openOurs(repository), {
      base: source,
      isPlaced: true,
      host: hostname(),
    });
    await use({
      ...{ shell, source, repository, at, scratch },
      drill: (...words) => shell.type(["drill", at, "--scratch", scratch, ...words]),
    });
  } finally {
    Deno.chmodSync(`${source}/folder`, 0o755);
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("drill: a sample of the newest snapshot is restored, read again, compared with the source, and gone", () =>
  inScene(async ({ drill, scratch, source, repository }) => {
    const all = await drill("--sample", "100%", "--json");
    assert.equal(all.code, 0, all.err);
    const { passed, filesChosen, filesRestored, comparedWithSource, copies, report_path } = all.json
      .at(-1);
    assert.deepEqual([passed, filesChosen, filesRestored], [true, FILES, FILES]);
    assert.deepEqual([comparedWithSource, copies.length, report_path], [FILES, 1, undefined]);
    const some = await drill("--sample", "0.001%");
    assert.equal(some.code, 0, some.err);
    assert.match(
      some.out,
      /1 of 1 chosen file restored \(\d B\), 1 compared with the source, all are right/,
    );
    assert.deepEqual([...Deno.readDirSync(scratch)], []);
    assert.deepEqual([...Deno.readDirSync(`${repository}/locks`)], []);

    // As restic stores what was named by a dot.
    const dotted = { base: source, paths: [source], host: hostname() };
    await backupOurs(await openOurs(repository), dotted);
    const again = await drill("--sample", "100%", "--json");
    assert.equal(again.json.at(-1).comparedWithSource, FILES, again.err);

    // One whose content was changed behind everybody's back, and one that was changed by its owner.
    const [path, other] = [`${source}/folder/7`, `${source}/folder/8`];
    const { mtime } = Deno.statSync(path);
    Deno.writeTextFileSync(path, "TEXT 7");
    Deno.utimeSync(path, mtime!, mtime!);
    Deno.writeTextFileSync(other, "longer than before");
    const changed = await drill("--sample", "100%", "--json");
    assert.equal(changed.code, 0, changed.err);
    assert.equal(changed.json.at(-1).comparedWithSource, FILES - 2);
  }));

Deno.test("drill: what is damaged or missing is named, and nothing of it passes", () =>
  inScene(async ({ drill, repository, shell, at, scratch }) => {
    const pack = [...Deno.readDirSync(`${repository}/data`)]
      .flatMap(({ name }) =>
        [...Deno.readDirSync(`${repository}/data/${name}`)].map((file) =>
          `${repository}/data/${name}/${file.name}`
        )
      ).find((file) => Deno.statSync(file).size < 10_000)!;
    const bytes = Deno.readFileSync(pack);
    bytes[5]! ^= 1;
    Deno.chmodSync(pack, 0o600);
    Deno.writeFileSync(pack, bytes);
    const run = await drill("--sample", "100%", "--json");
    assert.equal(run.code, 1);
    const { passed, failures } = run.json.at(-1);
    assert.ok(!passed && failures.length > 0);
    assert.ok(failures.every(({ code }: { code: string }) => code === "damaged"), run.out);
    const words = (...more: string[]) => shell.type(["drill", at, "--scratch", scratch, ...more]);
    const missing = await words("--snapshot", "0123abcd");
    assert.equal(missing.code, 1);
    assert.equal((await words("--host", "elsewhere")).code, 1);
    assert.equal((await words("--scratch", `${scratch}/none`)).code, 2);
    assert.equal((await words("--identity", "key")).code, 2);
    assert.equal((await shell.type(["drill", at], { password: "wrong" })).code, 12);
    assert.equal((await shell.type(["drill", "restic:/memory/none"])).code, 10);
    assert.deepEqual([...Deno.readDirSync(scratch)], []);
  }));

Deno.test("a sample has room, one file at least, and is the same for all who ask", () =>
  inScene(async ({ repository }) => {
    const opened = await openOurs(repository);
    const { index } = await loadIndex(opened);
    const reader = new BlobReader(opened.store, opened.key, index);
    const [snapshot] = await opened.list("snapshot");
    const { tree } = await loadSnapshot(opened, snapshot!.id);
    const { signal } = new AbortController();
    const draw = async (fraction: number, bytesMax: number, seed: number) => {
      const drawn = await drawSample(reader, tree, {
        ...{ fraction, bytesMax, signal },
        random: () => seed,
        onFailure: assert.fail,
      });
      const { sample } = drawn;
      const selection = new Selection({ paths: [], includes: [], excludes: [], sample });
      let [files, bytes] = [0, 0];
      for await (const { path, node } of walkSnapshot(reader, tree, { onFailure() {}, signal })) {
        if (!selection.asksFor(path, node.type === "dir")) continue;
        assert.equal(node.type === "file" || node.type === "symlink", true);
        if (node.type !== "file") continue;
        files++;
        bytes += node.sizeBytes!;
      }
      assert.deepEqual({ files, bytes }, { files: drawn.files, bytes: drawn.bytes });
      assert.ok(bytes <= bytesMax);
      return files;
    };
    let sum = 0;
    for (let k = 0; k < 50; k++) {
      sum += await draw(0.25, Infinity, k / 50);
      assert.ok(await draw(1e-9, Infinity, k / 50) === 1);
      assert.ok(await draw(0.5, 40, k / 50) <= 8);
    }
    assert.equal(await draw(1, Infinity, 0), FILES);
    assert.equal(await draw(1, 0, 0), 0);
    const mean = sum / 50 / FILES;
    assert.ok(mean > 0.2 && mean < 0.3, `${mean} instead of 0.25`);
  }));
