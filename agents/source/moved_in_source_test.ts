import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { EIO } from "../platform/errno.ts";
import { openPosix } from "../platform/open_posix.ts";
import type { Posix, Stat } from "../platform/posix.ts";
import { threadCells } from "../threads/thread_rpc.ts";
import { type EntryMarks, movedInSource } from "./moved_in_source.ts";
import { walk } from "./walk.ts";

const posix = openPosix();
const OPTIONS = { excludes: [], ignoreFiles: true, excludeCaches: true, oneFileSystem: false };
/** Long after every time in the tree: no folder is young. */
const LATER_MS = 1e14;

/** Walks a small source, lets `change` happen, and looks again. */
function moved(
  change: (root: string) => void,
  { disk = posix, listedAtMs = LATER_MS }: { disk?: Posix; listedAtMs?: number } = {},
): EntryMarks[] {
  let found: EntryMarks[] = [];
  inScratchSync((root) => {
    for (const path of ["a/one", "a/b/two", "c/three", "c/.backupignore", "c/left/out"]) {
      fs.mkdirSync(join(root, path, ".."), { recursive: true });
      fs.writeFileSync(join(root, path), path === "c/.backupignore" ? "left/\n*.tmp\n" : path);
    }
    const { table } = walk(disk, root, "source", OPTIONS, () => {});
    change(root);
    found = movedInSource(disk, {
      path: root,
      options: OPTIONS,
      table: table.freeze(),
      listedAtMs,
    }, threadCells(new SharedArrayBuffer(24)));
  });
  return found;
}

function inScratchSync(use: (root: string) => void): void {
  const root = Deno.makeTempDirSync({ prefix: "backup-test-" });
  try {
    use(root);
  } finally {
    fs.rmSync(root, { recursive: true });
  }
}

const sizes = (marks: EntryMarks[]) =>
  marks.map(({ sizeBytes }) => sizeBytes).sort((a, b) => a - b);

Deno.test("a source that did not change has nothing that moved, however young it is", () => {
  assert.deepEqual(moved(() => {}), []);
  assert.deepEqual(moved(() => {}, { listedAtMs: 0 }), []);
});

Deno.test("what appeared, in known and new folders, is found, and what was listed is not", () => {
  const marks = moved((root) => {
    fs.writeFileSync(join(root, "top"), "1");
    fs.mkdirSync(join(root, "a/new/deep"), { recursive: true });
    fs.writeFileSync(join(root, "a/new/deep/file"), "22");
    fs.symlinkSync("x", join(root, "c/link"));
    fs.renameSync(join(root, "a/one"), join(root, "a/b/one"));
  });
  assert.deepEqual(sizes(marks), [1, 1, 2, 5]);
});

Deno.test("a folder that moved is looked through, and so is one that took the place of another", () => {
  const both = moved((root) => {
    fs.renameSync(join(root, "c"), join(root, "a/c"));
    fs.mkdirSync(join(root, "c"));
    fs.writeFileSync(join(root, "c/other"), "1234567");
  });
  // The ignore file moved along, and leaves out where it is now what it left out before.
  assert.deepEqual(sizes(both), [7, 7, 12]);
});

Deno.test("what rules leave out is not looked at", () => {
  const marks = moved((root) => {
    fs.writeFileSync(join(root, "c/left/new"), "new");
    fs.writeFileSync(join(root, "c/new.tmp"), "new");
  });
  assert.deepEqual(marks, []);
});

Deno.test("a change that left a coarse time as it was is found in a folder that was young, and only there", () => {
  const at1000 = (out: Stat) => {
    out.mtimeSec = out.ctimeSec = 1000;
    out.mtimeNsec = out.ctimeNsec = 0;
  };
  /** Whatever changes, it was in the same second. */
  const coarse: Posix = {
    ...posix,
    statDirectory(handle, out) {
      const result = posix.statDirectory(handle, out);
      at1000(out);
      return result;
    },
    statAt(at, name, out) {
      const result = posix.statAt(at, name, out);
      at1000(out);
      return result;
    },
  };
  const change = (root: string) => fs.renameSync(join(root, "c/three"), join(root, "a/three"));
  assert.equal(moved(change, { disk: coarse, listedAtMs: 1_060_000 }).length, 1);
  assert.equal(moved(change, { disk: coarse }).length, 0);
});

Deno.test("what cannot be looked at again is an error", () => {
  const change = (root: string) => fs.writeFileSync(join(root, "c/new"), "new");
  let calls = 0;
  const disks: Partial<Posix>[] = [
    { list: (handle) => ++calls > 6 ? -EIO : posix.list(handle) },
    { statDirectory: (handle, out) => ++calls > 8 ? -EIO : posix.statDirectory(handle, out) },
  ];
  for (const disk of disks) {
    calls = 0;
    const failing = { ...posix, ...disk };
    assert.throws(() => moved(change, { disk: failing, listedAtMs: 0 }), { code: "io" });
  }
});
