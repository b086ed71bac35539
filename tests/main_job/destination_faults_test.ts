/** Destinations that are full, read-only, gone, hung or taken. Rule: the others finish as if they were alone. */
import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { assertCopies, assertSameTree, snapshotOf, STOCK_TOOLS } from "../support/compare_trees.ts";
import { fillFiles, noise } from "../support/fill_tree.ts";
import { HANGING_FOLDER_TOOLS, withHangingFolder } from "../support/hanging_folder.ts";
import { withTmpfs } from "../support/loop_fs.ts";
import { runProgram } from "../support/run_program.ts";
import { createScene, destinationOf, parseLines } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

const PATH = { PATH: `${Deno.env.get("PATH") ?? "/usr/bin:/bin"}:/usr/sbin:/sbin` };
const MIB = 1 << 20;

Deno.test({
  ...needs(
    "a read-only destination fails, the other is verified: exit code 4",
    "linux",
    "root",
    "mount",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await withTmpfs({ sizeBytes: MIB, mountOptions: "ro" }, async (readOnly) => {
      await using scene = createScene();
      const { source, one } = scene;
      fillFiles(source, 20, 1000);
      const words = ["source", "--to", readOnly, "--to", one];
      const { code, summary, errors } = await scene.backupJson(words);
      assert.equal(code, 4);
      assert.equal(destinationOf(summary, readOnly)["state"], "failed");
      assert.equal(destinationOf(summary, one)["state"], "verified");
      assert.ok(errors.some((error) => error["destination"] === readOnly), JSON.stringify(errors));
      await assertCopies(source, [one]);
      const text = await scene.backup(words);
      assert.match(text.out, /[Rr]ead-only/);
    });
  },
});

Deno.test({
  ...needs(
    "a destination that became read-only fails and stays as it was, and can still be verified",
    "linux",
    "root",
    "mount",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await withTmpfs({ sizeBytes: 4 * MIB }, async (mountPoint) => {
      await using scene = createScene();
      const { source } = scene;
      fillFiles(source, 20, 1000);
      assert.equal((await scene.backup(["source", "--to", mountPoint])).code, 0);
      const remount = ["-o", "remount,ro", mountPoint];
      assert.equal((await runProgram("mount", remount, { env: PATH })).code, 0);
      const before = await snapshotOf(mountPoint);
      writeFileSync(`${source}/new`, "new");
      assert.equal((await scene.backup(["source", "--to", mountPoint])).code, 1);
      assert.equal(await snapshotOf(mountPoint), before);
      const verified = await scene.run(["verify", mountPoint]);
      assert.equal(verified.code, 0, verified.out + verified.err);
      assert.equal((await scene.backup(["source", "--to", mountPoint, "-n"])).code, 0);
    });
  },
});

Deno.test({
  ...needs(
    "a full destination fails by name, nothing torn is left there, the other is verified: exit code 4",
    "linux",
    "root",
    "mount",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await withTmpfs({ sizeBytes: 6 * MIB }, async (small) => {
      await using scene = createScene();
      const { source, one } = scene;
      fillFiles(source, 40, 50_000);
      writeFileSync(`${source}/large`, noise(9 * MIB, 5));
      const { code, summary, errors } = await scene.backupJson([
        "source",
        "--to",
        small,
        "--to",
        one,
      ]);
      assert.equal(code, 4);
      assert.equal(destinationOf(summary, small)["state"], "failed");
      assert.ok(
        errors.some((error) => error["code"] === "no_space" && error["destination"] === small),
        JSON.stringify(errors),
      );
      await assertCopies(source, [one]);
      assertNothingTorn(source, `${small}/source`);
      assert.equal(existsSync(`${small}/source/large`), false);

      // With room, the same command completes what is missing.
      const remount = ["-o", `remount,size=${40 * MIB}`, small];
      assert.equal((await runProgram("mount", remount, { env: PATH })).code, 0);
      assert.equal((await scene.backup(["source", "--to", small, "--to", one])).code, 0);
      await assertCopies(source, [small, one]);
    });
  },
});

Deno.test({
  ...needs(
    "a destination that fills up while files are replaced keeps their earlier versions",
    "linux",
    "root",
    "mount",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await withTmpfs({ sizeBytes: 6 * MIB }, async (small) => {
      await using scene = createScene();
      const { source } = scene;
      for (let n = 0; n < 10; n++) writeFileSync(`${source}/${n}`, noise(300_000, n));
      assert.equal((await scene.backup(["source", "--to", small])).code, 0);
      const before = versionsOf(source);
      for (let n = 0; n < 10; n++) writeFileSync(`${source}/${n}`, noise(900_000, 100 + n));
      assert.equal((await scene.backup(["source", "--to", small])).code, 1);
      const after = versionsOf(source);
      for (let n = 0; n < 10; n++) {
        const copy = readFileSync(`${small}/source/${n}`);
        assert.ok(
          copy.equals(before.get(`${n}`)!) || copy.equals(after.get(`${n}`)!),
          `${n} is torn or lost`,
        );
      }
    });
  },
});

function versionsOf(folder: string): Map<string, Uint8Array> {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  return new Map(names.map((name) => [name, readFileSync(`${folder}/${name}`)]));
}

/** Every file there is equal to its source. */
function assertNothingTorn(source: string, copy: string): void {
  if (!existsSync(copy)) return;
  for (const entry of readdirSync(copy, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = `${entry.parentPath}/${entry.name}`;
    const original = `${source}${path.slice(copy.length)}`;
    assert.ok(readFileSync(path).equals(readFileSync(original)), `${path} is torn`);
  }
}

Deno.test({
  ...needs(
    "a disk that is pulled out while it is written fails, the other is verified: exit code 4",
    "linux",
    "root",
    "mount",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await withTmpfs({ sizeBytes: 32 * MIB }, async (mountPoint) => {
      // Mounted once more, so that this one can vanish and the outer one still be unmounted.
      await using scene = createScene();
      const { source, one } = scene;
      const disk = `${scene.folder}/disk`;
      mkdirSync(disk);
      const bind = ["--bind", mountPoint, disk];
      assert.equal((await runProgram("mount", bind, { env: PATH })).code, 0);
      let isMounted = true;
      try {
        fillFiles(source, 400, 20_000);
        const words = ["source", "--to", disk, "--to", one, "--limit", `${disk}=2MB`, "--json"];
        await using running = scene.startBackup(words);
        await running.saw(`"destination":"${disk}","phase":"copy"`);
        assert.equal((await runProgram("umount", ["--lazy", disk], { env: PATH })).code, 0);
        isMounted = false;
        const { code, out } = await running.outcome;
        assert.equal(code, 4, out);
        const summary = parseLines(out).find((line) => line.message_type === "summary")!;
        assert.equal(destinationOf(summary, disk)["state"], "failed");
        await assertCopies(source, [one]);
        // What was never there is not filled through the empty mount point.
        assert.equal(existsSync(`${disk}/source`), false);
        assert.equal((await scene.backup(["source", "--to", disk, "--to", one])).code, 10);
      } finally {
        if (isMounted) await runProgram("umount", ["--lazy", disk], { env: PATH });
      }
    });
  },
});

for (
  const [how, vanish] of [
    ["deleted", (path: string) => Deno.removeSync(path, { recursive: true })],
    ["renamed", (path: string) => renameSync(path, `${path} elsewhere`)],
  ] as const
) {
  Deno.test({
    ...needs(
      `a destination folder ${how} during the run fails, the other is verified: exit code 4`,
      ...STOCK_TOOLS,
    ),
    async fn() {
      await using scene = createScene();
      const { source, one, two } = scene;
      fillFiles(source, 400, 20_000);
      const words = ["source", "--to", two, "--to", one, "--limit", `${two}=4MB`, "--json"];
      await using running = scene.startBackup(words);
      await running.saw(`"destination":"${two}","phase":"copy"`);
      for (;;) {
        try {
          vanish(two);
          break;
        } catch (error) {
          // A file was made in it at that very moment.
          if (!/not empty/.test(String(error))) throw error;
        }
      }
      const { code, out } = await running.outcome;
      assert.equal(code, 4, out);
      const summary = parseLines(out).find((line) => line.message_type === "summary")!;
      assert.equal(destinationOf(summary, two)["state"], "failed");
      await assertCopies(source, [one]);
    },
  });
}

for (const when of ["before the run", "while it is written", "while it is read back"]) {
  Deno.test({
    ...needs(
      `D16: a destination whose calls hang for ever ${when} fails by its deadline, the other is verified`,
      ...HANGING_FOLDER_TOOLS,
      ...STOCK_TOOLS,
    ),
    async fn() {
      await using scene = createScene();
      const { source, one, folder } = scene;
      fillFiles(source, 100, 20_000);
      await withHangingFolder(folder, async (hanging) => {
        const to = hanging.path;
        const phase = { "while it is written": "copy", "while it is read back": "verify" }[when];
        const words = ["source", "--to", to, "--to", one, "--timeout", "2s", "--json"];
        if (phase === undefined) hanging.hang();
        else words.push("--limit", `${to}=1MB`);
        const startedAtMs = performance.now();
        await using running = scene.startBackup(words, { deadlineMs: 50_000 });
        // Leaving this scope kills the server first, else nobody could wait for the process.
        using _server = { [Symbol.dispose]: () => hanging.kill() };
        if (phase !== undefined) {
          await running.saw(`"destination":"${to}","phase":"${phase}"`);
          hanging.hang();
        }
        const hungAtMs = performance.now();
        await running.saw(`"message_type":"destination","destination":"${one}","state":"verified"`);
        const verifiedMs = performance.now() - startedAtMs;
        await running.saw(`"exit_code":4`);
        const endedMs = performance.now() - hungAtMs;
        hanging.kill();
        const { code, out } = await running.outcome;
        assert.equal(code, 4, out);
        const summary = parseLines(out).find((line) => line.message_type === "summary")!;
        const row = destinationOf(summary, to);
        assert.equal(row["state"], "failed");
        assert.match(String(row["error"]), /did not answer for 2 s/);
        assert.equal(destinationOf(summary, one)["state"], "verified");
        // Two deadlines – of the thread that hangs and of the one that takes its place – and the time to close.
        assert.ok(endedMs < 15_000, `ended ${endedMs} ms after the hang`);
        if (phase === undefined) {
          // Nothing can be compared with a destination that says nothing, so the other waits for one deadline.
          assert.ok(verifiedMs < 8000, `the other was verified after ${verifiedMs} ms`);
        }
      });
      await assertCopies(source, [one]);
    },
  });
}

Deno.test({
  ...needs(
    "two runs at one destination: the second is refused with exit code 11, or waits",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using scene = createScene();
    const { source, one, two } = scene;
    fillFiles(source, 60, 50_000);
    await using first = scene.startBackup(["source", "--to", one, "--limit", "1MB", "--json"]);
    await first.saw(`"destination":"${one}","phase":"copy"`);

    const refused = await scene.backup(["source", "--to", one]);
    assert.equal(refused.code, 11, refused.out);
    assert.match(refused.out + refused.err, /in use by another run.*--wait/s);
    // A free destination of the same run is served all the same, and verify keeps away too.
    const [other, verify] = [
      await scene.backupJson(["source", "--to", one, "--to", two]),
      await scene.run(["verify", one]),
    ];
    assert.equal(other.code, 11);
    assert.equal(destinationOf(other.summary, two)["state"], "verified");
    assert.equal(verify.code, 11);

    const waited = await scene.backup(["source", "--to", one, "--wait", "30s"]);
    assert.equal(waited.code, 0, waited.out);
    assert.equal((await first.outcome).code, 0);
    await assertCopies(source, [one]);
  },
});

Deno.test({
  ...needs("--wait ends with exit code 11 when the destination stays taken", ...STOCK_TOOLS),
  async fn() {
    await using scene = createScene();
    fillFiles(scene.source, 60, 50_000);
    await using first = scene.startBackup([
      "source",
      "--to",
      scene.one,
      "--limit",
      "500kB",
      "--json",
    ]);
    await first.saw(`"destination":"${scene.one}","phase":"copy"`);
    const startedAtMs = performance.now();
    const { code } = await scene.backup(["source", "--to", scene.one, "--wait", "1500ms"]);
    const tookMs = performance.now() - startedAtMs;
    assert.equal(code, 11);
    assert.ok(tookMs >= 1500 && tookMs < 8000, `${tookMs} ms`);
  },
});

Deno.test({
  ...needs(
    "a crash leaves no stuck lock: the next run starts at once and completes",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using scene = createScene();
    const { source, one } = scene;
    fillFiles(source, 60, 50_000);
    await using first = scene.startBackup(["source", "--to", one, "--limit", "1MB", "--json"]);
    await first.saw(`"destination":"${one}","phase":"copy"`);
    first.kill("SIGKILL");
    await first.outcome;
    const { code, out } = await scene.backup(["source", "--to", one]);
    assert.equal(code, 0, out);
    await assertCopies(source, [one]);
    await assertSameTree(source, `${one}/source`);
  },
});
