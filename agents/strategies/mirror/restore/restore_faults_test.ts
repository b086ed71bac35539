import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { canFail, faultyPosix, type PosixCall } from "../../../../tests/support/faulty_posix.ts";
import { backUp } from "../../../../tests/support/mirror_engine.ts";
import { restore } from "../../../../tests/support/restoring.ts";
import { inScratch, writeFirstVersion } from "../../../../tests/support/small_tree.ts";
import { type EntryState, sameCopy, treeState } from "../../../../tests/support/tree_state.ts";
import { asBackupError } from "../../../../protocol/base/errors.ts";
import { EACCES, EIO, ENOSPC } from "../../../platform/errno.ts";
import { openPosix } from "../../../platform/open_posix.ts";

const posix = openPosix();
/** One where a batch is flushed at once, one where each file is. */
const FILE_SYSTEMS = ["ext4", "fuse"];

interface Scene {
  wanted: Map<string, EntryState>;
  one: string;
  target: string;
}

function inScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const [source, one] = [join(folder, "source"), join(folder, "one")];
    fs.mkdirSync(source);
    writeFirstVersion(source);
    await backUp({ runId: "run-1", source, posix, destinations: [{ path: one, posix }] });
    await use({ wanted: treeState(source), one, target: join(folder, "target") });
  });
}

/** Whatever has its name is whole, with its own metadata. */
function assertNothingWrong({ wanted, target }: Scene, point: string): void {
  const copy = join(target, "copy");
  if (!fs.existsSync(copy)) return;
  for (const [path, entry] of treeState(copy)) {
    if (entry.kind === "directory") continue;
    const isWhole = sameCopy(entry, wanted.get(path)!);
    assert.ok(isWhole, `${point}: ${path} is ${entry.text} ${entry.mtimeNs}`);
  }
}

function assertAllThere({ wanted, target }: Scene, point: string): void {
  const found = treeState(join(target, "copy"));
  for (const [path, entry] of wanted) {
    assert.ok(found.has(path) && sameCopy(found.get(path)!, entry), `${point}: ${path}`);
  }
}

/** Every call of a restore that goes well. */
async function callsOf({ one, target }: Scene, fileSystemType: string): Promise<PosixCall[]> {
  const watched = faultyPosix(posix, undefined, { fileSystemType });
  await restore(watched.posix, { sources: [one], target });
  fs.rmSync(target, { recursive: true });
  return watched.calls;
}

for (const fileSystemType of FILE_SYSTEMS) {
  Deno.test(`a power cut at any change leaves whole files only, and the next restore goes on (${fileSystemType})`, () =>
    inScene(async (scene) => {
      const calls = await callsOf(scene, fileSystemType);
      for (const { number, name } of calls.filter((call) => call.changes)) {
        for (const when of ["before", "after"] as const) {
          const point = `${when} ${name} ${number}`;
          const cut = faultyPosix(
            posix,
            (call) => call.number === number ? { kind: "crash", when } : undefined,
            { fileSystemType },
          );
          const options = { sources: [scene.one], target: scene.target };
          await restore(cut.posix, { ...options, id: "cut" }).catch(() => {});
          assert.ok(cut.hasCrashed(), point);
          cut.dispose();
          assertNothingWrong(scene, point);
          const { counts } = await restore(posix, options);
          assert.deepEqual([counts.failed, counts.kept], [0, 0], point);
          assertAllThere(scene, point);
          assert.deepEqual(fs.readdirSync(scene.target), ["copy"], point);
          fs.rmSync(scene.target, { recursive: true });
        }
      }
    }));

  Deno.test(`an error at any step is survived or told, and nothing wrong gets a name (${fileSystemType})`, () =>
    inScene(async (scene) => {
      const calls = await callsOf(scene, fileSystemType);
      for (const { number, name } of calls.filter(canFail)) {
        for (const errno of [EACCES, EIO, ENOSPC]) {
          const point = `${errno} at ${name} ${number}`;
          const faulty = faultyPosix(
            posix,
            (call) => call.number === number ? { kind: "error", errno } : undefined,
            { fileSystemType },
          );
          const options = { sources: [scene.one], target: scene.target };
          let isWhole: boolean;
          try {
            const { counts, failures, notKept } = await restore(faulty.posix, options);
            assert.equal(failures.length, counts.failed, point);
            isWhole = counts.failed + counts.kept + Object.values(notKept).reduce((a, b) =>
                  a + b
                ) ===
              0;
          } catch (thrown) {
            assert.notEqual(asBackupError(thrown).code, "internal", `${point}: ${thrown}`);
            isWhole = false;
          }
          assert.equal(faulty.openCount(), 0, `${point}: everything opened was closed`);
          faulty.dispose();
          assertNothingWrong(scene, point);
          if (isWhole) assertAllThere(scene, point);
          fs.rmSync(scene.target, { recursive: true, force: true });
        }
      }
    }));
}
