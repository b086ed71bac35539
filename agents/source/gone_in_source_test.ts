import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { inScratch } from "../../tests/support/small_tree.ts";
import { EACCES, EIO } from "../platform/errno.ts";
import { openPosix } from "../platform/open_posix.ts";
import { cName, newStat, type Posix } from "../platform/posix.ts";
import { type ThreadCells, threadCells } from "../threads/thread_rpc.ts";
import { goneInSource } from "./gone_in_source.ts";
import type { WalkOptions } from "./walk.ts";

const posix = openPosix();
const textOf = (name: Uint8Array) => new TextDecoder().decode(name.subarray(0, name.indexOf(0)));

/** What is judged to be gone of `paths`; a path that ends in a slash is a folder in the copy. */
function gone(
  root: string,
  paths: string[],
  options: Partial<WalkOptions> = {},
  disk: Posix = posix,
  cells: ThreadCells = threadCells(new SharedArrayBuffer(24)),
): string[] {
  const verdicts = goneInSource(disk, {
    path: root,
    options: {
      excludes: [],
      ignoreFiles: true,
      excludeCaches: false,
      oneFileSystem: false,
      ...options,
    },
    paths: paths.map((path) => path.replace(/\/$/, "")),
    folders: Uint8Array.from(paths, (path) => path.endsWith("/") ? 1 : 0),
  }, cells);
  return paths.filter((_, k) => verdicts[k] === 1);
}

const excludes = (...patterns: string[]) => ({
  excludes: patterns.map((pattern) => ({ pattern, origin: "--exclude" })),
});

Deno.test("only what is looked for and not found is gone", () =>
  inScratch((root) => {
    fs.mkdirSync(join(root, "a/b"), { recursive: true });
    fs.writeFileSync(join(root, "a/here"), "");
    fs.writeFileSync(join(root, "was-folder"), "");
    fs.symlinkSync("a", join(root, "linked"));
    assert.deepEqual(
      gone(root, [
        "a/b/",
        "a/b/gone",
        "a/here",
        "a/never",
        "linked/here",
        "no/",
        "no/deep/",
        "no/deep/file",
        "was-folder/",
        "was-folder/inside",
        "z",
      ]),
      [
        "a/b/gone",
        "a/never",
        "linked/here",
        "no/",
        "no/deep/",
        "no/deep/file",
        "was-folder/inside",
        "z",
      ],
    );
  }));

Deno.test("a source that is another folder than the one listed, such as an empty mount point, is not judged", () =>
  inScratch((root) => {
    const source = join(root, "source");
    fs.mkdirSync(source);
    fs.writeFileSync(join(source, ".backupignore"), "kept\n");
    const stat = newStat();
    const handle = posix.openRoot(cName(source));
    posix.statDirectory(handle, stat);
    posix.closeDirectory(handle);
    const judge = () =>
      goneInSource(posix, {
        path: source,
        options: { excludes: [], ignoreFiles: true, excludeCaches: false, oneFileSystem: false },
        paths: ["gone", "kept"],
        folders: new Uint8Array(2),
        listed: { inodeLow: stat.inodeLow, inodeHigh: stat.inodeHigh },
      }, threadCells(new SharedArrayBuffer(24)));
    assert.deepEqual([...judge()], [1, 0]);

    fs.renameSync(source, join(root, "unmounted"));
    fs.mkdirSync(source);
    assert.throws(judge, { code: "rejected", message: /is another folder than the one/ });
  }));

Deno.test("what a rule leaves out is not gone, whether the source has it or not", () =>
  inScratch((root) => {
    fs.mkdirSync(join(root, "sub/cache"), { recursive: true });
    fs.writeFileSync(join(root, "sub/.backupignore"), "*.o\n!keep.o\n");
    fs.writeFileSync(
      join(root, "sub/cache/CACHEDIR.TAG"),
      "Signature: 8a477f597d28d172789f06886806bc55",
    );
    const paths = [
      "build/",
      "build/deep/",
      "build/deep/out",
      "sub/a.o",
      "sub/cache/CACHEDIR.TAG",
      "sub/cache/old",
      "sub/keep.o",
      "x.log",
    ];
    assert.deepEqual(
      gone(root, paths, { ...excludes("build/", "*.log"), excludeCaches: true }),
      ["sub/keep.o"],
    );
    assert.deepEqual(gone(root, paths, { ignoreFiles: false }), [
      "build/",
      "build/deep/",
      "build/deep/out",
      "sub/a.o",
      "sub/cache/old",
      "sub/keep.o",
      "x.log",
    ]);
  }));

Deno.test("what cannot be looked at is not gone, and nothing below it", () =>
  inScratch((root) => {
    fs.mkdirSync(join(root, "closed"));
    fs.mkdirSync(join(root, "odd"));
    fs.writeFileSync(join(root, "odd/.backupignore"), "x");
    const disk: Posix = {
      ...posix,
      openDirectory: (at, name) =>
        textOf(name) === "closed" ? -EACCES : posix.openDirectory(at, name),
      statAt: (at, name, out) => textOf(name) === "bad" ? -EIO : posix.statAt(at, name, out),
      openRead: (at, name) => textOf(name) === ".backupignore" ? -EIO : posix.openRead(at, name),
    };
    assert.deepEqual(
      gone(root, ["bad", "closed/a", "closed/sub/", "closed/sub/b", "odd/a", "ok"], {}, disk),
      ["ok"],
    );
  }));

Deno.test("a source that is not there, and a cancel, are errors and no verdict", () =>
  inScratch((root) => {
    assert.throws(() => gone(join(root, "no"), ["a"]), { code: "not_found" });
    const cells = threadCells(new SharedArrayBuffer(24));
    Atomics.store(cells.cancelled, 0, 1);
    assert.throws(() => gone(root, ["a"], {}, posix, cells), { code: "cancelled" });
  }));
