import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import type { MirrorOptions } from "../../../protocol/mesh/job.ts";
import type { LaneReport } from "../../../protocol/mesh/task.ts";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import { inScratch } from "../../../tests/support/small_tree.ts";
import { needs } from "../../../tests/support/tools.ts";
import { checksumProblems, treeState } from "../../../tests/support/tree_state.ts";
import { EACCES, EIO } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";
import type { Posix } from "../../platform/posix.ts";

const posix = openPosix();
const textOf = (name: Uint8Array) => new TextDecoder().decode(name.subarray(0, name.indexOf(0)));
const disk = (calls: Partial<Posix>): Posix => ({ ...posix, ...calls });

interface Scene {
  source: string;
  destination: string;
  copy: string;
  run(
    runId: string,
    options?: Partial<MirrorOptions>,
    disks?: { at?: Posix; source?: Posix; signal?: AbortSignal },
  ): Promise<LaneReport>;
}

const DELETE: Partial<MirrorOptions> = { deleteGone: true };

/** A source of twelve files in two folders and a copy of it. */
function inScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const source = join(folder, "source");
    const destination = join(folder, "destination");
    for (let k = 0; k < 12; k++) {
      const path = join(source, `dir ${k % 2}`, `file ${k}`);
      fs.mkdirSync(join(path, ".."), { recursive: true });
      fs.writeFileSync(path, `content ${k}`);
      fs.utimesSync(path, 1e9, 1e9 + k);
    }
    fs.symlinkSync("dir 0", join(source, "link"));
    for (const dir of ["dir 0", "dir 1", "."]) fs.utimesSync(join(source, dir), 1.1e9, 1.1e9);
    const scene: Scene = {
      source,
      destination,
      copy: join(destination, "copy"),
      async run(runId, options = DELETE, { at = posix, source: from = posix, signal } = {}) {
        const outcome = await backUp({
          runId,
          source,
          posix: from,
          destinations: [{ path: destination, posix: at }],
          options,
          ...(signal === undefined ? {} : { signal }),
        });
        return outcome.mirrored!.lanes[0]!;
      },
    };
    assert.equal((await scene.run("run-1")).state, "verified");
    await use(scene);
  });
}

function test(name: string, use: (scene: Scene) => Promise<void>): void {
  Deno.test({ ...needs(name, "linux"), fn: () => inScene(use) });
}

const there = ({ copy }: Scene, path: string) => fs.existsSync(join(copy, path));
const gone = ({ source }: Scene, path: string) =>
  fs.rmSync(join(source, path), { recursive: true });
const manifest = ({ destination }: Scene) =>
  fs.readFileSync(join(destination, ".backup-agent/manifests/s1.jsonl"), "utf8");

function assertSame({ source, copy, destination }: Scene): void {
  const at = treeState(copy);
  const wanted = treeState(source);
  assert.deepEqual([...at.keys()], [...wanted.keys()]);
  for (const [path, { mtimeNs, mode }] of wanted) {
    assert.deepEqual([at.get(path)!.mtimeNs, at.get(path)!.mode], [mtimeNs, mode], path);
  }
  assert.deepEqual(checksumProblems(destination, "copy"), []);
}

test("without --delete nothing goes; with it exactly what the source lost, once it is verified", async (scene) => {
  gone(scene, "dir 1/file 3");
  gone(scene, "link");
  await scene.run("run-2", {});
  assert.ok(there(scene, "dir 1/file 3"));
  const lane = await scene.run("run-3");
  assert.equal(lane.state, "verified");
  assert.deepEqual(lane.history, {
    entriesDeleted: 2,
    foldersDeleted: 0,
    versionsKept: 0,
    versionsRemoved: 0,
  });
  assert.deepEqual(lane.warnings, []);
  assertSame(scene);
  assert.ok(!manifest(scene).includes("file 3"));
  assert.equal((await scene.run("run-4")).history!.entriesDeleted, 0);
});

test("a folder goes with all that was in it", async (scene) => {
  gone(scene, "dir 1");
  const lane = await scene.run("run-2");
  assert.deepEqual([lane.history!.entriesDeleted, lane.history!.foldersDeleted], [6, 1]);
  assertSame(scene);
});

test("a folder of the copy that nobody may write to is left as it was", async (scene) => {
  fs.chmodSync(join(scene.source, "dir 1"), 0o555);
  fs.rmSync(join(scene.source, "dir 1/file 3"));
  assert.equal((await scene.run("run-2")).state, "verified");
  assertSame(scene);
});

test("what was altered by hand stays with its line and is named, and so do the folders it is in", async (scene) => {
  fs.writeFileSync(join(scene.copy, "dir 1/file 3"), "my own notes");
  gone(scene, "dir 1");
  const lane = await scene.run("run-2");
  assert.equal(lane.state, "verified");
  assert.equal(fs.readFileSync(join(scene.copy, "dir 1/file 3"), "utf8"), "my own notes");
  assert.equal(lane.history!.entriesDeleted, 5);
  assert.equal(lane.warnings.length, 1, lane.warnings.join());
  assert.match(lane.warnings[0]!, /copy\/dir 1\/file 3 is gone .* altered by hand/);
  assert.ok(manifest(scene).includes('"path":"dir 1/file 3"'));
  assert.ok(!manifest(scene).includes('"path":"dir 1/file 5"'));
});

test("a link where a folder of the copy was is left alone and named, and so is what it leads to", async (scene) => {
  const elsewhere = join(scene.destination, "elsewhere");
  fs.renameSync(join(scene.copy, "dir 1"), elsewhere);
  fs.symlinkSync("../elsewhere", join(scene.copy, "dir 1"));
  gone(scene, "dir 1");
  const lane = await scene.run("run-2");
  assert.equal(fs.readdirSync(elsewhere).length, 6);
  assert.equal(fs.readlinkSync(join(scene.copy, "dir 1")), "../elsewhere");
  assert.match(lane.warnings.join(), /copy\/dir 1 is gone .* is no folder there any more/);
});

test("a source that is unmounted after it was listed takes its ignore file along, and nothing is deleted", async (scene) => {
  fs.writeFileSync(join(scene.source, ".backupignore"), "file 3\n");
  let isMounted = true;
  const lane = await scene.run("run-2", { ...DELETE, ignoreFiles: true }, {
    at: disk({
      flushFileSystem(handle) {
        if (isMounted) {
          fs.renameSync(scene.source, `${scene.source}.unmounted`);
          fs.mkdirSync(scene.source);
        }
        isMounted = false;
        return posix.flushFileSystem(handle);
      },
    }),
  });
  assert.equal(isMounted, false);
  assert.ok(there(scene, "dir 1/file 3"));
  assert.match(JSON.stringify(lane), /Nothing was deleted: .* is another folder than the one/);
});

test("a stranger's file keeps its folder, which is named", async (scene) => {
  fs.writeFileSync(join(scene.copy, "dir 1/stranger"), "somebody's");
  gone(scene, "dir 1");
  const lane = await scene.run("run-2");
  assert.deepEqual(fs.readdirSync(join(scene.copy, "dir 1")), ["stranger"]);
  assert.match(lane.warnings.join(), /copy\/dir 1 is gone .* holds something that is not of this/);
});

test("what a rule leaves out stays, also when the source lost it, with its folders", async (scene) => {
  gone(scene, "dir 1/file 3");
  gone(scene, "dir 1/file 5");
  const excludes = ["file 5", "file 7", "/dir 0"]
    .map((pattern) => ({ pattern, origin: "--exclude" }));
  const lane = await scene.run("run-2", { ...DELETE, excludes });
  assert.equal(lane.state, "verified");
  assert.equal(lane.history!.entriesDeleted, 1);
  assert.ok(!there(scene, "dir 1/file 3"));
  for (const path of ["dir 1/file 5", "dir 1/file 7", "dir 0/file 4"]) {
    assert.ok(there(scene, path), path);
  }
});

const UNREADABLE: Record<string, Partial<Posix>> = {
  "a folder that cannot be listed": {
    openDirectory: (at, name) => textOf(name) === "dir 0" ? -EACCES : posix.openDirectory(at, name),
  },
  "an entry that cannot be looked at": {
    statAt: (at, name, out) => textOf(name) === "file 2" ? -EIO : posix.statAt(at, name, out),
  },
  "a new file that cannot be read": {
    openRead: (at, name) => textOf(name) === "new" ? -EIO : posix.openRead(at, name),
  },
};

for (const [what, calls] of Object.entries(UNREADABLE)) {
  test(`${what} in the source: nothing is deleted anywhere`, async (scene) => {
    fs.renameSync(join(scene.source, "dir 1/file 3"), join(scene.source, "new"));
    const lane = await scene.run("run-2", DELETE, { source: disk(calls) });
    assert.ok(there(scene, "dir 1/file 3"));
    assert.match(lane.warnings.join(), /Nothing was deleted from copy: not all of the source/);
    assert.equal(lane.history!.entriesDeleted, 0);
    await scene.run("run-3");
    assertSame(scene);
  });
}

test("with a file that failed here nothing is deleted here", async (scene) => {
  fs.renameSync(join(scene.source, "dir 1/file 3"), join(scene.source, "new"));
  const full = disk({
    rename: (from, name, to, toName) =>
      textOf(toName) === "new" ? -EIO : posix.rename(from, name, to, toName),
  });
  const lane = await scene.run("run-2", DELETE, { at: full });
  assert.equal(lane.state, "failed");
  assert.ok(there(scene, "dir 1/file 3"));
  assert.match(lane.warnings.join(), /not everything is verified here/);
});

test("more than half gone is refused by name, again and again, until it is told", async (scene) => {
  for (let k = 0; k < 7; k++) gone(scene, `dir ${k % 2}/file ${k}`);
  // Much that is new does not make it harmless.
  for (let k = 0; k < 40; k++) fs.writeFileSync(join(scene.source, `new ${k}`), `new ${k}`);
  for (const runId of ["run-2", "run-3"]) {
    const lane = await scene.run(runId);
    assert.equal(lane.state, "failed");
    assert.equal(lane.error!.code, "rejected");
    assert.match(lane.error!.message, /nothing was deleted: more than half .*7 of 12 files/);
    assert.match(lane.error!.hint!, /--delete-anyway/);
    assert.equal(lane.failureCount, 0);
    assert.match(lane.history!.refused!, /more than half/);
    assert.ok(there(scene, "dir 0/file 0") && there(scene, "new 39"));
  }
  assert.equal((await scene.run("run-4", { ...DELETE, deleteAnyway: true })).state, "verified");
  assertSame(scene);
  // From here on the measure is what is recorded now.
  for (let k = 0; k < 8; k++) gone(scene, `new ${k}`);
  assert.equal((await scene.run("run-5")).state, "verified");
  assertSame(scene);
});

test("what a rule keeps for ever does not hold the measure back", async (scene) => {
  const excludes = [{ pattern: "file 1", origin: "--exclude" }];
  const options = { ...DELETE, excludes };
  await scene.run("run-2", options);
  for (let k = 0; k < 88; k++) fs.writeFileSync(join(scene.source, `new ${k}`), `new ${k}`);
  await scene.run("run-3", options);
  for (let k = 0; k < 30; k++) gone(scene, `new ${k}`);
  const lane = await scene.run("run-4", options);
  assert.equal(lane.state, "verified", lane.error?.message);
  assert.equal(lane.history!.entriesDeleted, 30);
  assert.ok(there(scene, "dir 1/file 1"));
});

test("an empty source deletes nothing unless it is told", async (scene) => {
  for (const name of fs.readdirSync(scene.source)) gone(scene, name);
  const lane = await scene.run("run-2");
  assert.match(lane.error!.message, /the source is empty, and 12 files would be removed/);
  assert.ok(there(scene, "dir 0/file 0"));
  await scene.run("run-3", { ...DELETE, deleteAnyway: true });
  assertSame(scene);
});

test("a folder that is empty now, like a mount point without its disk, deletes nothing unless it is told", async (scene) => {
  fs.mkdirSync(join(scene.source, "disk/deep"), { recursive: true });
  for (let k = 0; k < 10; k++) {
    fs.writeFileSync(join(scene.source, `disk/${k % 2 ? "" : "deep/"}photo ${k}`), `${k}`);
  }
  await scene.run("run-2");
  fs.rmSync(join(scene.source, "disk"), { recursive: true });
  fs.mkdirSync(join(scene.source, "disk"));
  for (const runId of ["run-3", "run-4"]) {
    const lane = await scene.run(runId);
    assert.match(
      lane.error!.message,
      /disk is empty now, and 10 files below it would be removed: is a disk not mounted there\?/,
    );
    assert.ok(there(scene, "disk/deep/photo 0") && there(scene, "disk/photo 9"));
  }
  await scene.run("run-5", { ...DELETE, deleteAnyway: true });
  assertSame(scene);
});

test("a dry run names what would go, and what would be refused, and changes nothing", async (scene) => {
  gone(scene, "dir 1/file 3");
  gone(scene, "link");
  const before = manifest(scene);
  const { plan, state } = await scene.run("run-2", { ...DELETE, dryRun: true });
  assert.equal(state, "planned");
  assert.deepEqual([plan!.filesToDelete, plan!.entriesToDelete], [1, 2]);
  assert.deepEqual(plan!.deletionNames, ["copy/dir 1/file 3", "copy/link"]);
  gone(scene, "dir 0");
  gone(scene, "dir 1");
  const refused = await scene.run("run-3", { ...DELETE, dryRun: true });
  assert.match(refused.warnings.join(), /Nothing would be deleted without --delete-anyway/);
  assert.equal(manifest(scene), before);
  assert.ok(there(scene, "dir 1/file 3"));
});

test("cancelled between two deletions the manifest is right, and the next run goes on", async (scene) => {
  for (const k of [1, 3, 5]) gone(scene, `dir 1/file ${k}`);
  const abort = new AbortController();
  let unlinked = 0;
  const cancelling = disk({
    unlink: (at, name) => {
      if (/^file \d$/.test(textOf(name)) && ++unlinked === 2) abort.abort();
      return posix.unlink(at, name);
    },
  });
  const lane = await scene.run("run-2", DELETE, { at: cancelling, signal: abort.signal });
  assert.equal(lane.state, "cancelled");
  assert.equal(unlinked, 2);
  assert.ok(there(scene, "dir 1/file 5"));
  const recorded = manifest(scene);
  assert.ok(!recorded.includes('file 1"') && !recorded.includes('file 3"'));
  assert.ok(recorded.includes('file 5"'));
  assert.equal((await scene.run("run-3")).history!.entriesDeleted, 1);
  assertSame(scene);
});

test("what cannot be removed stays with its line and is named", async (scene) => {
  gone(scene, "dir 1/file 3");
  const stuck = disk({
    unlink: (at, name) => textOf(name) === "file 3" ? -EACCES : posix.unlink(at, name),
  });
  const lane = await scene.run("run-2", DELETE, { at: stuck });
  assert.match(lane.warnings.join(), /copy\/dir 1\/file 3 is gone .* cannot be removed/);
  assert.ok(manifest(scene).includes('"path":"dir 1/file 3"'));
  assert.equal((await scene.run("run-3")).history!.entriesDeleted, 1);
  assertSame(scene);
});

/** A disk that finds `File 3` and `file 3` under either name, as one that folds case does. */
function folding(copy: string): Posix {
  const stands = (at: number, name: Uint8Array): Uint8Array => {
    const text = textOf(name);
    if (text.toLowerCase() !== "file 3") return name;
    const names = posix.list(at);
    const found = typeof names === "number"
      ? undefined
      : names.find((n) => n.toLowerCase() === "file 3");
    return found === undefined ? name : new TextEncoder().encode(`${found}\0`);
  };
  assert.ok(fs.existsSync(copy));
  return disk({
    statAt: (at, name, out) => {
      const isOwn = textOf(name) === ".BACKUP-AGENT";
      return isOwn ? 0 : posix.statAt(at, stands(at, name), out);
    },
    unlink: (at, name) => posix.unlink(at, stands(at, name)),
  });
}

test("a name that changed only its case is not deleted where both are one name", async (scene) => {
  const { source, copy } = scene;
  fs.renameSync(join(source, "dir 1/file 3"), join(source, "dir 1/File 3"));
  const lane = await scene.run("run-2", DELETE, { at: folding(copy) });
  assert.equal(lane.history!.entriesDeleted, 0);
  const left = fs.readdirSync(join(copy, "dir 1")).filter((name) =>
    name.toLowerCase() === "file 3"
  );
  assert.ok(left.length >= 1, left.join());
  // A disk that tells them apart loses the old one, and only that.
  await scene.run("run-3");
  assertSame(scene);
});
