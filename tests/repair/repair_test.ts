import assert from "node:assert/strict";
import fs from "node:fs";
import { openDestination } from "../../agents/destinations/local_destination.ts";
import { openPosix } from "../../agents/platform/open_posix.ts";
import { assertChecksumsHold, snapshotOf } from "../support/compare_trees.ts";
import { runProgram } from "../support/run_program.ts";
import { createScene, parseLines, type Scene } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

const TOOLS = ["linux", "root", "rsync", "sha256sum", "mkfifo"] as const;
const ENV = { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin", LC_ALL: "C" };
const LARGE_BYTES = 5_000_000;

/** Each is one kind of damage to the copy at `at("")`. */
const DAMAGES: Record<string, (at: (path: string) => string) => void> = {
  "the first byte of a file": (at) => flip(at("small"), 0),
  "a byte in the middle of a large file": (at) => flip(at("dir/large"), LARGE_BYTES >> 1),
  "the last byte of a large file": (at) => flip(at("dir/large"), LARGE_BYTES - 1),
  "a file that was cut short": (at) => fs.truncateSync(at("dir/large"), 1000),
  "a file that has grown": (at) => fs.appendFileSync(at("small"), "more"),
  "a missing file": (at) => fs.rmSync(at("small")),
  "a missing empty file": (at) => fs.rmSync(at("empty")),
  "a missing folder with all in it": (at) => fs.rmSync(at("dir"), { recursive: true }),
  "a copy that is gone as a whole": (at) => fs.rmSync(at(""), { recursive: true }),
  "a file replaced by a symbolic link": (at) => {
    fs.rmSync(at("small"));
    fs.symlinkSync("empty", at("small"));
  },
  "a file replaced by a folder": (at) => {
    fs.rmSync(at("small"));
    fs.mkdirSync(at("small"));
    fs.writeFileSync(`${at("small")}/inside`, "kept");
  },
  "a folder replaced by a file": (at) => {
    fs.rmSync(at("dir"), { recursive: true });
    fs.writeFileSync(at("dir"), "not a folder");
  },
  "a folder replaced by a link that leads away": (at) => {
    fs.renameSync(at("dir"), at("../../moved"));
    fs.symlinkSync("../../moved", at("dir"));
  },
  "the mode of a file": (at) => fs.chmodSync(at("small"), 0o777),
  "the setuid bit": (at) => fs.chmodSync(at("setuid"), 0o755),
  "the owner of a file": (at) => fs.chownSync(at("small"), 12, 34),
  "the time of a file": (at) => fs.utimesSync(at("small"), 1, 2),
  "the mode and time of a folder": (at) => {
    fs.chmodSync(at("dir/sub"), 0o700);
    fs.utimesSync(at("dir/sub"), 1, 2);
  },
  "both names of one file": (at) => flip(at("first"), 3),
  "a hard link that became a file of its own": (at) => {
    const text = fs.readFileSync(at("dir/second"));
    fs.rmSync(at("dir/second"));
    fs.writeFileSync(at("dir/second"), text);
  },
  "a missing hard link": (at) => fs.rmSync(at("dir/second")),
  "the first of two names": (at) => fs.rmSync(at("first")),
  "a symbolic link that points elsewhere": (at) => {
    fs.rmSync(at("link"));
    fs.symlinkSync("elsewhere", at("link"));
  },
  "a missing symbolic link": (at) => fs.rmSync(at("link")),
  "a missing FIFO": (at) => fs.rmSync(at("fifo")),
  "a missing file whose name is not UTF-8": (at) => {
    const rest = new Deno.Command("sh", { args: ["-c", "rm str*"], cwd: at("") }).outputSync();
    assert.ok(rest.success);
  },
};

function flip(path: string, offset: number): void {
  const { atime, mtime } = fs.statSync(path);
  const fd = fs.openSync(path, "r+");
  const byte = new Uint8Array(1);
  fs.readSync(fd, byte, 0, 1, offset);
  byte[0]! ^= 0x10;
  fs.writeSync(fd, byte, 0, 1, offset);
  fs.closeSync(fd);
  fs.utimesSync(path, atime, mtime);
}

async function writeSource(source: string): Promise<void> {
  const at = (path: string) => `${source}/${path}`;
  fs.mkdirSync(at("dir/sub/empty"), { recursive: true });
  fs.writeFileSync(at("small"), "a few bytes");
  fs.writeFileSync(at("empty"), "");
  fs.writeFileSync(at("setuid"), "#!/bin/false");
  fs.chmodSync(at("setuid"), 0o4755);
  const noise = new Uint8Array(LARGE_BYTES).map((_, n) => (n * 2_654_435_761) >>> 13);
  fs.writeFileSync(at("dir/large"), noise);
  fs.writeFileSync(at("first"), "one file, two names");
  fs.linkSync(at("first"), at("dir/second"));
  fs.symlinkSync("small", at("link"));
  const { code } = await runProgram("mkfifo", [at("fifo")], { env: ENV });
  assert.equal(code, 0);
  const strange = new Uint8Array([...new TextEncoder().encode(`${source}/str`), 0xff, 0xe9]);
  const made = await runProgram("sh", ["-c", `printf x > "$(printf '${octal(strange)}')"`], {
    env: ENV,
  });
  assert.equal(made.code, 0, made.err);
  for (const path of ["small", "dir/large", "dir/sub", "dir", ""]) {
    fs.utimesSync(at(path), 1_500_000_000, 1_500_000_000.25);
  }
}

function octal(bytes: Uint8Array): string {
  return [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}

async function assertEqualTrees(one: string, two: string, point: string): Promise<void> {
  const words = ["-aHAX", "-n", "-i", "--checksum", "--delete", `${one}/`, `${two}/`];
  const { code, out, err } = await runProgram("rsync", words, { env: ENV });
  assert.deepEqual({ code, out, err }, { code: 0, out: "", err: "" }, point);
}

/** Two sound destinations of one source. */
async function withTwo(use: (scene: Scene) => Promise<void>): Promise<void> {
  await using scene = createScene();
  await writeSource(scene.source);
  const { code, err } = await scene.backup(["source", "--to", scene.one, "--to", scene.two]);
  assert.equal(code, 0, err);
  await use(scene);
}

const repairWords = (scene: Scene) => ["verify", scene.one, "--repair-from", scene.two];

Deno.test({
  ...needs(
    "every kind of damage is repaired from the other destination, and rsync sees none",
    ...TOOLS,
  ),
  fn: () =>
    withTwo(async (scene) => {
      const { one, two, source } = scene;
      const at = (path: string) => path === "" ? `${one}/source` : `${one}/source/${path}`;
      const before = await snapshotOf(`${two}/source`);
      for (const [what, damage] of Object.entries(DAMAGES)) {
        damage(at);
        const { code, out, err } = await scene.run(repairWords(scene));
        assert.equal(code, 0, `${what}: ${out}${err}`);
        assert.match(out, /Repaired \(\d+\)/, what);
        await assertEqualTrees(`${two}/source`, at(""), what);
        await assertEqualTrees(source, at(""), what);
        await assertChecksumsHold(one);
      }
      assert.equal(await snapshotOf(`${two}/source`), before, "the other was only read");
      const kept = fs.readdirSync(`${one}/.backup-agent/displaced`);
      const texts = kept.filter((name) =>
        fs.existsSync(`${one}/.backup-agent/displaced/${name}/inside`)
      );
      assert.equal(texts.length, 1, "what stood where a file belongs was moved, not deleted");
      const again = await scene.run(repairWords(scene));
      assert.equal(again.code, 0);
      assert.doesNotMatch(again.out, /Repaired/);
      const backup = await scene.backupJson(["source", "--to", one, "--to", two]);
      assert.equal(backup.code, 0);
    }),
});

Deno.test({
  ...needs(
    "what is in neither destination is named with exit code 1, and nothing is changed for it",
    ...TOOLS,
  ),
  fn: () =>
    withTwo(async (scene) => {
      const { one, two } = scene;
      flip(`${one}/source/small`, 1);
      flip(`${two}/source/small`, 2);
      fs.rmSync(`${one}/source/empty`);
      fs.writeFileSync(`${one}/source/stranger`, "not recorded");
      const remains = fs.readFileSync(`${one}/source/small`, "utf8");
      const { code, out } = await scene.run([...repairWords(scene), "--json"]);
      assert.equal(code, 1, out);
      const lines = parseLines(out);
      const named = (type: string) =>
        lines.filter((line) => line.message_type === type).map((line) => line["path"]);
      assert.deepEqual(named("error"), ["source/small"]);
      assert.ok(named("repaired").includes("source/empty"));
      const summary = lines.find((line) => line.message_type === "summary")!;
      assert.deepEqual([summary["state"], summary["extra"]], ["failed", ["source/stranger"]]);
      assert.equal(fs.readFileSync(`${one}/source/small`, "utf8"), remains);
      assert.equal(fs.readFileSync(`${one}/source/stranger`, "utf8"), "not recorded");
      assert.ok(fs.existsSync(`${one}/source/empty`));
    }),
});

Deno.test({
  ...needs(
    "a verification that finds damage says that another destination can repair it",
    ...TOOLS,
  ),
  fn: () =>
    withTwo(async (scene) => {
      flip(`${scene.one}/source/small`, 0);
      const { code, out } = await scene.run(["verify", scene.one]);
      assert.equal(code, 1);
      assert.match(out, /--repair-from OTHER/);
    }),
});

Deno.test({
  ...needs(
    "extended attributes and holes come back with a repaired file, and --mhl is no damage",
    ...TOOLS,
    "setfattr",
    "du",
  ),
  async fn() {
    await using scene = createScene("/tmp");
    const { source, one, two } = scene;
    const large = `${source}/holes`;
    fs.writeFileSync(large, "begin");
    fs.truncateSync(large, 8 << 20);
    fs.appendFileSync(large, "end");
    fs.truncateSync(large, 16 << 20);
    fs.writeFileSync(`${source}/tagged`, "with a tag");
    const tag = ["-n", "user.tag", "-v", "red", `${source}/tagged`];
    assert.equal((await runProgram("setfattr", tag, { env: ENV })).code, 0);
    const backup = ["source", "--to", one, "--to", two, "--mhl"];
    assert.equal((await scene.backup(backup)).code, 0);
    const sound = await scene.run(repairWords(scene));
    assert.equal(sound.code, 0, sound.out);
    assert.doesNotMatch(sound.out, /Repaired/);
    for (const name of ["holes", "tagged"]) fs.rmSync(`${one}/source/${name}`);
    const { code, out } = await scene.run(repairWords(scene));
    assert.equal(code, 0, out);
    const words = ["-aHAXS", "-n", "-i", "--checksum", `${source}/`, `${one}/source/`];
    const rsync = await runProgram("rsync", words, { env: ENV });
    assert.deepEqual([rsync.code, rsync.out], [0, ""]);
    assert.ok(fs.statSync(`${one}/source/holes`).blocks * 512 < 1 << 20);
  },
});

Deno.test({
  ...needs(
    "compressed copies are repaired as they are stored, and from another form",
    ...TOOLS,
    "zstd",
  ),
  async fn() {
    await using scene = createScene();
    const { source, one, two } = scene;
    await writeSource(source);
    const backup = await scene.backup(["source", "--to", one, "--to", two, "--compress"]);
    assert.equal(backup.code, 0, backup.err);
    const sound = await scene.run(repairWords(scene));
    assert.equal(sound.code, 0, sound.out);
    assert.doesNotMatch(sound.out, /Repaired/);
    flip(`${one}/source/dir/large.zst`, 1000);
    flip(`${one}/source/first.zst`, 9);
    fs.rmSync(`${one}/source/small.zst`);
    const { code, out } = await scene.run(repairWords(scene));
    assert.equal(code, 0, out);
    await assertEqualTrees(`${two}/source`, `${one}/source`, "compressed");
    await assertChecksumsHold(one);
    const stock = await runProgram("zstd", ["-dc", `${one}/source/small.zst`], { env: ENV });
    assert.equal(stock.out, "a few bytes");

    const plain = `${scene.folder}/plain`;
    assert.equal((await scene.backup(["source", "--to", plain])).code, 0);
    fs.rmSync(`${one}/source/small.zst`);
    const other = await scene.run(["verify", one, "--repair-from", plain]);
    assert.equal(other.code, 0, other.out);
    const again = await runProgram("zstd", ["-dc", `${one}/source/small.zst`], { env: ENV });
    assert.equal(again.out, "a few bytes");
    await assertChecksumsHold(one);
    flip(`${plain}/source/small`, 1);
    const back = await scene.run(["verify", plain, "--repair-from", two]);
    assert.equal(back.code, 0, back.out);
    assert.equal(fs.readFileSync(`${plain}/source/small`, "utf8"), "a few bytes");
  },
});

Deno.test({
  ...needs("a destination in use is not repaired: exit code 11", ...TOOLS),
  fn: () =>
    withTwo(async (scene) => {
      flip(`${scene.one}/source/small`, 0);
      const before = await snapshotOf(`${scene.one}/source`);
      const held = openDestination(openPosix(), scene.one, [], "a test", "");
      try {
        assert.equal((await scene.run(repairWords(scene))).code, 11);
      } finally {
        held.close();
      }
      assert.equal(await snapshotOf(`${scene.one}/source`), before);
      assert.equal((await scene.run(repairWords(scene))).code, 0);
    }),
});

Deno.test({
  ...needs("an other destination that can only be read is enough", ...TOOLS, "mount", "umount"),
  fn: () =>
    withTwo(async (scene) => {
      const { one, two, folder } = scene;
      const view = `${folder}/view`;
      fs.mkdirSync(view);
      const bound = await runProgram("mount", ["--bind", "-o", "ro", two, view], { env: ENV });
      assert.equal(bound.code, 0, bound.err);
      try {
        fs.rmSync(`${one}/source/dir`, { recursive: true });
        const { code, out, err } = await scene.run(["verify", one, "--repair-from", view]);
        assert.equal(code, 0, out + err);
        await assertEqualTrees(`${two}/source`, `${one}/source`, "read-only");
        await assertChecksumsHold(one);
      } finally {
        await runProgram("umount", [view], { env: ENV });
      }
    }),
});
