import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { noise } from "../../../../tests/support/fill_tree.ts";
import { assertLists, readHistory, stockHashes } from "../../../../tests/support/mhl_history.ts";
import { backUp } from "../../../../tests/support/mirror_engine.ts";
import { inScratch } from "../../../../tests/support/small_tree.ts";
import { needs } from "../../../../tests/support/tools.ts";
import { openPosix } from "../../../platform/open_posix.ts";
import type { Posix } from "../../../platform/posix.ts";

const posix = openPosix();
const MIB = 1 << 20;

/** Writes `data` at each offset; all else up to `sizeBytes` is a hole. */
function writeSparse(path: string, sizeBytes: number, data: [number, Uint8Array][]): void {
  const fd = fs.openSync(path, "w");
  for (const [offset, bytes] of data) fs.writeSync(fd, bytes, 0, bytes.length, offset);
  fs.ftruncateSync(fd, sizeBytes);
  fs.closeSync(fd);
  const stat = fs.statSync(path);
  assert.ok(stat.blocks * 512 < stat.size, `${path} has holes`);
}

/** A port that counts what is read of files. */
function countingReads(): { posix: Posix; bytes(): number } {
  let bytes = 0;
  const counting: Posix = Object.create(posix);
  counting.readAt = (fd, into, offset) => {
    const got = posix.readAt(fd, into, offset);
    if (got > 0) bytes += got;
    return got;
  };
  return { posix: counting, bytes: () => bytes };
}

Deno.test({
  ...needs("a file with holes is listed with the XXH64 of all its bytes", "linux", "xxh64sum"),
  fn: () =>
    inScratch(async (folder) => {
      const source = join(folder, "source");
      const path = join(folder, "one");
      fs.mkdirSync(source);
      // Holes at either end and in between, with ends that are no multiples of a piece, and nothing but a hole.
      writeSparse(join(source, "between"), 5 * MIB + 12_345, [
        [0, noise(40_000, 1)],
        [3 * MIB + 4096, noise(50_001, 2)],
      ]);
      writeSparse(join(source, "front"), 4 * MIB + 777, [[4 * MIB, noise(777, 3)]]);
      writeSparse(join(source, "only"), 3 * MIB + 1, []);
      fs.writeFileSync(join(source, "dense"), noise(300_000, 4));
      const sizeBytes = fs.readdirSync(source)
        .reduce((sum, name) => sum + fs.statSync(join(source, name)).size, 0);
      const wanted = await stockHashes(source);
      const run = async (runId: string, mhl: boolean) => {
        const counting = countingReads();
        const { mirrored } = await backUp({
          posix,
          runId,
          source,
          destinations: [{ path, posix: counting.posix }],
          options: { mhl, verify: "all" },
        });
        assert.equal(mirrored!.lanes[0]!.state, "verified", JSON.stringify(mirrored));
        return counting.bytes();
      };
      const readBytes = await run("run-1", true);
      assert.ok(readBytes < sizeBytes / 4, `${readBytes} of ${sizeBytes}: holes are not read`);
      await run("run-2", false);
      // What was recorded and what is read again must be one and the same.
      await run("run-3", true);
      const { chained, unchained } = readHistory(join(path, "copy"), "in the end");
      assert.deepEqual([chained.length, unchained.length], [2, 0]);
      for (const generation of chained) assertLists(generation, wanted, "sparse");
      const actions = chained.map(({ files }) => [...files.values()].map(({ action }) => action));
      assert.deepEqual(actions.map((each) => [...new Set(each)]), [["original"], ["verified"]]);
    }),
});
