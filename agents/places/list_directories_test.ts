import assert from "node:assert/strict";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inScratch } from "../../tests/support/small_tree.ts";
import { EIO } from "../platform/errno.ts";
import { openPosix } from "../platform/open_posix.ts";
import type { Posix } from "../platform/posix.ts";
import { inspectPlace } from "./inspect_place.ts";
import { listDirectories } from "./list_directories.ts";

function toolsOf(posix: Posix = openPosix(), stepMs = 0) {
  let nowMs = 0;
  return { posix, tick: () => {}, monotonicMs: () => nowMs += stepMs };
}

function put(folder: string, path: string, bytes: number): void {
  mkdirSync(join(folder, path, ".."), { recursive: true });
  writeFileSync(join(folder, path), new Uint8Array(bytes));
}

Deno.test("S1-43: every folder is listed with what lies below it, hidden ones too, and links are not followed", () =>
  inScratch((folder) => {
    put(folder, ".config/a/b", 5);
    put(folder, "music/x/y/z", 7);
    put(folder, "music/w", 1);
    put(folder, "note", 3);
    symlinkSync("/", join(folder, "music/root"));
    symlinkSync("music", join(folder, "link"));
    const found = listDirectories(toolsOf(), folder, 10_000);
    assert.deepEqual(
      found.directories.map((d) => [d.name, d.files, d.sizeBytes, d.isCounted, d.problem]),
      [[".config", 1, 5, true, undefined], ["music", 2, 8, true, undefined]],
    );
    assert.deepEqual([found.files, found.sizeBytes], [1, 3]);
  }));

Deno.test("S1-43: a folder in which something fails is listed all the same, and its size is said to be a part", () =>
  inScratch((folder) => {
    put(folder, "good/a", 1);
    put(folder, "odd/a", 1);
    put(folder, "odd/deep/b", 1);
    const posix = openPosix();
    const failing: Posix = {
      ...posix,
      openDirectory: (at, name) =>
        new TextDecoder().decode(name).startsWith("deep") ? -EIO : posix.openDirectory(at, name),
      statAt: (at, name, out) =>
        new TextDecoder().decode(name).startsWith("good") ? -EIO : posix.statAt(at, name, out),
    };
    const found = listDirectories(toolsOf(failing), folder, 10_000);
    assert.deepEqual(found.directories.map((d) => [d.name, d.isCounted, d.files]), [
      ["good", false, 0],
      ["odd", false, 1],
    ]);
    assert.ok(found.directories.every((d) => d.problem !== undefined));
  }));

Deno.test("counting ends in time, whatever there is, and each folder has its share of it", () =>
  inScratch((folder) => {
    for (const name of ["a", "b", "c"]) {
      for (let k = 0; k < 50; k++) put(folder, `${name}/${k}/f`, 1);
    }
    const found = listDirectories(toolsOf(openPosix(), 1), folder, 60);
    assert.ok(found.directories.every((d) => !d.isCounted && d.files > 0 && d.files < 50));
    const named = listDirectories(toolsOf(), folder, 0);
    assert.deepEqual(named.directories.map((d) => [d.name, d.files]), [["a", 0], ["b", 0], [
      "c",
      0,
    ]]);
  }));

Deno.test("a folder that is not there is an error with its name", () =>
  inScratch((folder) => {
    const missing = join(folder, "none");
    assert.throws(() => listDirectories(toolsOf(), missing, 0), {
      code: "not_found",
      path: missing,
    });
  }));

Deno.test("a place is tried by a small file that is gone afterwards, and looking alone writes nothing", () =>
  inScratch((folder) => {
    const place = join(folder, "disk");
    mkdirSync(place);
    const posix = openPosix();
    const names = () => [...Deno.readDirSync(place)].map((e) => e.name);
    const tried = inspectPlace(posix, place, { writes: true, probeName: ".probe" });
    assert.deepEqual([tried.exists, tried.isWritable, names()], [true, true, []]);
    const looked = inspectPlace(posix, place, { writes: false, probeName: ".probe" });
    assert.equal(looked.isWritable, undefined);
    // Where nothing is yet, the folder above is what counts.
    const fresh = inspectPlace(posix, join(place, "new"), { writes: true, probeName: ".probe" });
    assert.deepEqual([fresh.exists, fresh.isWritable, names()], [false, true, []]);
    const far = inspectPlace(posix, join(place, "no/such"), { writes: true, probeName: ".p" });
    assert.match(far.problem!, /does not exist/);
  }));

Deno.test("a place that refuses, or gives back other bytes, is said not to be writable", () =>
  inScratch((folder) => {
    const posix = openPosix();
    const refusing: Posix = { ...posix, createFile: () => -30 };
    const refused = inspectPlace(refusing, folder, { writes: true, probeName: ".probe" });
    assert.deepEqual([refused.isWritable, refused.problem !== undefined], [false, true]);
    const lying: Posix = {
      ...posix,
      readAt: (fd, into, offset) => {
        const got = posix.readAt(fd, into, offset);
        if (got > 0) into[0] = 0;
        return got;
      },
    };
    const lied = inspectPlace(lying, folder, { writes: true, probeName: ".probe" });
    assert.equal(lied.isWritable, false);
    assert.match(lied.problem!, /other bytes/);
    chmodSync(folder, 0o700);
  }));
