import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import { inScratch, writeFirstVersion } from "../../../tests/support/small_tree.ts";
import { EACCES } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";
import type { MirrorOptions } from "../../../protocol/mesh/job.ts";
import type { Posix } from "../../platform/posix.ts";
import type { ManifestEntry } from "./manifest_line.ts";

const posix = openPosix();

/** The paths of the manifest's lines with a date, after a second backup of a source that was changed meanwhile. */
async function goneAfter(
  change: (source: string) => void,
  sourcePort: Posix = posix,
  options: Partial<MirrorOptions> = {},
): Promise<string[]> {
  return await inScratch(async (folder) => {
    const source = join(folder, "source");
    const destinations = [{ path: join(folder, "destination"), posix }];
    fs.mkdirSync(source);
    writeFirstVersion(source);
    await backUp({ runId: "run-1", source, posix, destinations });
    change(source);
    const second = { runId: "run-2", source, posix: sourcePort, destinations, options };
    const { mirrored } = await backUp(second);
    assert.equal(mirrored!.lanes[0]!.state, "verified");
    const manifest = join(folder, "destination/.backup-agent/manifests/s1.jsonl");
    const lines = fs.readFileSync(manifest, "utf8").trimEnd().split("\n").slice(1, -1);
    return lines.map((line) => JSON.parse(line) as ManifestEntry)
      .filter((entry) => entry.goneAtMs !== undefined).map((entry) => entry.path);
  });
}

/** A source where one name of a folder cannot be looked at. */
function withoutStat(name: string): Posix {
  const hidden = new TextEncoder().encode(`${name}\0`).toString();
  return {
    ...posix,
    statAt: (at, bytes, out) =>
      bytes.toString() === hidden ? -EACCES : posix.statAt(at, bytes, out),
  };
}

Deno.test("what the source does not list any more gets the date: deleted or left out by a rule", async () => {
  const remove = (source: string) => fs.rmSync(join(source, "gone.txt"));
  assert.deepEqual(await goneAfter(() => {}), []);
  assert.deepEqual(await goneAfter(remove), ["gone.txt"]);
  const excludes = [{ pattern: "/dir/", origin: "here" }];
  assert.deepEqual(await goneAfter(() => {}, posix, { excludes }), [
    "dir",
    "dir/deep",
    "dir/deep/empty",
    "dir/inner.txt",
  ]);
});

Deno.test("what cannot be looked at is not called gone, nor anything that is missing beside it", async () => {
  const remove = (source: string) => {
    fs.rmSync(join(source, "gone.txt"));
    fs.rmSync(join(source, "dir/deep"), { recursive: true });
  };
  assert.deepEqual(await goneAfter(remove, withoutStat("same.txt")), []);
  assert.deepEqual(await goneAfter(remove, withoutStat("inner.txt")), ["gone.txt"]);
});
