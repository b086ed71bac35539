import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../../protocol/base/clock.ts";
import { BackupError } from "../../../protocol/base/errors.ts";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import { inScratch } from "../../../tests/support/small_tree.ts";
import { runProgram } from "../../../tests/support/run_program.ts";
import { findProgram, needs } from "../../../tests/support/tools.ts";
import { EACCES, ENOSPC, EPERM } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";
import { cName, newStat, type Posix } from "../../platform/posix.ts";
import { threadCells } from "../../threads/thread_rpc.ts";
import { generateIdentity } from "./codec/age_keys.ts";
import { type Codec, CODECS } from "./codec/codec.ts";
import { encodingOf, me } from "./encoded_copy_suite.ts";
import { openLaneThread } from "./lane_thread.ts";
import type { RestoredVersion } from "./version_restore.ts";
import type { FoundVersions } from "./version_search.ts";

const posix = openPosix();

interface Scene {
  folder: string;
  source: string;
  destination: string;
  run(form: Codec | "plain"): Promise<void>;
  find(path: string): FoundVersions;
  /** The newest version of a path, to a new name `out` in the folder; answers where it is. */
  restore(
    path: string,
    out: string,
    how?: { keys?: string[]; disk?: Partial<Posix> },
  ): RestoredVersion;
}

function test(name: string, use: (scene: Scene) => Promise<void>, ...tools: string[]): void {
  Deno.test({
    ...needs(name, "linux", ...tools),
    fn: () =>
      inScratch(async (folder) => {
        const source = join(folder, "source");
        const destination = join(folder, "destination");
        fs.mkdirSync(join(source, "dir"), { recursive: true });
        let runs = 0;
        const ask = <R>(
          disk: Partial<Posix>,
          method: string,
          argument: unknown,
          identities: string[] = [],
        ): R => {
          const lane = openLaneThread(
            { ...posix, ...disk },
            { path: destination, slots: new SharedArrayBuffer(8), limitBytesPerSecond: 0 },
            threadCells(new SharedArrayBuffer(24)),
            systemClock,
            { uid: Deno.uid()!, gid: Deno.gid()! },
          );
          try {
            const keys = { identities, recipients: [] };
            lane["attach"]!({ wanted: [], holder: "", createdAt: "", keys } as never);
            return lane[method]!(argument as never) as R;
          } finally {
            lane["close"]!(undefined as never);
          }
        };
        const find = (path: string) =>
          ask<FoundVersions>({}, "findVersions", { asked: `copy/${path}`, absolute: "/nowhere" });
        await use({
          folder,
          source,
          destination,
          async run(form) {
            const outcome = await backUp({
              runId: `run-${++runs}`,
              source,
              posix,
              destinations: [{ path: destination, posix }],
              options: {
                deleteGone: true,
                deleteAnyway: true,
                keepVersions: 3,
                ...(form === "plain" ? {} : { encoding: encodingOf(form) }),
              },
            });
            assert.equal(outcome.mirrored!.lanes[0]!.state, "verified");
          },
          find,
          restore: (path, out, { keys = [], disk = {} } = {}) =>
            ask<RestoredVersion>(disk, "restoreVersion", {
              asked: `copy/${path}`,
              absolute: "/nowhere",
              time: find(path).versions[0]!.time,
              target: join(folder, out),
            }, keys),
        });
      }),
  });
}

const mine = { keys: [me.secretText()] };
const CONTENT = "the old content\n".repeat(50_000);

for (const codec of ["plain", ...CODECS] as const) {
  test(`${codec}: a version comes back decoded, also after the form was changed`, async (scene) => {
    const file = join(scene.source, "dir/file");
    fs.writeFileSync(file, CONTENT);
    fs.chmodSync(file, 0o640);
    fs.utimesSync(file, 1e9 + 0.5, 1e9 + 0.5);
    await scene.run(codec);
    fs.writeFileSync(file, "the new content");
    await scene.run(codec === "zst" ? "age" : "zst");
    const { versions } = scene.find("dir/file");
    assert.deepEqual(versions.map(({ sizeBytes }) => sizeBytes), [CONTENT.length]);
    const ending = codec === "plain" ? "" : `.${codec}`;
    assert.ok(versions[0]!.storedAt.endsWith(`/dir/file${ending}`));
    const restored = scene.restore("dir/file", "out", mine);
    assert.deepEqual([restored.isPlain, restored.lacksAttributes], [false, false]);
    const stat = fs.statSync(join(scene.folder, "out"));
    assert.equal(fs.readFileSync(join(scene.folder, "out"), "utf8"), CONTENT);
    assert.deepEqual([stat.mode & 0o7777, stat.mtimeMs], [0o640, 1e12 + 500]);
  });
}

test("an encrypted version without its key is refused, and nothing is written", async (scene) => {
  fs.writeFileSync(join(scene.source, "file"), CONTENT);
  await scene.run("zst.age");
  fs.rmSync(join(scene.source, "file"));
  await scene.run("zst.age");
  const before = fs.readdirSync(scene.folder).sort();
  for (const keys of [[], [generateIdentity().secretText()]]) {
    assert.throws(() => scene.restore("file", "out", { keys }), { code: "wrong_key" });
  }
  assert.deepEqual(fs.readdirSync(scene.folder).sort(), before);
});

for (const codec of CODECS) {
  test(`${codec}: a version that is cut, flipped or swapped is damaged, and nothing is written`, async (scene) => {
    for (const name of ["file", "other"]) {
      fs.writeFileSync(join(scene.source, name), `${name} `.repeat(40_000));
    }
    await scene.run(codec);
    for (const name of ["file", "other"]) fs.rmSync(join(scene.source, name));
    await scene.run(codec);
    const at = (name: string) => join(scene.destination, scene.find(name).versions[0]!.storedAt);
    const whole = fs.readFileSync(at("file"));
    const flipped = Buffer.from(whole);
    flipped[whole.length >> 1]! ^= 1;
    const wrong = [whole.subarray(0, -3), flipped, fs.readFileSync(at("other")), Buffer.alloc(0)];
    const before = fs.readdirSync(scene.folder).sort();
    for (const bytes of wrong) {
      fs.writeFileSync(at("file"), bytes);
      assert.throws(() => scene.restore("file", "out", mine), { code: "damaged" });
    }
    assert.deepEqual(fs.readdirSync(scene.folder).sort(), before);
    fs.writeFileSync(at("file"), whole);
    assert.equal(scene.restore("file", "out", mine).sizeBytes, 200_000);
  });
}

test(
  "extended attributes, ACLs, owner and holes come back",
  async (scene) => {
    const file = join(scene.source, "dir/file");
    const run = async (tool: string, ...args: string[]) => {
      const ran = await runProgram(findProgram(tool)!, args);
      assert.equal(ran.code, 0, ran.err);
      return ran.out;
    };
    fs.writeFileSync(file, "start");
    fs.truncateSync(file, 8 << 20);
    await run("setfattr", "-n", "user.colour", "-v", "blue", file);
    await run("setfacl", "-m", "u:12345:r", file);
    fs.chownSync(file, 1234, 4321);
    const described = async (path: string) => [
      await run("getfattr", "-d", "-m", "-", "--absolute-names", "--only-values", path),
      await run("getfacl", "-n", "-c", "-p", path),
      [fs.statSync(path).uid, fs.statSync(path).gid, fs.statSync(path).mode],
    ];
    const wanted = await described(file);
    await scene.run("zst");
    fs.rmSync(file);
    await scene.run("zst");
    assert.deepEqual(scene.restore("dir/file", "out").lacksAttributes, false);
    const out = join(scene.folder, "out");
    assert.deepEqual(await described(out), wanted);
    assert.equal(fs.statSync(out).size, 8 << 20);
    assert.ok(fs.statSync(out).blocks * 512 < 1 << 20, "the hole is one");

    const refusing: Partial<Posix> = {
      setFileXattr: () => -EPERM,
      setFileOwner: () => -EPERM,
    };
    const restored = scene.restore("dir/file", "plain", { disk: refusing });
    assert.deepEqual([restored.isPlain, restored.lacksAttributes], [true, true]);
  },
  "root",
  "setfattr",
  "getfattr",
  "setfacl",
  "getfacl",
);

test("symbolic links and FIFOs come back as what they were", async (scene) => {
  fs.symlinkSync("somewhere/else", join(scene.source, "link"));
  fs.lutimesSync(join(scene.source, "link"), 1e9, 1e9);
  assert.equal(
    new Deno.Command("mkfifo", { args: [join(scene.source, "pipe")] }).outputSync().code,
    0,
  );
  fs.chmodSync(join(scene.source, "pipe"), 0o612);
  await scene.run("zst");
  fs.rmSync(join(scene.source, "link"));
  fs.rmSync(join(scene.source, "pipe"));
  await scene.run("zst");
  scene.restore("link", "link");
  assert.equal(fs.readlinkSync(join(scene.folder, "link")), "somewhere/else");
  assert.equal(fs.lstatSync(join(scene.folder, "link")).mtimeMs, 1e12);
  assert.throws(() => scene.restore("link", "link"), { code: "rejected" });
  scene.restore("pipe", "pipe");
  const pipe = fs.lstatSync(join(scene.folder, "pipe"));
  assert.deepEqual([pipe.isFIFO(), pipe.mode & 0o7777], [true, 0o612]);
});

test("an error at any change of a restore is told, and leaves nothing behind", async (scene) => {
  fs.writeFileSync(join(scene.source, "file"), CONTENT);
  await scene.run("zst.age");
  fs.rmSync(join(scene.source, "file"));
  await scene.run("zst.age");
  const changes = ["createFile", "writeAt", "setFileTimes", "flushFile", "link"] as const;
  for (const name of changes) {
    for (const errno of [EACCES, ENOSPC]) {
      assert.throws(
        () => scene.restore("file", "out", { ...mine, disk: { [name]: () => -errno } }),
        (error) => error instanceof BackupError && error.code !== "internal",
        name,
      );
    }
  }
  assert.deepEqual(fs.readdirSync(scene.folder).sort(), ["destination", "source"]);
  // Where there are no links the name is taken by renaming.
  scene.restore("file", "out", { ...mine, disk: { link: () => -EPERM } });
  const root = posix.openRoot(cName(scene.folder));
  assert.equal(posix.statAt(root, cName("out"), newStat()), 0);
  posix.closeDirectory(root);
  assert.deepEqual(fs.readdirSync(scene.folder).sort(), ["destination", "out", "source"]);
});

test("a list of versions that leads out of its folder gives nothing back", async (scene) => {
  const { folder, source, destination } = scene;
  fs.writeFileSync(join(source, "dir/file"), "the secret of another");
  await scene.run("zst");
  fs.rmSync(join(source, "dir/file"));
  await scene.run("zst");
  const versions = join(destination, ".backup-agent/versions/s1");
  const [time] = fs.readdirSync(versions).filter((name) => !name.includes("."));
  const list = join(versions, `${time}.jsonl`);
  const honest = fs.readFileSync(list, "utf8");
  const [header, ...lines] = honest.trim().split("\n").slice(0, -1);
  const line = lines.map((text) => JSON.parse(text)).find(({ path }) => path === "dir/file");
  const forge = (changes: Record<string, unknown>) => {
    const body = `${header}\n${JSON.stringify({ ...line, ...changes })}\n`;
    const sha256 = createHash("sha256").update(body).digest("hex");
    fs.writeFileSync(list, `${body}${JSON.stringify({ end: true, entries: 1, sha256 })}\n`);
  };
  const before = fs.readdirSync(folder).sort();
  // The forger's list is believed as such: this one says what the honest one says.
  forge({});
  assert.equal(scene.find("dir/file").versions.length, 1);
  fs.copyFileSync(join(versions, time!, "dir/file.zst"), join(source, "victim.zst"));
  const attacks: Record<string, unknown>[] = [
    { storedAs: "../../../../../source/victim.zst" },
    { path: "../dir/file" },
    { path: "/etc/passwd" },
    { mode: "rwx" },
    { xattrs: { "user.a": 5 } },
    { codec: "a newer codec" },
  ];
  for (const attack of attacks) {
    forge(attack);
    assert.throws(
      () => {
        const { versions: found } = scene.find("dir/file");
        if (found.length === 0) throw new BackupError("not_found", "It is not even listed");
        scene.restore("dir/file", "out");
      },
      (error) => error instanceof BackupError && error.code !== "internal",
      JSON.stringify(attack),
    );
    assert.deepEqual(fs.readdirSync(folder).sort(), before, JSON.stringify(attack));
  }
  // A link in the place of a folder of versions leads nowhere.
  fs.writeFileSync(list, honest);
  fs.renameSync(join(versions, time!, "dir"), join(folder, "elsewhere"));
  fs.symlinkSync(join(folder, "elsewhere"), join(versions, time!, "dir"));
  assert.equal(scene.find("dir/file").versions.length, 0);
});
