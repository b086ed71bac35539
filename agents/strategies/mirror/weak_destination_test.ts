import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { faultyPosix } from "../../../tests/support/faulty_posix.ts";
import { backUp, type EngineOutcome } from "../../../tests/support/mirror_engine.ts";
import { cloneTree, inScratch } from "../../../tests/support/small_tree.ts";
import { needs } from "../../../tests/support/tools.ts";
import { checksumProblems, treeState } from "../../../tests/support/tree_state.ts";
import { type Weakness, weakPosix } from "../../../tests/support/weak_posix.ts";
import type { MirrorOptions } from "../../../protocol/mesh/job.ts";
import type { LaneReport } from "../../../protocol/mesh/task.ts";
import { EIO } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";
import type { Posix } from "../../platform/posix.ts";
import type { ManifestEntry } from "./manifest_line.ts";

const posix = openPosix();

/** What exFAT refuses. */
const EXFAT: Weakness = {
  type: "exfat",
  symlinks: "refused",
  hardLinks: "refused",
  fifos: "file left behind",
  devices: "refused",
  modes: "lost",
  owners: "refused",
  times: "coarse",
  forbidden: ':?"',
};

interface Scene {
  source: string;
  destination: string;
  copy: string;
  run(weakness: Weakness | undefined, options?: Partial<MirrorOptions>): Promise<EngineOutcome>;
  manifest(): Map<string, ManifestEntry>;
}

async function inScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  await inScratch(async (folder) => {
    const source = join(folder, "source");
    const destination = join(folder, "destination");
    fs.mkdirSync(source);
    let runs = 0;
    await use({
      source,
      destination,
      copy: join(destination, "copy"),
      run: (weakness, options = {}) =>
        backUp({
          runId: `run-${++runs}`,
          source,
          destinations: [{
            path: destination,
            posix: weakness === undefined ? posix : weakPosix(posix, weakness),
          }],
          posix,
          options,
        }),
      manifest: () =>
        new Map(
          fs.readFileSync(join(destination, ".backup-agent/manifests/s1.jsonl"), "utf8")
            .split("\n").slice(1, -2).map((line) => JSON.parse(line) as ManifestEntry)
            .map((entry) => [entry.path, entry]),
        ),
    });
  });
}

function laneOf(outcome: EngineOutcome): LaneReport {
  for (const { error } of outcome.finished) assert.equal(error, undefined);
  return outcome.mirrored!.lanes[0]!;
}

function writeOddThings(source: string): void {
  fs.writeFileSync(join(source, "file"), "content");
  fs.mkdirSync(join(source, "folder"));
  fs.symlinkSync("file", join(source, "folder/link"));
  fs.symlinkSync("nowhere", join(source, "link"));
  writePipe(join(source, "pipe"));
}

function writePipe(path: string): void {
  assert.ok(new Deno.Command("mkfifo", { args: [path] }).outputSync().success);
}

function recordedPaths(manifest: Map<string, ManifestEntry>): string[] {
  return [...manifest.values()].filter((entry) => entry.recordedOnly).map(({ path }) => path);
}

Deno.test({
  ...needs(
    "what cannot stand at a destination is recorded, counted, said, and verified",
    "linux",
    "mkfifo",
  ),
  fn: () =>
    inScene(async ({ source, destination, copy, run, manifest }) => {
      writeOddThings(source);
      const outcome = await run(EXFAT);
      const lane = laneOf(outcome);
      assert.deepEqual([lane.state, lane.failures, lane.error], ["verified", [], undefined]);
      assert.deepEqual(lane.recordedOnly, { symlinks: 2, fifos: 1, devices: 0 });
      assert.deepEqual(lane.warnings, [
        "2 symbolic links cannot stand on this file system (exfat): they are recorded in the manifest, " +
        "and a restore makes them",
        "1 FIFO cannot stand on this file system (exfat): it is recorded in the manifest, " +
        "and a restore makes it",
      ]);
      assert.match(outcome.prepared.destinations[0]!.warnings.join(), /keeps no modes.*2 seconds/);
      assert.deepEqual([...treeState(copy).keys()].sort(), ["", "file", "folder"]);
      assert.deepEqual(recordedPaths(manifest()), ["folder/link", "link", "pipe"]);
      assert.equal(manifest().get("link")!.target, "nowhere");
      const { mode, mtimeMs } = fs.lstatSync(join(source, "pipe"));
      const pipe = manifest().get("pipe")!;
      assert.equal(pipe.mode, mode & 0o7777);
      assert.equal(Number(BigInt(pipe.mtimeNs!) / 1_000_000n), Math.floor(mtimeMs));
      assert.deepEqual(checksumProblems(destination, "copy"), []);
      assert.deepEqual(fs.readdirSync(join(destination, ".backup-agent/stage/s1")), []);
      assert.deepEqual(fs.readdirSync(join(destination, ".backup-agent/stage")), ["s1"]);
    }),
});

Deno.test({
  ...needs("a second run leaves alone what is recorded, and writes nothing", "linux", "mkfifo"),
  fn: () =>
    inScene(async ({ source, destination, run }) => {
      writeOddThings(source);
      await run(EXFAT);
      const file = join(destination, ".backup-agent/manifests/s1.jsonl");
      const before = fs.statSync(file, { bigint: true });
      for (const options of [{}, { dryRun: true }, { verify: "all" as const }]) {
        const lane = laneOf(await run(EXFAT, options));
        assert.equal(lane.state, options.dryRun === true ? "planned" : "verified");
        assert.deepEqual(lane.recordedOnly, { symlinks: 2, fifos: 1, devices: 0 });
        assert.equal(lane.filesCopied, 0);
        if (options.dryRun === true) assert.equal(lane.plan!.filesToCopy, 0);
        if (options.verify === "all") continue;
        assert.equal(fs.statSync(file, { bigint: true }).ino, before.ino, "the manifest stands");
      }
    }),
});

Deno.test({
  ...needs(
    "what is recorded follows its source: changed, deleted, turned into a file",
    "linux",
    "mkfifo",
  ),
  fn: () =>
    inScene(async ({ source, copy, run, manifest }) => {
      writeOddThings(source);
      await run(EXFAT);
      fs.rmSync(join(source, "link"));
      fs.symlinkSync("elsewhere", join(source, "link"));
      fs.rmSync(join(source, "pipe"));
      fs.rmSync(join(source, "folder/link"));
      fs.writeFileSync(join(source, "folder/link"), "a file now");
      const lane = laneOf(await run(EXFAT));
      assert.deepEqual([lane.state, lane.failures], ["verified", []]);
      assert.deepEqual(lane.recordedOnly, { symlinks: 1, fifos: 0, devices: 0 });
      assert.equal(manifest().get("link")!.target, "elsewhere");
      assert.ok(manifest().get("pipe")!.goneAtMs !== undefined);
      assert.equal(manifest().get("folder/link")!.recordedOnly, undefined);
      assert.equal(fs.readFileSync(join(copy, "folder/link"), "utf8"), "a file now");
    }),
});

Deno.test({
  ...needs("what is recorded is made when the destination can hold it", "linux", "mkfifo"),
  fn: () =>
    inScene(async ({ source, copy, run, manifest }) => {
      writeOddThings(source);
      await run(EXFAT);
      const lane = laneOf(await run(undefined));
      assert.deepEqual([lane.state, lane.recordedOnly], ["verified", undefined]);
      assert.equal(fs.readlinkSync(join(copy, "link")), "nowhere");
      assert.ok(fs.lstatSync(join(copy, "pipe")).isFIFO());
      assert.deepEqual(recordedPaths(manifest()), []);
      assert.equal(laneOf(await run(undefined)).state, "verified");
    }),
});

Deno.test("what stood under the name of something recorded does not stand there any more", () =>
  inScene(async ({ source, destination, copy, run, manifest }) => {
    for (const name of ["was-file", "by-hand"]) fs.writeFileSync(join(source, name), "old content");
    fs.mkdirSync(join(source, "was-folder"));
    fs.writeFileSync(join(source, "was-folder/inner"), "inner");
    await run(EXFAT);
    for (const name of ["was-file", "by-hand", "was-folder"]) {
      fs.rmSync(join(source, name), { recursive: true });
      fs.symlinkSync("x", join(source, name));
    }
    fs.writeFileSync(join(copy, "by-hand"), "written by a person at the destination");
    const lane = laneOf(await run(EXFAT));
    assert.deepEqual([lane.state, lane.failures], ["verified", []]);
    assert.deepEqual([...treeState(copy).keys()], [""]);
    assert.deepEqual(recordedPaths(manifest()), ["by-hand", "was-file", "was-folder"]);
    assert.equal(manifest().size, 4, "nothing of the folder that was is listed");
    const displaced = join(destination, ".backup-agent/displaced");
    const kept = [...treeState(displaced).keys()].filter((path) => path !== "");
    assert.equal(kept.length, 3, kept.join());
    assert.ok(kept.some((path) => path.endsWith("/inner")));
    assert.match(lane.warnings.join("\n"), /by-hand was made or altered by hand/);
    assert.deepEqual(checksumProblems(destination, "copy"), []);
  }));

Deno.test("a stranger put under a recorded name is found and moved away by the next run", () =>
  inScene(async ({ source, destination, copy, run }) => {
    fs.symlinkSync("x", join(source, "link"));
    await run(EXFAT);
    fs.writeFileSync(join(copy, "link"), "mine");
    const lane = laneOf(await run(EXFAT));
    assert.equal(lane.state, "verified");
    assert.equal(fs.existsSync(join(copy, "link")), false);
    const displaced = join(destination, ".backup-agent/displaced");
    const [name] = fs.readdirSync(displaced);
    assert.equal(fs.readFileSync(join(displaced, name!), "utf8"), "mine");
  }));

Deno.test("without hard links each name is a file of its own: verified, listed, and not copied again", () =>
  inScene(async ({ source, destination, copy, run, manifest }) => {
    fs.writeFileSync(join(source, "a"), "one file, three names");
    fs.linkSync(join(source, "a"), join(source, "b"));
    fs.linkSync(join(source, "a"), join(source, "c"));
    const first = laneOf(await run(EXFAT));
    assert.deepEqual([first.state, first.filesCopied, first.filesVerified], ["verified", 3, 3]);
    assert.deepEqual(["b", "c"].map((path) => manifest().get(path)!.hardLinkTo), ["a", "a"]);
    assert.notEqual(fs.statSync(join(copy, "a")).ino, fs.statSync(join(copy, "b")).ino);
    assert.deepEqual(checksumProblems(destination, "copy"), []);

    const second = laneOf(await run(EXFAT));
    assert.deepEqual([second.filesCopied, second.filesUnchanged], [0, 3]);

    // Damage that neither size nor time shows, under a further name.
    const { atime, mtime } = fs.statSync(join(copy, "b"));
    fs.writeFileSync(join(copy, "b"), "ONE FILE, THREE NAMES");
    fs.utimesSync(join(copy, "b"), atime, mtime);
    const all = laneOf(await run(EXFAT, { verify: "all" }));
    assert.deepEqual([all.state, all.rewritten, all.filesVerified], ["verified", ["copy/b"], 3]);
    assert.equal(fs.readFileSync(join(copy, "b"), "utf8"), "one file, three names");

    fs.writeFileSync(join(source, "a"), "changed under all names");
    const changed = laneOf(await run(EXFAT));
    assert.deepEqual([changed.state, changed.filesCopied], ["verified", 3]);
    assert.equal(fs.readFileSync(join(copy, "c"), "utf8"), "changed under all names");
    assert.deepEqual(checksumProblems(destination, "copy"), []);
  }));

Deno.test("when hard links are possible again the further names become links again", () =>
  inScene(async ({ source, copy, run }) => {
    fs.writeFileSync(join(source, "a"), "two names");
    fs.linkSync(join(source, "a"), join(source, "b"));
    await run(EXFAT);
    const lane = laneOf(await run(undefined));
    assert.equal(lane.state, "verified");
    assert.equal(fs.statSync(join(copy, "a")).ino, fs.statSync(join(copy, "b")).ino);
  }));

Deno.test("times that cannot be stored are recorded exactly, and their files are not copied again", () =>
  inScene(async ({ source, destination, run, manifest }) => {
    const times = { "1970": 5, odd: 1_234_567_891.123 };
    for (const [name, seconds] of Object.entries(times)) {
      fs.mkdirSync(join(source, name));
      fs.writeFileSync(join(source, name, "file"), name);
      fs.utimesSync(join(source, name, "file"), seconds, seconds);
      fs.utimesSync(join(source, name), seconds, seconds);
    }
    assert.equal(laneOf(await run(EXFAT)).filesCopied, 2);
    assert.equal(manifest().get("1970/file")!.mtimeNs, "5000000000");
    const again = laneOf(await run(EXFAT));
    assert.deepEqual([again.filesCopied, again.filesUnchanged], [0, 2]);
    fs.writeFileSync(join(source, "1970/file"), "changed");
    fs.utimesSync(join(source, "1970/file"), 6, 6);
    const changed = laneOf(await run(EXFAT));
    assert.deepEqual([changed.filesCopied, changed.warnings], [1, []]);
    assert.equal(fs.existsSync(join(destination, ".backup-agent/displaced")), false);
  }));

Deno.test("a name that cannot exist fails by name, with all below it, and everything else is copied", () =>
  inScene(async ({ source, copy, run, manifest }) => {
    fs.writeFileSync(join(source, "a:b"), "1");
    fs.writeFileSync(join(source, "plain"), "2");
    fs.mkdirSync(join(source, "what?/deep"), { recursive: true });
    fs.writeFileSync(join(source, "what?/deep/inner"), "3");
    fs.writeFileSync(join(source, "end."), "4");
    for (let n = 0; n < 2; n++) {
      const lane = laneOf(await run({ ...EXFAT, trailingDots: "cut" }));
      assert.equal(lane.state, "failed");
      assert.deepEqual(lane.failures.map(({ path, message }) => [path, message]), [
        ["copy/a:b", "Its name cannot exist on this file system (exfat): it holds :"],
        ["copy/end.", "Its name cannot exist on this file system (exfat): it ends in a dot"],
        ["copy/what?", "Its name cannot exist on this file system (exfat): it holds ?"],
        ["copy/what?/deep", "The name of a folder above it cannot exist on this file system"],
        ["copy/what?/deep/inner", "The name of a folder above it cannot exist on this file system"],
      ]);
      assert.deepEqual([...treeState(copy).keys()].sort(), ["", "plain"]);
      assert.deepEqual([...manifest().keys()], ["", "plain"]);
    }
  }));

Deno.test("a further name of a file whose first name cannot exist is copied for itself", () =>
  inScene(async ({ source, destination, copy, run }) => {
    fs.writeFileSync(join(source, "a:b"), "content");
    fs.linkSync(join(source, "a:b"), join(source, "good"));
    const weakness: Weakness = { type: "ntfs3", forbidden: ":" };
    const lane = laneOf(await run(weakness));
    assert.deepEqual(lane.failures.map(({ path }) => path), ["copy/a:b"]);
    assert.equal(fs.readFileSync(join(copy, "good"), "utf8"), "content");
    assert.deepEqual(checksumProblems(destination, "copy"), []);
    const again = laneOf(await run(weakness));
    assert.deepEqual([again.filesCopied, again.filesUnchanged], [0, 1]);
  }));

Deno.test("a top name that cannot exist ends the lane before anything is written", () =>
  inScene(async ({ source, destination }) => {
    fs.writeFileSync(join(source, "file"), "content");
    const outcome = await backUp({
      runId: "run",
      name: "a:b",
      source,
      destinations: [{ path: destination, posix: weakPosix(posix, EXFAT) }],
      posix,
    });
    const { error } = laneOf(outcome);
    assert.match(error!.message, /^a:b: Its name cannot exist/);
    assert.match(error!.hint!, /--as NAME/);
    assert.deepEqual(fs.readdirSync(destination), [".backup-agent"]);
  }));

Deno.test("a file too large for vfat fails by name before its first byte", () =>
  inScene(async ({ source, copy, run }) => {
    fs.writeFileSync(join(source, "huge"), "");
    fs.truncateSync(join(source, "huge"), 2 ** 32);
    fs.writeFileSync(join(source, "plain"), "content");
    const lane = laneOf(await run({ type: "vfat" }));
    assert.deepEqual(lane.failures.map(({ path, code, message }) => [path, code, message]), [[
      "copy/huge",
      "unsupported",
      "It has 4294967296 bytes, and a file on this file system (vfat) has 4294967295 at most",
    ]]);
    assert.deepEqual(fs.readdirSync(copy), ["plain"]);
  }));

Deno.test({
  ...needs(
    "a device node that may not be made is recorded, and made as soon as it may",
    "linux",
    "root",
  ),
  fn: () =>
    inScene(async ({ source, copy, run, manifest }) => {
      const node = join(source, "null");
      assert.ok(new Deno.Command("mknod", { args: [node, "c", "1", "3"] }).outputSync().success);
      const refused: Weakness = { type: "ext4", devices: "refused" };
      for (let n = 0; n < 2; n++) {
        const lane = laneOf(await run(refused));
        assert.deepEqual([lane.state, lane.failures], ["verified", []]);
        assert.deepEqual(lane.recordedOnly, { symlinks: 0, fifos: 0, devices: 1 });
        assert.match(lane.warnings.join(), /1 device node could not be made, which takes root/);
        assert.deepEqual(fs.readdirSync(copy), []);
        assert.equal(manifest().get("null")!.rdev, 2 ** 32 + 3);
      }
      const lane = laneOf(await run(undefined));
      assert.deepEqual([lane.state, lane.recordedOnly], ["verified", undefined]);
      assert.ok(fs.lstatSync(join(copy, "null")).isCharacterDevice());
    }),
});

/** A second backup in which everything of interest changes; `use` may break it at each of its `steps`, at a fresh copy. */
async function breakSecondRun(
  use: (scene: {
    destination: string;
    /** Counted over all calls of an undisturbed run. */
    step: number;
    run(runId: string, port: Posix): Promise<EngineOutcome>;
  }) => Promise<void>,
): Promise<void> {
  await inScratch(async (folder) => {
    const source = join(folder, "source");
    fs.mkdirSync(source);
    fs.writeFileSync(join(source, "was-file"), "the old content");
    fs.writeFileSync(join(source, "replaced"), "first version");
    const begun = join(folder, "begun");
    const destination = join(folder, "destination");
    const runAt = (path: string, runId: string, port: Posix) =>
      backUp({ runId, source, destinations: [{ path, posix: port }], posix });
    assert.equal(laneOf(await runAt(begun, "first", weakPosix(posix, EXFAT))).state, "verified");
    fs.rmSync(join(source, "was-file"));
    fs.symlinkSync("x", join(source, "was-file"));
    fs.writeFileSync(join(source, "replaced"), "second version");
    fs.writeFileSync(join(source, "a"), "two names");
    fs.linkSync(join(source, "a"), join(source, "b"));
    writePipe(join(source, "pipe"));

    const count = faultyPosix(weakPosix(posix, EXFAT));
    cloneTree(begun, destination);
    await runAt(destination, "counted", count.posix);
    count.dispose();
    const steps = count.calls.filter(({ changes }) => changes).map(({ number }) => number);
    assert.ok(steps.length > 40, String(steps.length));
    for (const step of steps) {
      fs.rmSync(destination, { recursive: true });
      cloneTree(begun, destination);
      await use({ destination, step, run: (runId, port) => runAt(destination, runId, port) });
    }
  });
}

function assertSecondVersion(destination: string, outcome: EngineOutcome, point: string): void {
  const lane = laneOf(outcome);
  assert.deepEqual([lane.state, lane.failures], ["verified", []], point);
  assert.deepEqual(lane.recordedOnly, { symlinks: 1, fifos: 1, devices: 0 }, point);
  const copy = treeState(join(destination, "copy"));
  assert.deepEqual([...copy.keys()].sort(), ["", "a", "b", "replaced"], point);
  assert.equal(copy.get("replaced")!.text, "second version", point);
  assert.deepEqual(checksumProblems(destination, "copy"), [], point);
  assert.equal(fs.existsSync(join(destination, ".backup-agent/displaced")), false, point);
}

Deno.test({
  ...needs(
    "a power cut at any step on a weak file system loses nothing, and the next run ends it",
    "linux",
    "mkfifo",
  ),
  fn: () =>
    breakSecondRun(async ({ destination, step, run }) => {
      const point = `power cut before call ${step}`;
      const cut = faultyPosix(
        weakPosix(posix, EXFAT),
        ({ number }) => number === step ? { kind: "crash", when: "before" } : undefined,
      );
      await Promise.race([cut.crashed, run("cut", cut.posix).catch(() => {})]);
      await cut.crashed;
      // Without hard links an earlier version is moved into the stage, so its name may be free for a moment.
      const stands = treeState(destination);
      const left = [...stands.values()].map(({ text }) => text);
      const manifest = stands.get(".backup-agent/manifests/s1.jsonl")!.text;
      assert.ok(
        manifest.includes('"recordedOnly":true') || left.includes("the old content"),
        point,
      );
      assert.ok(left.includes("second version") || left.includes("first version"), point);
      assertSecondVersion(destination, await run("after", weakPosix(posix, EXFAT)), point);
      assert.deepEqual(fs.readdirSync(join(destination, ".backup-agent/stage")), ["s1"], point);
      cut.dispose();
    }),
});

Deno.test({
  ...needs(
    "a disk error at any step on a weak file system is survived or told",
    "linux",
    "mkfifo",
  ),
  fn: () =>
    breakSecondRun(async ({ destination, step, run }) => {
      const faulty = faultyPosix(
        weakPosix(posix, EXFAT),
        ({ number }) => number === step ? { kind: "error", errno: EIO } : undefined,
      );
      const outcome = await run("faulty", faulty.posix);
      const point = `error at call ${step} (${faulty.calls[step - 1]!.name})`;
      faulty.dispose();
      const lane = outcome.mirrored?.lanes[0];
      const isTold = lane === undefined || lane.state !== "verified" ||
        outcome.finished.some(({ error }) => error !== undefined);
      if (!isTold) assertSecondVersion(destination, outcome, point);
      assertSecondVersion(destination, await run("after", weakPosix(posix, EXFAT)), point);
    }),
});
