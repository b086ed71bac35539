import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { backUp } from "../../../../tests/support/mirror_engine.ts";
import { restore } from "../../../../tests/support/restoring.ts";
import { inScratch, writeFirstVersion } from "../../../../tests/support/small_tree.ts";
import { sameCopy, treeState } from "../../../../tests/support/tree_state.ts";
import { openPosix } from "../../../platform/open_posix.ts";
import { encodingOf } from "../encoded_copy_suite.ts";

const posix = openPosix();

interface Scene {
  source: string;
  one: string;
  two: string;
  target: string;
}

function inScene(codec: "zst" | "age", use: (scene: Scene) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const at = (name: string) => join(folder, name);
    const scene = { source: at("source"), one: at("one"), two: at("two"), target: at("target") };
    fs.mkdirSync(scene.source);
    writeFirstVersion(scene.source);
    fs.writeFileSync(join(scene.source, "large"), "large\n".repeat(1 << 20));
    await backUp({
      posix,
      runId: "run-1",
      source: scene.source,
      destinations: [scene.one, scene.two].map((path) => ({ path, posix })),
      options: { encoding: encodingOf(codec) },
    });
    await use(scene);
  });
}

function assertRestored({ source, target }: Scene): void {
  const found = treeState(join(target, "copy"));
  for (const [path, entry] of treeState(source)) {
    assert.ok(sameCopy(found.get(path)!, entry), path);
  }
}

Deno.test("a compressed copy comes back as it was", () =>
  inScene("zst", async (scene) => {
    const outcome = await restore(posix, { sources: [scene.one], target: scene.target });
    assert.deepEqual(outcome.failures, []);
    assertRestored(scene);
  }));

Deno.test("a compressed file that is damaged is taken from the next destination, or named", () =>
  inScene("zst", async (scene) => {
    const stored = join(scene.one, "copy/large.zst");
    const bytes = fs.readFileSync(stored);
    bytes[bytes.length - 2]! ^= 1;
    fs.writeFileSync(stored, bytes);
    fs.truncateSync(join(scene.one, "copy/same.txt.zst"), 5);
    const alone = await restore(posix, { sources: [scene.one], target: `${scene.target}-alone` });
    assert.deepEqual(alone.failures.map(({ path, code }) => [path, code]).sort(), [
      ["copy/large", "damaged"],
      ["copy/same.txt", "damaged"],
    ]);
    const both = await restore(posix, { sources: [scene.one, scene.two], target: scene.target });
    assert.deepEqual(both.failures, []);
    assertRestored(scene);
  }));

Deno.test("an encrypted copy is not guessed at: each file is named, with what opens it", () =>
  inScene("age", async ({ one, target }) => {
    const outcome = await restore(posix, { sources: [one], target });
    assert.ok(outcome.failures.length > 5);
    for (const { message } of outcome.failures) assert.match(message, /takes no keys yet/);
  }));
