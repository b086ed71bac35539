/** Each destination at its own speed. Rule: these compare times with each other or with a limit; the bench measures. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { assertSameTree, STOCK_TOOLS } from "../support/compare_trees.ts";
import { fillFiles, noise } from "../support/fill_tree.ts";
import { createScene, destinationOf, parseLines, type Scene } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

const SIX = ["a", "b", "c", "d", "e", "f"];
/** Shorter times are those of starting threads. */
const GRACE_SECONDS = 0.4;

Deno.test({
  ...needs(
    "--limit holds for writing and for reading back, and the other destination is as fast as alone",
    "linux",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using scene = createScene();
    const { source, one, two } = scene;
    const bytes = 12_000_000;
    for (let n = 0; n < 4; n++) writeFileSync(`${source}/${n}`, noise(bytes / 4, n));
    const alone = await secondsOf(scene, ["source", "--to", `${scene.folder}/alone`]);
    const words = ["source", "--to", one, "--to", two, "--limit", `${two}=8MB`];
    const { summary, code } = await scene.backupJson(words);
    assert.equal(code, 0);
    const expected = 2 * bytes / 8_000_000;
    const slow = Number(destinationOf(summary, two)["seconds_elapsed"]);
    assert.ok(slow >= expected * 0.85, `${slow} s, expected ${expected} s`);
    assert.ok(slow <= expected * 1.15 + GRACE_SECONDS, `${slow} s, expected ${expected} s`);
    const fast = Number(destinationOf(summary, one)["seconds_elapsed"]);
    assert.ok(fast <= 1.5 * alone + GRACE_SECONDS, `${fast} s, alone ${alone} s`);
    await assertSameTree(source, `${two}/source`);
  },
});

Deno.test({
  ...needs(
    "six directories, one throttled and one fast destination: the fast one is verified long before the slow one",
    "linux",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using scene = createScene();
    const { folder, one, two } = scene;
    for (const [n, name] of SIX.entries()) {
      mkdirSync(`${folder}/${name}`);
      fillFiles(`${folder}/${name}`, 100, 20_000, n);
    }
    const alone = await secondsOf(scene, [...SIX, "--to", `${folder}/alone`]);
    const startedAtMs = performance.now();
    await using running = scene.startBackup([
      ...SIX,
      ...["--to", two, "--to", one, "--limit", `${two}=5MB`, "--json"],
    ]);
    await running.saw(`{"message_type":"destination","destination":"${one}","state":"verified"`);
    const fastMs = performance.now() - startedAtMs;
    await running.saw(`{"message_type":"destination","destination":"${two}","state":"verified"`);
    const slowMs = performance.now() - startedAtMs;
    const { code, out } = await running.outcome;
    assert.equal(code, 0);
    const summary = parseLines(out).find((line) => line.message_type === "summary")!;
    const fast = Number(destinationOf(summary, one)["seconds_elapsed"]);
    assert.ok(slowMs > 4000, `the limit was not kept: ${slowMs} ms`);
    assert.ok(fastMs < slowMs / 2, `fast ${fastMs} ms, slow ${slowMs} ms`);
    assert.ok(fast <= 1.5 * alone + GRACE_SECONDS, `${fast} s, alone ${alone} s`);
    for (const name of SIX) {
      for (const destination of [one, two]) {
        await assertSameTree(`${folder}/${name}`, `${destination}/${name}`);
      }
    }
  },
});

/** How long the only destination took, the better of two: others may be using this machine. */
async function secondsOf(scene: Scene, words: string[]): Promise<number> {
  const { summary, code } = await scene.backupJson(words);
  assert.equal(code, 0);
  const [row] = summary["destinations"] as { seconds_elapsed: number }[];
  return row!.seconds_elapsed;
}
