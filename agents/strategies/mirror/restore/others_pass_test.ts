import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { backUp } from "../../../../tests/support/mirror_engine.ts";
import { restore } from "../../../../tests/support/restoring.ts";
import { inScratch } from "../../../../tests/support/small_tree.ts";
import { needs } from "../../../../tests/support/tools.ts";
import { EPERM } from "../../../platform/errno.ts";
import { openPosix } from "../../../platform/open_posix.ts";
import { KIND_SYMLINK, newStat, type Posix } from "../../../platform/posix.ts";

const posix = openPosix();
/** Names of one symbolic link, and of one FIFO. */
const LINK = ["a/link", "b/link", "link"];
const PIPE = ["a/pipe", "pipe"];

interface Scene {
  destination: string;
  target: string;
}

function test(name: string, use: (scene: Scene) => Promise<void>): void {
  Deno.test({
    ...needs(name, "linux", "ln"),
    fn: () =>
      inScratch(async (folder) => {
        const source = join(folder, "source");
        const destination = join(folder, "destination");
        for (const dir of ["a", "b"]) fs.mkdirSync(join(source, dir), { recursive: true });
        fs.symlinkSync("nowhere", join(source, LINK[0]!));
        new Deno.Command("mkfifo", { args: [join(source, PIPE[0]!)] }).outputSync();
        for (const [first, ...others] of [LINK, PIPE]) {
          const args = (to: string) => ["-P", join(source, first!), join(source, to)];
          for (const to of others) {
            assert.ok(new Deno.Command("ln", { args: args(to) }).outputSync().success);
          }
        }
        await backUp({
          runId: "run-1",
          source,
          posix,
          destinations: [{ path: destination, posix }],
        });
        await use({ destination, target: join(folder, "target") });
      }),
  });
}

function inodes(target: string, paths: readonly string[]): Set<number> {
  return new Set(paths.map((path) => fs.lstatSync(join(target, "copy", path)).ino));
}

test("links and nodes with several names are one thing again, and a second restore finds them", async ({ destination, target }) => {
  const outcome = await restore(posix, { sources: [destination], target });
  assert.deepEqual([outcome.failures, outcome.kept], [[], []]);
  assert.equal(outcome.counts.others, LINK.length + PIPE.length);
  for (const names of [LINK, PIPE]) assert.equal(inodes(target, names).size, 1);
  assert.equal(fs.readlinkSync(join(target, "copy/link")), "nowhere");
  const again = await restore(posix, { sources: [destination], target });
  assert.equal(again.counts.alreadyThere, LINK.length + PIPE.length);
});

test("names whose first was not asked for are one thing among themselves", async ({ destination, target }) => {
  await restore(posix, { sources: [destination], target, paths: ["copy/b", "copy/link"] });
  assert.equal(inodes(target, ["b/link", "link"]).size, 1);
  assert.ok(!fs.existsSync(join(target, "copy/a")));
});

test("where links and nodes cannot have several names each is one of its own", async ({ destination, target }) => {
  const without: Posix = {
    ...posix,
    link(fromAt, from, toAt, to) {
      const stat = newStat();
      const isLink = posix.statAt(fromAt, from, stat) >= 0 && stat.kind === KIND_SYMLINK;
      return isLink ? -EPERM : posix.link(fromAt, from, toAt, to);
    },
  };
  const outcome = await restore(without, { sources: [destination], target });
  assert.deepEqual([outcome.failures, outcome.kept], [[], []]);
  assert.equal(inodes(target, LINK).size, LINK.length);
  assert.equal(inodes(target, PIPE).size, 1);
});

test("a name that is taken by something else is kept, and the others are one thing", async ({ destination, target }) => {
  fs.mkdirSync(join(target, "copy/a"), { recursive: true });
  fs.writeFileSync(join(target, "copy", LINK[0]!), "mine");
  const outcome = await restore(posix, { sources: [destination], target });
  assert.deepEqual(outcome.kept, ["copy/a/link"]);
  assert.equal(inodes(target, LINK.slice(1)).size, 1);
  assert.equal(fs.readFileSync(join(target, "copy/a/link"), "utf8"), "mine");
});
