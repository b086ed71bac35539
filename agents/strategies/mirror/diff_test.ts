import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { byteName } from "../../../tests/support/arbitrary_entries.ts";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import { inScratch, writeFirstVersion } from "../../../tests/support/small_tree.ts";
import { needs } from "../../../tests/support/tools.ts";
import { treeState } from "../../../tests/support/tree_state.ts";
import { EIO, EOPNOTSUPP } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";
import type { Posix } from "../../platform/posix.ts";
import { compareWalkOrder } from "../../source/walk_order.ts";
import { OldEntries } from "./diff.ts";
import { ManifestLine } from "./manifest_file.ts";
import { entryPathLatin1, lineStart } from "./manifest_line.ts";

const posix = openPosix();
/** Regular files of the first version, with both names of the one that has two. */
const FILES = 10;

interface Case {
  /** What somebody did between two backups. */
  why: string;
  change: (source: string, copy: string) => void;
  copied: number;
  gone?: number;
}

function sameTimeAs(path: string, use: () => void): void {
  const { atimeMs, mtimeMs } = fs.statSync(path);
  use();
  fs.utimesSync(path, atimeMs / 1000, mtimeMs / 1000);
}

const CASES: Case[] = [
  { why: "nothing", change: () => {}, copied: 0 },
  {
    why: "another size",
    change: (source) =>
      sameTimeAs(join(source, "same.txt"), () => fs.appendFileSync(join(source, "same.txt"), "!")),
    copied: 1,
  },
  {
    why: "another time by a nanosecond's fraction of a second",
    change: (source) => Deno.utimeSync(join(source, "same.txt"), 0, 1_000_000_000.5),
    copied: 1,
  },
  {
    why: "a change that put the old time back",
    change: (source) =>
      sameTimeAs(
        join(source, "same.txt"),
        () => fs.writeFileSync(join(source, "same.txt"), "NEVER CHANGES"),
      ),
    copied: 1,
  },
  {
    why: "another file moved over it",
    change: (source) => {
      fs.copyFileSync(join(source, "same.txt"), join(source, "tmp"));
      fs.renameSync(join(source, "tmp"), join(source, "same.txt"));
    },
    copied: 1,
  },
  {
    why: "another mode",
    change: (source) => fs.chmodSync(join(source, "same.txt"), 0o600),
    copied: 1,
  },
  { why: "a new file", change: (source) => fs.writeFileSync(join(source, "more"), ""), copied: 1 },
  {
    why: "a file less",
    change: (source) => fs.rmSync(join(source, "gone.txt")),
    copied: 0,
    gone: 1,
  },
  {
    why: "a folder less",
    change: (source) => fs.rmSync(join(source, "dir"), { recursive: true }),
    copied: 0,
    gone: 2,
  },
  { why: "a copy was removed", change: (_, copy) => fs.rmSync(join(copy, "same.txt")), copied: 1 },
  {
    why: "a copy has another size",
    change: (_, copy) => fs.appendFileSync(join(copy, "same.txt"), "!"),
    copied: 1,
  },
  {
    why: "a copy has another time",
    change: (_, copy) => fs.utimesSync(join(copy, "same.txt"), 1, 1),
    copied: 1,
  },
  {
    why: "a copy became a folder",
    change: (_, copy) => {
      fs.rmSync(join(copy, "same.txt"));
      fs.mkdirSync(join(copy, "same.txt"));
    },
    copied: 1,
  },
  {
    why: "a further name became a file of its own at the destination",
    change: (_, copy) => {
      fs.copyFileSync(join(copy, "link-b"), join(copy, "tmp"));
      fs.renameSync(join(copy, "tmp"), join(copy, "link-b"));
    },
    copied: 1,
  },
  {
    why: "a folder of the copy was removed",
    change: (_, copy) => fs.rmSync(join(copy, "dir"), { recursive: true }),
    copied: 2,
  },
  {
    why: "the whole copy was removed",
    change: (_, copy) => fs.rmSync(copy, { recursive: true }),
    copied: FILES,
  },
  {
    why: "the manifest was removed",
    change: (_, copy) => fs.rmSync(join(copy, "../.backup-agent/manifests/s1.jsonl")),
    copied: FILES,
  },
];

for (const { why, change, copied, gone = 0 } of CASES) {
  Deno.test({
    ...needs(`what is copied again after this: ${why}`, "linux"),
    fn: () =>
      inScratch(async (folder) => {
        const source = join(folder, "source");
        const destination = join(folder, "destination");
        fs.mkdirSync(source);
        writeFirstVersion(source);
        const run = async (runId: string, dryRun: boolean) => {
          const outcome = await backUp({
            runId,
            source,
            posix,
            destinations: [{ path: destination, posix }],
            options: { dryRun },
          });
          return outcome.mirrored!.lanes[0]!;
        };
        assert.equal((await run("run-1", false)).filesCopied, FILES);
        change(source, join(destination, "copy"));
        const before = treeState(destination);
        const { plan } = await run("run-2", true);
        assert.deepEqual(treeState(destination), before, "a dry run changes nothing");
        assert.equal(plan!.filesToCopy, copied, "planned");
        assert.equal(plan!.filesGone, gone, "gone");
        const lane = await run("run-3", false);
        assert.equal(lane.state, "verified");
        assert.equal(lane.filesCopied, copied, "copied");
        assert.equal(lane.filesCopied + lane.filesUnchanged, lane.filesTotal);
        assert.equal((await run("run-4", false)).filesCopied, 0, "then nothing is left to copy");
      }),
  });
}

Deno.test("a dry run of a source that was never copied creates nothing", () =>
  inScratch(async (folder) => {
    const [first, second] = ["first", "second"].map((name) => join(folder, name));
    const destination = join(folder, "destination");
    for (const source of [first!, second!]) fs.mkdirSync(source);
    writeFirstVersion(first!);
    const run = (source: string, name: string, dryRun: boolean) =>
      backUp({
        runId: "run-1",
        name,
        source,
        posix,
        destinations: [{ path: destination, posix }],
        options: { dryRun },
      });
    const planned = await run(first!, "first", true);
    assert.equal(planned.mirrored!.lanes[0]!.plan!.filesToCopy, FILES);
    assert.equal(fs.existsSync(destination), false);
    await run(first!, "first", false);
    const before = treeState(destination);
    await run(second!, "second", true);
    assert.deepEqual(treeState(destination), before);
  }));

const paths = fc.uniqueArray(
  fc.array(byteName, { minLength: 1, maxLength: 3 }).map((names) => names.join("/")),
  { maxLength: 20 },
);

Deno.test("the old manifest read alongside a list finds what a map would find and names all that is gone", () => {
  fc.assert(fc.property(paths, paths, (inManifest, inSource) => {
    // Every other line is written as nobody of us would: it is found by what it says.
    const textOf = (path: string, k: number): string =>
      k % 2 === 0
        ? JSON.stringify({ type: "file", pathBase64: btoa(path), path: "" })
        : `${lineStart(path)}file"}`;
    const lines = inManifest.toSorted(compareWalkOrder)
      .map((path, k) => new ManifestLine(textOf(path, k), "manifest"));
    const old = new OldEntries(lines.values());
    const gone: string[] = [];
    const onGone = (line: ManifestLine, path: string) => {
      assert.ok(lines.includes(line));
      gone.push(path);
    };
    for (const path of inSource.toSorted(compareWalkOrder)) {
      const found = old.find(path, onGone);
      assert.equal(
        found && entryPathLatin1(found.entry),
        inManifest.includes(path) ? path : undefined,
      );
    }
    old.finish(onGone);
    const expected = inManifest.filter((path) => !inSource.includes(path));
    assert.deepEqual(gone, expected.toSorted(compareWalkOrder));
  }));
});

Deno.test({
  ...needs(
    "attributes that the manifest lacks are copied though no time changed; unreadable ones are no change",
    "linux",
  ),
  fn: () =>
    inScratch(async (folder) => {
      const [source, destination] = [join(folder, "source"), join(folder, "destination")];
      fs.mkdirSync(join(source, "folder"), { recursive: true });
      fs.writeFileSync(join(source, "file"), "content");
      fs.symlinkSync("file", join(source, "link"));
      const kept: string[] = [];
      const disk: Posix = {
        ...posix,
        setFileXattr: (_fd, attribute) => (kept.push(attribute), 0),
        setXattr: (_at, _name, attribute) => (kept.push(attribute), 0),
      };
      const run = async (runId: string, listXattrs: Posix["listXattrs"]) => {
        const { mirrored } = await backUp({
          runId,
          source,
          posix: { ...posix, listXattrs, getXattr: () => Uint8Array.of(1) },
          destinations: [{ path: destination, posix: disk }],
        });
        const lane = mirrored!.lanes[0]!;
        assert.deepEqual([lane.state, lane.warnings], ["verified", []]);
        return [lane.filesCopied, ...kept.splice(0)];
      };
      assert.deepEqual(await run("run-1", () => -EOPNOTSUPP), [1]);
      // The file, then the link, then both folders.
      assert.deepEqual(await run("run-2", () => ["user.a"]), [1, ...Array(4).fill("user.a")]);
      assert.deepEqual(await run("run-3", () => ["user.a"]), [0]);
      assert.deepEqual(await run("run-4", () => -EIO), [0]);
      assert.deepEqual(await run("run-5", () => ["user.a"]), [0]);
    }),
});
