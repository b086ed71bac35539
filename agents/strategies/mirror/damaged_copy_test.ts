import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { backUp, type EngineOutcome } from "../../../tests/support/mirror_engine.ts";
import {
  inScratch,
  writeFirstVersion,
  writeSecondVersion,
} from "../../../tests/support/small_tree.ts";
import { assertComplete, assertCopied } from "../../../tests/support/small_tree_checks.ts";
import { needs } from "../../../tests/support/tools.ts";
import { checksumProblems, sameCopy, treeState } from "../../../tests/support/tree_state.ts";
import { openPosix } from "../../platform/open_posix.ts";
import type { Posix } from "../../platform/posix.ts";

const posix = openPosix();

/** A disk that stores another first byte for what begins with `text`, so many times. */
function damaging(text: string, times: number): Posix {
  const wanted = new TextEncoder().encode(text);
  let left = times;
  return {
    ...posix,
    writeAt(fd, bytes, offset) {
      const hit = offset === 0 && wanted.every((byte, k) => bytes[k] === byte) && left-- > 0;
      if (!hit) return posix.writeAt(fd, bytes, offset);
      const bad = Uint8Array.from(bytes);
      bad[0]! ^= 1;
      return posix.writeAt(fd, bad, offset);
    },
  };
}

interface Scene {
  source: string;
  destination: string;
  run: (runId: string, disk?: Posix) => Promise<EngineOutcome>;
}

function inScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const source = join(folder, "source");
    const destination = join(folder, "destination");
    fs.mkdirSync(source);
    writeFirstVersion(source);
    await use({
      source,
      destination,
      run: (runId, disk = posix) =>
        backUp({ runId, source, posix, destinations: [{ path: destination, posix: disk }] }),
    });
  });
}

Deno.test({
  ...needs(
    "a copy that differs when read back is written again, and its other names with it",
    "linux",
  ),
  fn: () =>
    inScene(async ({ source, destination, run }) => {
      const outcome = await run("run-1", damaging("two names", 1));
      const lane = outcome.mirrored!.lanes[0]!;
      assert.equal(lane.state, "verified");
      assert.deepEqual(lane.rewritten, ["copy/link-a"]);
      assertComplete(destination, treeState(source), new Map(), "after one damage");
    }),
});

Deno.test({
  ...needs("a copy that stays damaged is taken away under all its names and named", "linux"),
  fn: () =>
    inScene(async ({ source, destination, run }) => {
      const outcome = await run("run-1", damaging("two names", 99));
      const lane = outcome.mirrored!.lanes[0]!;
      assert.equal(lane.state, "failed");
      assert.deepEqual(lane.failures.map(({ path, code }) => [path, code]), [
        ["copy/link-a", "damaged"],
        ["copy/link-b", "damaged"],
      ]);
      const at = treeState(join(destination, "copy"));
      assert.ok(!at.has("link-a") && !at.has("link-b"));
      assert.deepEqual(checksumProblems(destination, "copy"), []);
      await run("run-2");
      assertComplete(destination, treeState(source), new Map(), "with a sound disk");
    }),
});

Deno.test({
  ...needs("when the new copy stays damaged the earlier one is put back, with its record", "linux"),
  fn: () =>
    inScene(async ({ source, destination, run }) => {
      const first = treeState(source);
      await run("run-1");
      writeSecondVersion(source);
      const outcome = await run("run-2", damaging("second version", 99));
      const lane = outcome.mirrored!.lanes[0]!;
      assert.deepEqual(lane.failures.map(({ path }) => path), ["copy/replaced.txt"]);
      const at = treeState(join(destination, "copy"));
      assert.ok(sameCopy(at.get("replaced.txt")!, first.get("replaced.txt")!));
      assert.deepEqual(checksumProblems(destination, "copy"), []);
      await run("run-3");
      assertCopied(destination, treeState(source), first, "with a sound disk");
    }),
});

Deno.test({
  ...needs("a damaged copy whose source is gone meanwhile does not stay", "linux"),
  fn: () =>
    inScene(async ({ source, destination, run }) => {
      const disk = damaging("never changes", 99);
      const outcome = await run("run-1", {
        ...disk,
        flushFileSystem(handle) {
          fs.rmSync(join(source, "same.txt"), { force: true });
          return disk.flushFileSystem(handle);
        },
      });
      assert.ok(!treeState(join(destination, "copy")).has("same.txt"));
      const named = [...outcome.mirrored!.lanes[0]!.failures, ...outcome.mirrored!.unreadable];
      assert.deepEqual(named.map(({ path }) => path), ["copy/same.txt"]);
      assert.deepEqual(checksumProblems(destination, "copy"), []);
    }),
});
