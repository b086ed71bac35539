import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import type { MirrorOptions } from "../../../protocol/mesh/job.ts";
import type { LaneReport } from "../../../protocol/mesh/task.ts";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import { inScratch } from "../../../tests/support/small_tree.ts";
import { needs } from "../../../tests/support/tools.ts";
import { treeState } from "../../../tests/support/tree_state.ts";
import { EACCES } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";
import type { Posix } from "../../platform/posix.ts";
import { encodingOf } from "./encoded_copy_suite.ts";

const posix = openPosix();
const textOf = (name: Uint8Array) => new TextDecoder().decode(name.subarray(0, name.indexOf(0)));

/** Of files by number: even ones in `a`, 3, 7 … in `z/deep`. */
const FOLDERS = ["a/deep", "z/more", "a/deep", "z/deep"];

interface Scene {
  source: string;
  copy: string;
  /** `meanwhile` runs once, when the walk has listed all but the folder `z`. */
  run(meanwhile?: () => void, disk?: Partial<Posix>): Promise<LaneReport>;
}

function test(
  name: string,
  use: (scene: Scene) => Promise<void>,
  options: Partial<MirrorOptions> = {},
): void {
  Deno.test({
    ...needs(name, "linux"),
    fn: () =>
      inScratch(async (folder) => {
        const source = join(folder, "source");
        const destination = join(folder, "destination");
        for (let k = 0; k < 24; k++) {
          const path = join(source, FOLDERS[k % FOLDERS.length]!, `file ${k}`);
          fs.mkdirSync(join(path, ".."), { recursive: true });
          fs.writeFileSync(path, `content ${k}`);
          fs.utimesSync(path, 1e9 + k, 1e9 + k);
        }
        let runs = 0;
        const run: Scene["run"] = async (meanwhile, disk = {}) => {
          let isDue = meanwhile !== undefined;
          const moving: Posix = {
            ...posix,
            openDirectory(at, name) {
              if (isDue && textOf(name) === "z") {
                isDue = false;
                meanwhile!();
              }
              return posix.openDirectory(at, name);
            },
            ...disk,
          };
          const outcome = await backUp({
            runId: `run-${++runs}`,
            source,
            posix: moving,
            destinations: [{ path: destination, posix }],
            options: { deleteGone: true, ...options },
          });
          assert.ok(!isDue, "it was moved");
          return outcome.mirrored!.lanes[0]!;
        };
        assert.equal((await run()).state, "verified");
        await use({ source, copy: join(destination, "copy"), run });
      }),
  });
}

/** Every content of the source is in the copy, under whatever name. */
function assertAllIsKept({ source, copy }: Scene): void {
  const texts = (root: string) =>
    new Set([...treeState(root).values()].filter((e) => e.kind === "file").map((e) => e.text));
  const kept = texts(copy);
  for (const text of texts(source)) assert.ok(kept.has(text), `${text} is in the source, not here`);
}

const MOVES: Record<string, (at: (path: string) => string) => void> = {
  "a file, into a folder that was listed": (at) =>
    fs.renameSync(at("z/deep/file 3"), at("a/deep/moved")),
  "a file, into the source's own folder": (at) => fs.renameSync(at("z/deep/file 3"), at("moved")),
  "a file, into a folder that is new": (at) => {
    fs.mkdirSync(at("a/new/folder"), { recursive: true });
    fs.renameSync(at("z/deep/file 3"), at("a/new/folder/moved"));
  },
  "a file, over one that was listed": (at) =>
    fs.renameSync(at("z/deep/file 3"), at("a/deep/file 4")),
  "a folder with all that is in it": (at) => fs.renameSync(at("z/deep"), at("a/moved")),
  "a file, by copying and removing it as between file systems": (at) => {
    fs.copyFileSync(at("z/deep/file 3"), at("a/deep/moved"));
    const { atime, mtime } = fs.statSync(at("z/deep/file 3"));
    fs.utimesSync(at("a/deep/moved"), atime, mtime);
    fs.rmSync(at("z/deep/file 3"));
  },
  "a file, which is then changed": (at) => {
    fs.renameSync(at("z/deep/file 3"), at("a/deep/moved"));
    fs.utimesSync(at("a/deep/moved"), 2e9, 2e9);
  },
};

for (const [what, move] of Object.entries(MOVES)) {
  test(`what moves while the source is listed is not deleted: ${what}`, async (scene) => {
    const lane = await scene.run(() => move((path) => join(scene.source, path)));
    assert.equal(lane.history!.entriesDeleted, 0);
    assert.ok(lane.warnings.some((text) => text.includes("moved while")), lane.warnings.join());
    assertAllIsKept(scene);
    const next = await scene.run();
    assert.deepEqual([next.state, next.warnings], ["verified", []]);
    assert.deepEqual([...treeState(scene.copy).keys()], [...treeState(scene.source).keys()]);
    assertAllIsKept(scene);
  });
}

test("what moves meanwhile is spared, and what is gone goes in the same run", async (scene) => {
  const { source, copy, run } = scene;
  const lane = await run(() => {
    fs.renameSync(join(source, "z/deep/file 3"), join(source, "a/deep/moved"));
    fs.rmSync(join(source, "z/more/file 5"));
  });
  assert.equal(lane.history!.entriesDeleted, 1);
  assert.ok(!fs.existsSync(join(copy, "z/more/file 5")));
  assertAllIsKept(scene);
});

test("what moves meanwhile to where a rule leaves it out goes", async (scene) => {
  const { source, copy, run } = scene;
  fs.mkdirSync(join(source, "a/cache"));
  await run(() => fs.renameSync(join(source, "z/deep/file 3"), join(source, "a/cache/moved")));
  assert.ok(!fs.existsSync(join(copy, "z/deep/file 3")));
}, { excludes: [{ pattern: "cache/", origin: "--exclude" }] });

test("an encoded copy of what moves meanwhile is not deleted", async ({ source, copy, run }) => {
  const lane = await run(() =>
    fs.renameSync(join(source, "z/deep/file 3"), join(source, "a/deep/moved"))
  );
  assert.equal(lane.history!.entriesDeleted, 0);
  assert.ok(fs.existsSync(join(copy, "z/deep/file 3.zst")));
}, { encoding: encodingOf("zst") });

test("a folder that cannot be looked at again: nothing is deleted, and that is said", async (scene) => {
  const { source, copy, run } = scene;
  let isListed = false;
  let isLocked = false;
  const lane = await run(() => fs.rmSync(join(source, "z/deep/file 3")), {
    // After the walk, when the copy is verified and the source is asked once more.
    openRoot(path) {
      isLocked ||= isListed;
      return posix.openRoot(path);
    },
    list(handle) {
      const names = posix.list(handle);
      if (typeof names !== "number" && names.includes("file 5")) isListed = true;
      return isLocked ? -EACCES : names;
    },
  });
  assert.equal(lane.state, "verified");
  assert.equal(lane.history!.entriesDeleted, 0);
  assert.ok(lane.warnings.some((text) => text.startsWith("Nothing was deleted from copy")));
  assert.ok(fs.existsSync(join(copy, "z/deep/file 3")));
});
