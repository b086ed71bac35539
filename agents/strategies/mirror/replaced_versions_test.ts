import assert from "node:assert/strict";
import fs from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { systemClock } from "../../../protocol/base/clock.ts";
import type { LaneReport } from "../../../protocol/mesh/task.ts";
import type { MirrorOptions } from "../../../protocol/mesh/job.ts";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import { inScratch } from "../../../tests/support/small_tree.ts";
import { needs } from "../../../tests/support/tools.ts";
import { stagedFiles } from "../../../tests/support/tree_state.ts";
import { EIO, EPERM } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";
import type { Posix } from "../../platform/posix.ts";
import { threadCells } from "../../threads/thread_rpc.ts";
import { openLaneThread } from "./lane_thread.ts";
import type { StoredResult } from "./stored_copy.ts";
import type { RestoredVersion } from "./version_restore.ts";
import type { FoundVersions } from "./version_search.ts";

const posix = openPosix();
const textOf = (name: Uint8Array) => new TextDecoder().decode(name.subarray(0, name.indexOf(0)));
const disk = (calls: Partial<Posix>): Posix => ({ ...posix, ...calls });
const read = (path: string) => fs.readFileSync(path, "utf8");

interface Scene {
  folder: string;
  source: string;
  destination: string;
  /** `versions/s1` of the destination. */
  versions: string;
  run(options?: Partial<MirrorOptions>, at?: Posix): Promise<LaneReport>;
  /** Opens the destination as `verify` and `versions` do, and calls a method. */
  ask<R>(method: string, argument: unknown): R;
  find(asked: string): FoundVersions;
}

function inScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const source = join(folder, "source");
    const destination = join(folder, "destination");
    fs.mkdirSync(join(source, "dir"), { recursive: true });
    let runs = 0;
    const ask = <R>(method: string, argument: unknown): R => {
      const lane = openLaneThread(
        posix,
        { path: destination, slots: new SharedArrayBuffer(8), limitBytesPerSecond: 0 },
        threadCells(new SharedArrayBuffer(24)),
        systemClock,
        { uid: 0, gid: 0 },
      );
      try {
        lane["attach"]!({ wanted: [], holder: "", createdAt: "" } as never);
        return lane[method]!(argument as never) as R;
      } finally {
        lane["close"]!(undefined as never);
      }
    };
    await use({
      folder,
      source,
      destination,
      versions: join(destination, ".backup-agent/versions/s1"),
      async run(options = { keepVersions: 2 }, at = posix) {
        const outcome = await backUp({
          runId: `run-${++runs}`,
          source,
          posix,
          destinations: [{ path: destination, posix: at }],
          options,
        });
        return outcome.mirrored!.lanes[0]!;
      },
      ask,
      find: (asked) => ask<FoundVersions>("findVersions", { asked, absolute: `/nowhere/${asked}` }),
    });
  });
}

function test(name: string, use: (scene: Scene) => Promise<void>): void {
  Deno.test({ ...needs(name, "linux"), fn: () => inScene(use) });
}

const contents = ({ destination }: Scene, { versions }: FoundVersions) =>
  versions.map(({ storedAt }) => read(join(destination, storedAt)));

test("of a file that changes in every run the newest N earlier versions stay, and no more", async (scene) => {
  for (let k = 1; k <= 5; k++) {
    fs.writeFileSync(join(scene.source, "dir/file"), `content ${k}`);
    fs.chmodSync(join(scene.source, "dir/file"), 0o600 + k);
    fs.utimesSync(join(scene.source, "dir/file"), 1e9 + k, 1e9 + k);
    const lane = await scene.run();
    assert.deepEqual(lane.history, {
      entriesDeleted: 0,
      foldersDeleted: 0,
      versionsKept: k > 1 ? 1 : 0,
      versionsRemoved: k > 3 ? 1 : 0,
    });
  }
  const found = scene.find("copy/dir/file");
  assert.deepEqual(contents(scene, found), ["content 4", "content 3"]);
  for (const { storedAt, sha256, sizeBytes } of found.versions) {
    const path = join(scene.destination, storedAt);
    const text = read(path);
    const k = Number(text.at(-1));
    assert.equal(createHash("sha256").update(text).digest("hex"), sha256);
    assert.equal(sizeBytes, text.length);
    assert.equal(fs.statSync(path).mode & 0o777, 0o600 + k);
    assert.equal(fs.statSync(path).mtimeMs, (1e9 + k) * 1000);
  }
  // Nothing is left of those that were removed.
  assert.equal(fs.readdirSync(scene.versions).length, 4);
});

test("a smaller N removes more, N = 0 adds none and leaves those there are", async (scene) => {
  const change = async (text: string, keepVersions: number) => {
    fs.writeFileSync(join(scene.source, "file"), text);
    return (await scene.run({ keepVersions })).history;
  };
  for (const text of ["one", "two.", "three", "four.."]) await change(text, 5);
  assert.equal(await change("five...", 0), undefined);
  assert.deepEqual(contents(scene, scene.find("copy/file")), ["three", "two.", "one"]);
  const history = await change("six.....", 1);
  assert.equal(history!.versionsRemoved, 3);
  assert.deepEqual(contents(scene, scene.find("copy/file")), ["five..."]);
});

test("another mode or time is no other version", async (scene) => {
  fs.writeFileSync(join(scene.source, "file"), "the same");
  await scene.run();
  fs.utimesSync(join(scene.source, "file"), 1e9, 1e9);
  fs.chmodSync(join(scene.source, "file"), 0o600);
  assert.equal((await scene.run()).history!.versionsKept, 0);
  assert.ok(!fs.existsSync(scene.versions) || fs.readdirSync(scene.versions).length === 0);
});

test("what --delete removes is a version like any other, links and folders too", async (scene) => {
  fs.writeFileSync(join(scene.source, "stays"), "stays");
  fs.writeFileSync(join(scene.source, "dir/file"), "deleted later");
  fs.symlinkSync("nowhere", join(scene.source, "dir/link"));
  await scene.run();
  fs.rmSync(join(scene.source, "dir"), { recursive: true });
  const lane = await scene.run({ keepVersions: 2, deleteGone: true });
  assert.deepEqual(lane.history, {
    entriesDeleted: 2,
    foldersDeleted: 1,
    versionsKept: 2,
    versionsRemoved: 0,
  });
  const found = scene.find("copy/dir");
  assert.deepEqual(found.below.map(({ path }) => path), ["copy/dir/file", "copy/dir/link"]);
  const [link] = scene.find("copy/dir/link").versions;
  assert.equal(fs.readlinkSync(join(scene.destination, link!.storedAt)), "nowhere");
});

test("without hard links the versions are the same", async (scene) => {
  const noLinks = disk({ link: () => -EPERM });
  for (const text of ["one", "two.", "three"]) {
    fs.writeFileSync(join(scene.source, "file"), text);
    assert.equal((await scene.run({ keepVersions: 2 }, noLinks)).state, "verified");
  }
  assert.deepEqual(contents(scene, scene.find("copy/file")), ["two.", "one"]);
});

test("a version that cannot be moved waits in the stage, the lane says so, and the next run moves it", async (scene) => {
  fs.writeFileSync(join(scene.source, "file"), "one");
  await scene.run();
  fs.writeFileSync(join(scene.source, "file"), "two.");
  let from = 0;
  const stuck = disk({
    rename: (at, name, to, toName) => {
      const isMove = textOf(name) === "file" && textOf(toName) === "file";
      return isMove && from++ < 2 ? -EIO : posix.rename(at, name, to, toName);
    },
  });
  const lane = await scene.run({ keepVersions: 2 }, stuck);
  assert.equal(lane.state, "failed");
  assert.match(lane.error!.message, /earlier version of .*\/file/);
  assert.equal(read(join(scene.destination, "copy/file")), "two.");
  assert.ok(stagedFiles(scene.destination).some((path) => path.endsWith("/kept/file")));
  // The second time it still does not move: a warning, and the backup itself goes on.
  const again = await scene.run({ keepVersions: 0 }, stuck);
  assert.equal(again.state, "verified");
  assert.match(again.warnings.join(), /wait in the stage/);
  assert.equal((await scene.run({ keepVersions: 0 })).state, "verified");
  assert.deepEqual(contents(scene, scene.find("copy/file")), ["one"]);
  assert.deepEqual(stagedFiles(scene.destination), []);
});

test("damage to a version, a missing one and a damaged list are found by the check and named", async (scene) => {
  for (const text of ["one", "two.", "three", "four.."]) {
    for (const name of ["a", "b", "c"]) fs.writeFileSync(join(scene.source, name), text + name);
    await scene.run({ keepVersions: 9 });
  }
  const check = () => {
    const progress = new SharedArrayBuffer(16);
    return scene.ask<StoredResult>("checkVersions", {
      bindingKey: "s1",
      part: 0,
      parts: 1,
      progress,
    });
  };
  assert.equal(check().files, 9);
  assert.deepEqual(scene.ask("countVersions", { key: "s1" }), { files: 9, bytes: 45 });
  const [first, second, third] = scene.find("copy/a").versions.map(({ time }) => time);
  fs.writeFileSync(join(scene.versions, first!, "a"), "thr?ea");
  fs.rmSync(join(scene.versions, second!, "b"));
  const list = join(scene.versions, `${third}.jsonl`);
  fs.writeFileSync(list, read(list).replace('"sizeBytes":4', '"sizeBytes":5'));
  const result = check();
  assert.deepEqual(
    result.damaged.map(({ path }) => path).sort(),
    [
      `.backup-agent/versions/s1/${third}.jsonl`,
      `.backup-agent/versions/s1/${third}/a`,
      `.backup-agent/versions/s1/${first}/a`,
    ].sort(),
  );
  assert.deepEqual(result.missing.map(({ path }) => path), [
    `.backup-agent/versions/s1/${second}/b`,
  ]);
});

test("a version is restored with its mode and time, and nothing is written over", async (scene) => {
  fs.writeFileSync(join(scene.source, "dir/file"), "the old content", { mode: 0o640 });
  fs.chmodSync(join(scene.source, "dir/file"), 0o640);
  fs.utimesSync(join(scene.source, "dir/file"), 1e9 + 0.5, 1e9 + 0.5);
  await scene.run();
  fs.writeFileSync(join(scene.source, "dir/file"), "the new content, longer");
  await scene.run();
  const [version] = scene.find("copy/dir/file").versions;
  const restore = (target: string) =>
    scene.ask<RestoredVersion>("restoreVersion", {
      asked: "copy/dir/file",
      absolute: "/nowhere",
      time: version!.time,
      target,
    });
  const target = join(scene.folder, "restored");
  assert.equal(restore(target).path, target);
  const stat = fs.statSync(target);
  assert.deepEqual(
    [read(target), stat.mode & 0o7777, stat.mtimeMs],
    ["the old content", 0o640, 1e12 + 500],
  );
  assert.throws(() => restore(target), { code: "rejected" });
  const into = join(scene.folder, "into");
  fs.mkdirSync(into);
  assert.equal(restore(into).path, join(into, "file"));
  assert.throws(() => restore(into), { code: "rejected" });
  fs.symlinkSync("elsewhere", join(scene.folder, "dangling"));
  assert.throws(() => restore(join(scene.folder, "dangling")));
  assert.throws(() => restore(join(scene.folder, "no/such/folder")), { code: "not_found" });

  fs.writeFileSync(join(scene.destination, version!.storedAt), "the 0ld content");
  assert.throws(() => restore(join(scene.folder, "other")), { code: "damaged" });
  assert.deepEqual(fs.readdirSync(scene.folder).sort(), [
    "dangling",
    "destination",
    "into",
    "restored",
    "source",
  ]);
});

test("a list that names paths outside its folder leads nowhere", async (scene) => {
  fs.writeFileSync(join(scene.source, "file"), "one");
  await scene.run();
  fs.writeFileSync(join(scene.source, "file"), "two.");
  await scene.run();
  const { time } = scene.find("copy/file").versions[0]!;
  const list = join(scene.versions, `${time}.jsonl`);
  const [header, line] = read(list).split("\n") as [string, string];
  const evil = ["../../../../secret", "a/../../x", "/etc/passwd", "./file", "a//b"]
    .map((path) => line.replace('"path":"file"', `"path":${JSON.stringify(path)}`));
  const body = [header, ...evil].map((text) => `${text}\n`).join("");
  const sha256 = createHash("sha256").update(body).digest("hex");
  fs.writeFileSync(list, `${body}${JSON.stringify({ end: true, entries: evil.length, sha256 })}\n`);
  fs.writeFileSync(join(scene.folder, "secret"), "one");
  const progress = new SharedArrayBuffer(16);
  const result = scene.ask<StoredResult>("checkVersions", {
    bindingKey: "s1",
    part: 0,
    parts: 1,
    progress,
  });
  assert.deepEqual([result.files, result.damaged.length], [0, evil.length]);
  assert.deepEqual(scene.find("copy").belowCount, 0);
  for (const text of ["three", "four..", "five..."]) {
    fs.writeFileSync(join(scene.source, "file"), text);
    assert.equal((await scene.run({ keepVersions: 1 })).state, "verified");
  }
  assert.equal(read(join(scene.folder, "secret")), "one");
});

test("a path is asked for as reports write it, in the source, or in the copy", async (scene) => {
  fs.writeFileSync(join(scene.source, "dir/file"), "one");
  await scene.run();
  fs.writeFileSync(join(scene.source, "dir/file"), "two.");
  await scene.run();
  const asked = (text: string, absolute: string) =>
    scene.ask<FoundVersions>("findVersions", { asked: text, absolute }).versions.length;
  assert.equal(asked("copy/dir/file", "/x/copy/dir/file"), 1);
  assert.equal(asked("file", join(scene.source, "dir/file")), 1);
  assert.equal(asked("file", join(scene.destination, "copy/dir/file")), 1);
  assert.equal(asked("copy/dir/other", "/x"), 0);
  assert.throws(() => asked("photos/x", "/photos/x"), { code: "usage" });
  assert.throws(() => asked("copy/../x", "/x"), { code: "usage" });
});
