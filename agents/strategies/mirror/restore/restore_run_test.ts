import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { faultyPosix } from "../../../../tests/support/faulty_posix.ts";
import { backUp } from "../../../../tests/support/mirror_engine.ts";
import { forgeDestination, line, restore } from "../../../../tests/support/restoring.ts";
import {
  inScratch,
  writeFirstVersion,
  writeSecondVersion,
} from "../../../../tests/support/small_tree.ts";
import { sameCopy, treeState } from "../../../../tests/support/tree_state.ts";
import { openPosix } from "../../../platform/open_posix.ts";

const posix = openPosix();

interface Scene {
  folder: string;
  source: string;
  one: string;
  two: string;
  target: string;
}

/** Two destinations with the first version of the small tree, under `copy`. */
function inScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const scene = {
      folder,
      source: join(folder, "source"),
      one: join(folder, "one"),
      two: join(folder, "two"),
      target: join(folder, "target"),
    };
    fs.mkdirSync(scene.source);
    writeFirstVersion(scene.source);
    await backUpTo(scene, "run-1");
    await use(scene);
  });
}

async function backUpTo({ source, one, two }: Scene, runId: string): Promise<void> {
  await backUp({ runId, source, posix, destinations: [one, two].map((path) => ({ path, posix })) });
}

/** Everything below `source` is below `copy`, the same and in the same files. */
function assertRestored(source: string, copy: string, point = ""): void {
  const wanted = treeState(source);
  const found = treeState(copy);
  for (const [path, entry] of wanted) {
    const other = found.get(path);
    assert.ok(other !== undefined && sameCopy(other, entry), `${point} ${path}: ${other?.text}`);
  }
  assert.deepEqual([...found.keys()].sort(), [...wanted.keys()].sort(), point);
  assert.equal(found.get("link-a")?.inode, found.get("link-b")?.inode, point);
}

function damage(path: string): void {
  const bytes = fs.readFileSync(path);
  const { atimeMs, mtimeMs } = fs.statSync(path);
  bytes[0]! ^= 1;
  fs.writeFileSync(path, bytes);
  fs.utimesSync(path, atimeMs / 1000, mtimeMs / 1000);
}

function leftovers(target: string): string[] {
  return fs.readdirSync(target).filter((name) => name.startsWith(".backup-agent"));
}

Deno.test("everything comes back as it was, and nothing of ours is left in the target", () =>
  inScene(async ({ source, one, target }) => {
    const watched = faultyPosix(posix);
    const outcome = await restore(watched.posix, { sources: [one], target });
    assertRestored(source, join(target, "copy"));
    assert.deepEqual([outcome.failures, outcome.kept, outcome.warnings], [[], [], []]);
    assert.equal(outcome.counts.files, outcome.planned.files);
    assert.deepEqual(leftovers(target), []);
    assert.equal(watched.openCount(), 0, "everything opened was closed");
  }));

Deno.test("a second restore into the same folder finds all of it there", () =>
  inScene(async ({ source, one, target }) => {
    const { counts: first } = await restore(posix, { sources: [one], target });
    const { counts } = await restore(posix, { sources: [one], target });
    assert.equal(counts.alreadyThere, first.files + first.others);
    assert.deepEqual([counts.files, counts.others, counts.kept, counts.failed], [0, 0, 0, 0]);
    assertRestored(source, join(target, "copy"));
  }));

Deno.test("a path restores itself or the folder below it, and a path that is nowhere is refused first", () =>
  inScene(async ({ source, one, target }) => {
    await restore(posix, { sources: [one], target, paths: ["copy/dir/deep/", "copy/same.txt"] });
    const found = [...treeState(join(target, "copy")).keys()].sort();
    assert.deepEqual(found, ["", "dir", "dir/deep", "dir/deep/empty", "same.txt"]);
    const dir = treeState(join(target, "copy")).get("dir")!;
    assert.ok(sameCopy(dir, treeState(source).get("dir")!), "a folder on the way, made by us");
    const other = join(target, "other");
    for (const path of ["copy/sa", "copy/nothing", "cop", "/etc/passwd", "../copy"]) {
      await assert.rejects(
        restore(posix, { sources: [one], target: other, paths: ["copy/same.txt", path] }),
        (error: Error & { code?: string }) =>
          error.code === "usage" && error.message.includes(path),
      );
    }
    assert.equal(fs.existsSync(other), false, "nothing was made");
  }));

Deno.test("a further name whose first was not asked for is restored as a file", () =>
  inScene(async ({ one, target }) => {
    await restore(posix, { sources: [one], target, paths: ["copy/link-b"] });
    assert.equal(fs.readFileSync(join(target, "copy/link-b"), "utf8"), "two names");
    assert.equal(fs.existsSync(join(target, "copy/link-a")), false);
  }));

Deno.test("a damaged, a missing and an unreadable copy are taken from the next destination, and said so", () =>
  inScene(async ({ source, one, two, target }) => {
    damage(join(one, "copy/same.txt"));
    fs.rmSync(join(one, "copy/gone.txt"));
    fs.rmSync(join(one, "copy/replaced.txt"));
    fs.mkdirSync(join(one, "copy/replaced.txt"));
    const outcome = await restore(posix, { sources: [one, two], target });
    assertRestored(source, join(target, "copy"));
    assert.deepEqual(outcome.taken.sort(), [
      `Took copy/gone.txt from ${two}: the copy at ${one} is missing`,
      `Took copy/replaced.txt from ${two}: the copy at ${one} cannot be read`,
      `Took copy/same.txt from ${two}: the copy at ${one} is damaged`,
    ]);
    assert.equal(outcome.counts.failed, 0);
  }));

Deno.test("what no destination has right fails by name, and nothing stands under it", () =>
  inScene(async ({ one, two, target }) => {
    for (const at of [one, two]) damage(join(at, "copy/same.txt"));
    damage(join(one, "copy/link-a"));
    const outcome = await restore(posix, { sources: [one, two], target });
    assert.deepEqual(outcome.failures.map(({ path, code }) => [path, code]), [[
      "copy/same.txt",
      "damaged",
    ]]);
    assert.equal(fs.existsSync(join(target, "copy/same.txt")), false);
    assert.equal(fs.readFileSync(join(target, "copy/link-b"), "utf8"), "two names");
    const alone = await restore(posix, { sources: [one], target: join(target, "alone") });
    assert.deepEqual(alone.failures.map(({ path }) => path).sort(), [
      "copy/link-a",
      "copy/link-b",
      "copy/same.txt",
    ]);
    assert.equal(fs.existsSync(join(target, "alone/copy/link-b")), false);
  }));

Deno.test("a list that is cut is not believed, and the next destination's is used", () =>
  inScene(async ({ source, one, two, target }) => {
    const list = join(one, ".backup-agent/manifests/s1.jsonl");
    fs.truncateSync(list, fs.statSync(list).size - 20);
    await assert.rejects(restore(posix, { sources: [one], target }), { code: "damaged" });
    assert.equal(fs.existsSync(target), false);
    const outcome = await restore(posix, { sources: [one, two], target });
    assert.match(outcome.warnings.join(), /s1\.jsonl is damaged/);
    assertRestored(source, join(target, "copy"));
  }));

Deno.test("nothing that stands there is replaced unless that was asked for", () =>
  inScene(async ({ source, one, target }) => {
    const copy = join(target, "copy");
    fs.mkdirSync(copy, { recursive: true });
    fs.writeFileSync(join(copy, "same.txt"), "mine");
    fs.symlinkSync("/etc", join(copy, "dir"));
    fs.mkdirSync(join(copy, "gone.txt"));
    fs.writeFileSync(join(copy, "symlink"), "mine too");
    fs.writeFileSync(join(copy, "link-b"), "mine as well");
    const outcome = await restore(posix, { sources: [one], target });
    assert.deepEqual(outcome.kept.sort(), [
      "copy/gone.txt",
      "copy/link-b",
      "copy/same.txt",
      "copy/symlink",
    ]);
    assert.deepEqual(outcome.failures.map(({ path }) => path).sort(), [
      "copy/dir",
      "copy/dir/deep",
      "copy/dir/deep/empty",
      "copy/dir/inner.txt",
    ]);
    assert.equal(fs.readFileSync(join(copy, "same.txt"), "utf8"), "mine");
    assert.equal(fs.existsSync("/etc/inner.txt"), false);
    const again = await restore(posix, { sources: [one], target, overwrite: true });
    assert.deepEqual(again.failures.map(({ path }) => path).sort(), [
      "copy/dir",
      "copy/dir/deep",
      "copy/dir/deep/empty",
      "copy/dir/inner.txt",
      "copy/gone.txt",
    ]);
    fs.rmSync(join(copy, "dir"));
    fs.rmdirSync(join(copy, "gone.txt"));
    const last = await restore(posix, { sources: [one], target, overwrite: true });
    assert.equal(last.counts.failed, 0);
    assertRestored(source, copy);
  }));

Deno.test("what the source had lost stays where it is unless it is asked for", () =>
  inScene(async (scene) => {
    const { source, one, target } = scene;
    writeSecondVersion(source);
    await backUpTo(scene, "run-2");
    const { planned } = await restore(posix, { sources: [one], target });
    assert.ok(planned.gone > 0);
    assertRestored(source, join(target, "copy"));
    const all = join(target, "all");
    await restore(posix, { sources: [one], target: all, withGone: true });
    assert.equal(fs.readFileSync(join(all, "copy/gone.txt"), "utf8"), "deleted later");
    await assert.rejects(
      restore(posix, { sources: [one], target, paths: ["copy/gone.txt"] }),
      { code: "usage", hint: "--with-gone restores it all the same" },
    );
  }));

Deno.test("a dry run counts and makes nothing", () =>
  inScene(async ({ one, target }) => {
    const { planned, counts } = await restore(posix, { sources: [one], target, dryRun: true });
    assert.ok(planned.files > 5 && planned.bytes > 0 && planned.folders > 2 && planned.others > 2);
    assert.equal(counts.files, 0);
    assert.equal(fs.existsSync(target), false);
  }));

Deno.test("a restore never writes into what it reads from", () =>
  inScene(async ({ folder, one }) => {
    const link = join(folder, "link");
    fs.symlinkSync(one, link);
    for (const target of [one, link, join(one, "copy"), join(one, "copy/dir")]) {
      await assert.rejects(restore(posix, { sources: [one], target }), { code: "usage" });
    }
    // Copies of another destination are no place either.
    const other = join(folder, "other");
    fs.mkdirSync(join(other, ".backup-agent"), { recursive: true });
    fs.writeFileSync(join(other, ".backup-agent/marker.json"), "{}");
    await assert.rejects(restore(posix, { sources: [one], target: other }), {
      code: "usage",
      message: `${other} is a destination with copies of its own`,
    });
    // Here the copy's name is that of the destination's own folder.
    const trap = join(folder, "trap");
    fs.mkdirSync(trap);
    fs.renameSync(one, join(trap, "copy"));
    const sources = [join(trap, "copy")];
    await assert.rejects(restore(posix, { sources, target: trap }), { code: "usage" });
  }));

Deno.test("a target that is a file, or below one, is a wrong command and says so", () =>
  inScene(async ({ folder, one }) => {
    const file = join(folder, "file");
    fs.writeFileSync(file, "mine");
    for (const target of [file, join(file, "below")]) {
      await assert.rejects(restore(posix, { sources: [one], target }), {
        code: "usage",
        message: `${target} is no folder`,
      });
    }
    assert.equal(fs.readFileSync(file, "utf8"), "mine");
  }));

Deno.test("lists that no backup has written are refused by path, and nothing is made", () =>
  inScratch(async (folder) => {
    const top = line.folder("");
    const outside = join(folder, "outside");
    fs.mkdirSync(outside);
    const lists: [string, Record<string, unknown>[]][] = [
      ["/etc/passwd", [top, line.file("/etc/passwd", "x")]],
      ["../up", [top, line.file("../up", "x")]],
      ["a/../../up", [top, line.folder("a"), line.file("a/../../up", "x")]],
      ["a//b", [top, line.folder("a"), line.file("a//b", "x")]],
      [".", [top, line.file(".", "x")]],
      ["a/", [top, line.folder("a"), line.file("a/", "x")]],
      ["nul\\u0000", [top, line.file("nul\0", "x")]],
      ["twice", [top, line.file("twice", "x"), line.file("twice", "y")]],
      ["earlier", [top, line.file("later", "x"), line.file("earlier", "y")]],
      ["a/passwd", [top, line.symlink("a", outside), line.file("a/passwd", "x")]],
      ["b/c/d", [top, line.folder("b"), line.file("b/c/d", "x")]],
      ["orphan", [line.file("orphan", "x")]],
    ];
    for (const [path, entries] of lists) {
      const from = join(folder, "from");
      forgeDestination(from, entries);
      const target = join(folder, "target");
      await assert.rejects(
        restore(posix, { sources: [from], target }),
        (error: Error & { code?: string }) =>
          error.code === "damaged" && error.message.includes(path.replaceAll("\\\\", "\\")),
        path,
      );
      assert.equal(fs.existsSync(target), false, path);
      fs.rmSync(from, { recursive: true });
    }
    assert.deepEqual(fs.readdirSync(outside), []);
  }));

Deno.test("lines whose fields make no sense are refused", () =>
  inScratch(async (folder) => {
    const wrong: Record<string, unknown>[] = [
      line.file("f", "x", { sha256: "00" }),
      line.file("f", "x", { sizeBytes: -1 }),
      line.file("f", "x", { mode: 0o7777777 }),
      line.file("f", "x", { mode: "rwx" }),
      line.file("f", "x", { uid: -1 }),
      line.file("f", "x", { mtimeNs: "now" }),
      line.file("f", "x", { mtimeNs: 5 }),
      line.file("f", "x", { hardLinkTo: "../up" }),
      line.file("f", "x", { storedAs: "../up" }),
      line.file("f", "x", { codec: "zst", storedAs: "f.zst", storedAsBase64: btoa("../up") }),
      line.file("f", "x", { xattrs: { "user.a": 5 } }),
      line.symlink("f", "with\0nul"),
      { ...line.symlink("f", ""), target: 5 },
      { ...line.fifo("f"), type: "character" },
    ];
    for (const entry of wrong) {
      const from = join(folder, "from");
      forgeDestination(from, [line.folder(""), entry]);
      const target = join(folder, "target");
      await assert.rejects(
        restore(posix, { sources: [from], target }),
        { code: "damaged" },
        JSON.stringify(entry),
      );
      assert.equal(fs.existsSync(target), false);
    }
  }));

Deno.test("names of copies that lead elsewhere are refused", () =>
  inScratch(async (folder) => {
    for (const [k, name] of ["../up", "a/b", "..", ".", "", ".backup-agent"].entries()) {
      const from = join(folder, `from${k}`);
      forgeDestination(from, [line.folder("")], { name });
      const target = join(folder, "target");
      await assert.rejects(restore(posix, { sources: [from], target }), { code: "damaged" });
    }
    assert.equal(fs.existsSync(join(folder, "up")), false);
  }));

Deno.test("a list of a newer version is not guessed at", () =>
  inScratch(async (folder) => {
    const from = join(folder, "from");
    forgeDestination(from, [line.folder("")], { version: 2 });
    const target = join(folder, "target");
    await assert.rejects(restore(posix, { sources: [from], target }), { code: "newer_version" });
  }));

Deno.test("what is only recorded comes back, and what is stored in an unknown way fails by name", () =>
  inScratch(async (folder) => {
    const from = join(folder, "from");
    forgeDestination(from, [
      line.folder(""),
      line.file("coded", "x", { codec: "zst.age", storedAs: "coded.zst.age" }),
      line.fifo("fifo", { recordedOnly: true, mode: 0o620 }),
      line.symlink("link", "to where", { recordedOnly: true }),
    ]);
    const target = join(folder, "target");
    const outcome = await restore(posix, { sources: [from], target });
    const copy = join(target, "copy");
    assert.equal(fs.readlinkSync(join(copy, "link")), "to where");
    const fifo = fs.lstatSync(join(copy, "fifo"));
    assert.deepEqual([fifo.isFIFO(), fifo.mode & 0o7777, fifo.mtimeMs], [true, 0o620, 1e12]);
    assert.deepEqual(outcome.failures.map(({ path }) => path), ["copy/coded"]);
    assert.match(outcome.failures[0]!.message, /no key is given/);
  }));

Deno.test("holes and extended attributes come back", () =>
  inScratch(async (folder) => {
    // Where extended attributes are kept for certain.
    const from = join(folder, "from");
    const text = "begin" + "\0".repeat(1 << 20) + "end";
    forgeDestination(from, [
      line.folder("", { xattrs: { "user.top": btoa("of the folder") } }),
      line.file("holes", text, { sparse: true, xattrs: { "user.note": btoa("kept") } }),
    ]);
    fs.mkdirSync(join(from, "copy"));
    fs.writeFileSync(join(from, "copy/holes"), text);
    const target = join(folder, "target");
    const outcome = await restore(posix, { sources: [from], target });
    assert.deepEqual(outcome.failures, []);
    const restored = join(target, "copy/holes");
    assert.equal(fs.readFileSync(restored, "utf8"), text);
    assert.ok(fs.statSync(restored).blocks * 512 < 64 << 10, "the zeros take no room");
    const root = posix.openRoot(new TextEncoder().encode(`${target}/copy\0`));
    const name = new TextEncoder().encode("holes\0");
    const value = posix.getXattr(root, name, "user.note");
    posix.closeDirectory(root);
    assert.equal(outcome.warnings.length === 0, typeof value !== "number", "kept, or said so");
    if (typeof value !== "number") assert.equal(new TextDecoder().decode(value), "kept");
  }));

Deno.test("a destination that a backup is using is not read from, and several restores are", () =>
  inScene(async ({ source, one, target }) => {
    const own = posix.openRoot(new TextEncoder().encode(`${one}/.backup-agent\0`));
    assert.equal(posix.tryLock(own), 0);
    await assert.rejects(restore(posix, { sources: [one], target }), { code: "destination_busy" });
    posix.closeDirectory(own);
    const shared = posix.openRoot(new TextEncoder().encode(`${one}/.backup-agent\0`));
    assert.equal(posix.tryLock(shared, true), 0);
    await restore(posix, { sources: [one], target });
    posix.closeDirectory(shared);
    assertRestored(source, join(target, "copy"));
  }));

Deno.test("several threads restore what one does", () =>
  inScene(async ({ source, one, two, target }) => {
    damage(join(one, "copy/same.txt"));
    await restore(posix, { sources: [one, two], target, threads: 3 });
    assertRestored(source, join(target, "copy"));
  }));

Deno.test("a cancelled restore says so and leaves nothing half done", () =>
  inScene(async ({ source, one, target }) => {
    const controller = new AbortController();
    const watched = faultyPosix(posix, (call) => {
      if (call.name === "rename" || call.name === "link") controller.abort();
      return undefined;
    });
    await assert.rejects(
      restore(watched.posix, { sources: [one], target, signal: controller.signal }),
      { code: "cancelled" },
    );
    const wanted = treeState(source);
    for (const [path, entry] of treeState(join(target, "copy"))) {
      if (entry.kind !== "directory") assert.ok(sameCopy(entry, wanted.get(path)!), path);
    }
    assert.deepEqual(leftovers(target), []);
    assert.equal(watched.openCount(), 0);
    await restore(posix, { sources: [one], target });
    assertRestored(source, join(target, "copy"));
  }));
