/** Backups to file systems that cannot hold everything, seen from outside. Rule: real ones, and stock tools judge. */
import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { needsLoopFs, withLoopFs } from "../support/loop_fs.ts";
import { runProgram } from "../support/run_program.ts";
import { createScene, destinationOf, parseLines, type Scene } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

const MIB = 1 << 20;
const PATH = { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin" };

/** Files that a portable disk takes, and links, a FIFO and a device node that it does not. */
async function fillSource(source: string): Promise<void> {
  mkdirSync(`${source}/folder`);
  writeFileSync(`${source}/folder/file`, "content");
  writeFileSync(`${source}/a`, "two names");
  linkSync(`${source}/a`, `${source}/b`);
  writeFileSync(`${source}/ümläut 😀`, "a name beyond ASCII");
  symlinkSync("folder/file", `${source}/link`);
  symlinkSync("../nowhere", `${source}/folder/dangling`);
  for (const args of [["pipe", "p"], ["null", "c", "1", "3"]]) {
    const made = await runProgram("mknod", [`${source}/${args[0]}`, ...args.slice(1)], {
      env: PATH,
    });
    assert.equal(made.code, 0, made.err);
  }
  chmodSync(`${source}/a`, 0o600);
  chownSync(`${source}/a`, 1000, 1000);
  for (const path of ["a", "folder/file", "ümläut 😀", "folder"]) {
    utimesSync(`${source}/${path}`, 1_000_000_001.25, 1_000_000_001.25);
  }
}

async function assertSumsHold(destination: string): Promise<void> {
  const sums = `${destination}/.backup-agent/SHA256SUMS`;
  const checked = await runProgram("sha256sum", ["--strict", "-c", sums], {
    cwd: destination,
    env: PATH,
  });
  assert.equal(checked.code, 0, checked.err + checked.out);
}

async function onDisk(
  type: string,
  use: (scene: Scene, disk: string) => Promise<void>,
): Promise<void> {
  await withLoopFs({ type, sizeBytes: 32 * MIB }, async (disk) => {
    await using scene = createScene();
    await use(scene, disk);
  });
}

for (const type of ["exfat", "vfat"]) {
  Deno.test({
    ...needsLoopFs(
      `${type}: what it holds is verified, what it cannot hold is recorded, and the run is completed`,
      type,
      "mknod",
      "sha256sum",
    ),
    fn: () =>
      onDisk(type, async (scene, disk) => {
        const { source, one } = scene;
        await fillSource(source);
        const words = ["source", "--to", disk, "--to", one];
        const first = await scene.backup(words);
        assert.equal(first.code, 0, first.err + first.out);
        assert.match(
          first.out,
          /2 symbolic links cannot stand on this file system \(.+\): they are/,
        );
        assert.match(first.out, /1 FIFO cannot stand/);
        assert.match(first.out, /1 device node could not be made/);
        assert.match(first.out, /This file system \(.+\) keeps no modes/);
        assert.match(first.out, /4 recorded only/);
        assert.deepEqual(readdirSync(`${disk}/source`).toSorted(), [
          "a",
          "b",
          "folder",
          "ümläut 😀",
        ]);
        assert.deepEqual(readdirSync(`${disk}/source/folder`), ["file"]);
        assert.equal(readFileSync(`${disk}/source/b`, "utf8"), "two names");
        assert.equal(
          Math.abs(statSync(`${disk}/source/a`).mtimeMs - 1_000_000_001_250) <= 2000,
          true,
        );
        await assertSumsHold(disk);
        const manifest = parseLinesOf(`${disk}/.backup-agent/manifests/s1.jsonl`);
        const exact = manifest.find(({ path }) => path === "a")!;
        assert.deepEqual(
          [exact["mode"], exact["uid"], exact["mtimeNs"]],
          [0o600, 1000, "1000000001250000000"],
        );

        const again = await scene.backupJson(words);
        assert.equal(again.code, 0);
        const summary = destinationOf(again.summary, disk);
        assert.deepEqual(
          [summary["files_copied"], summary["files_unmodified"], summary["recorded_only"]],
          [0, 4, 4],
        );
        assert.equal(destinationOf(again.summary, one)["recorded_only"], 0);

        writeFileSync(`${source}/folder/file`, "another content");
        const changed = await scene.backupJson(words);
        assert.deepEqual([changed.code, destinationOf(changed.summary, disk)["files_copied"]], [
          0,
          1,
        ]);
        assert.equal(readFileSync(`${disk}/source/folder/file`, "utf8"), "another content");
        await assertSumsHold(disk);
        assert.deepEqual(readdirSync(`${disk}/.backup-agent/stage`), ["s1"]);

        const verify = await scene.run(["verify", disk]);
        assert.equal(verify.code, 0, verify.out + verify.err);
        assert.match(verify.out, /Recorded only, .+ \(4\)/);
        const json = parseLines((await scene.run(["verify", disk, "--json"])).out).at(-1)!;
        assert.deepEqual([json["recorded_only"], json["files_missing"]], [4, 0]);
        // What somebody puts where only a line should be is no copy of ours.
        writeFileSync(`${disk}/source/link`, "by hand");
        const withMore = parseLines((await scene.run(["verify", disk, "--json"])).out).at(-1)!;
        assert.deepEqual([withMore["recorded_only"], withMore["extra"]], [4, ["source/link"]]);
      }),
  });

  Deno.test({
    ...needsLoopFs(
      `${type}: names that cannot exist or collide fail by name, never under another`,
      type,
    ),
    fn: () =>
      onDisk(type, async (scene, disk) => {
        const { source, one } = scene;
        for (const name of ["a:b", "what?", "line\nbreak", "Name", "name", "plain"]) {
          writeFileSync(`${source}/${name}`, name);
        }
        const { code, errors } = await scene.backupJson(["source", "--to", disk, "--to", one]);
        assert.equal(code, 4);
        assert.deepEqual(errors.map(({ path, destination }) => [path, destination]).toSorted(), [
          ["source/a:b", disk],
          ["source/line\nbreak", disk],
          ["source/name", disk],
          ["source/what?", disk],
        ]);
        for (const { path, message } of errors) {
          if (path !== "source/name") {
            assert.match(String(message), /cannot exist on this file system/);
          }
        }
        assert.deepEqual(readdirSync(`${disk}/source`).toSorted(), ["Name", "plain"]);
        assert.equal(readFileSync(`${disk}/source/Name`, "utf8"), "Name");
        assert.equal((await scene.run(["verify", disk])).code, 0);
      }),
  });
}

Deno.test({
  ...needsLoopFs(
    "vfat: a file of 4 GiB fails by name, and one byte less is no matter of size",
    "vfat",
  ),
  fn: () =>
    onDisk("vfat", async (scene, disk) => {
      writeFileSync(`${scene.source}/huge`, "");
      truncateSync(`${scene.source}/huge`, 2 ** 32);
      writeFileSync(`${scene.source}/plain`, "content");
      const { code, errors } = await scene.backupJson(["source", "--to", disk]);
      assert.equal(code, 1);
      assert.match(String(errors[0]!.message), /4294967296 bytes, .+ 4294967295 at most/);
      assert.deepEqual(readdirSync(`${disk}/source`), ["plain"]);
    }),
});

Deno.test({
  ...needs(
    "a device node is recorded by who may not make one, and made by who may",
    "linux",
    "root",
    "setpriv",
    "mknod",
  ),
  async fn() {
    await using scene = createScene();
    const { source, one } = scene;
    await runProgram("mknod", [`${source}/null`, "c", "1", "3"], { env: PATH });
    writeFileSync(`${source}/file`, "content");
    const words = ["source", "--to", one];
    const before = ["setpriv", "--bounding-set=-mknod", "--inh-caps=-mknod"];
    for (let n = 0; n < 2; n++) {
      const run = await scene.backup(words, { before });
      assert.equal(run.code, 0, run.err + run.out);
      assert.match(run.out, /1 device node could not be made, which takes root/);
      assert.deepEqual(readdirSync(`${one}/source`), ["file"]);
      const verify = await scene.run(["verify", one], { before });
      assert.deepEqual([verify.code, /Recorded only, .+ \(1\)/.test(verify.out)], [0, true]);
    }
    const allowed = await scene.backup(words);
    assert.equal(allowed.code, 0, allowed.err + allowed.out);
    assert.doesNotMatch(allowed.out, /recorded/);
    assert.ok(lstatSync(`${one}/source/null`).isCharacterDevice());
  },
});

function parseLinesOf(file: string): Record<string, unknown>[] {
  return parseLines(readFileSync(file, "utf8"));
}
