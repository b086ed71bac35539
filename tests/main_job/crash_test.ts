/**
 * `kill -9` at many moments of a run. Rule: at every moment each file under a final name is a whole version, old or new,
 * and the same command again completes.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { assertCopies, STOCK_TOOLS } from "../support/compare_trees.ts";
import { noise } from "../support/fill_tree.ts";
import { createRandom } from "../support/random.ts";
import { createScene, type Scene } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

const KILLS = 26;
/** Runs that end before their moment do not count; with so many there is something wrong with the moments. */
const RUNS_MAX = 2 * KILLS;
const SEED = 20_260_301;
const FILES = 240;
const FILE_BYTES = 9000;
const LARGE_BYTES = 5_000_000;
/** With these sizes copying and reading back take about half a second each. */
const LIMIT = "14MB";
/** The earliest moment: the program has hardly started. */
const FIRST_KILL_MS = 150;

Deno.test({
  ...needs(
    `killed at ${KILLS} moments of fresh and of replacing runs, nothing is ever torn or lost, and the next run completes`,
    "linux",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using scene = createScene();
    const { source, one, two } = scene;
    const random = createRandom(SEED);
    writeVersion(source, 0);
    const words = ["source", "--to", one, "--to", two];
    const startedAtMs = performance.now();
    assert.equal((await scene.backup([...words, "--limit", LIMIT])).code, 0);
    let wholeMs = performance.now() - startedAtMs;
    let cut = 0;

    for (let kill = 0; cut < KILLS; kill++) {
      assert.ok(kill < RUNS_MAX, `only ${cut} of ${kill} runs were going when they were killed`);
      const isFresh = kill % 4 === 3;
      if (isFresh) {
        for (const folder of [one, two, scene.stateDir]) rmSync(folder, { recursive: true });
      } else writeVersion(source, kill + 1);
      const before = [hashesBelow(`${one}/source`), hashesBelow(`${two}/source`)];

      // Spread evenly over the run, with a seeded jitter.
      const share = (cut + random()) / KILLS;
      const afterMs = FIRST_KILL_MS + share * (wholeMs - FIRST_KILL_MS);
      const where = `kill ${kill} after ${Math.round(afterMs)} ms of ${Math.round(wholeMs)} ms`;
      const runAtMs = performance.now();
      if (await isKilled(scene, [...words, "--limit", LIMIT], afterMs)) cut++;
      else wholeMs = Math.min(wholeMs, performance.now() - runAtMs);

      const wanted = hashesBelow(source);
      [one, two].forEach((destination, at) =>
        assertOldOrNew(hashesBelow(`${destination}/source`), before[at]!, wanted, where)
      );
      const again = await scene.backup(words);
      assert.equal(again.code, 0, `${where}: ${again.out}${again.err}`);
      await assertCopies(source, [one, two]);
      for (const destination of [one, two]) {
        assert.deepEqual([...hashesBelow(`${destination}/.backup-agent/stage`).keys()], [], where);
      }
    }
  },
});

/** About a third of the files get a new content, some with the size and mtime they had. */
function writeVersion(source: string, version: number): void {
  for (let n = 0; n < FILES; n++) {
    if (version > 0 && (n + version) % 3 !== 0) continue;
    const folder = `${source}/folder ${n % 7}`;
    mkdirSync(folder, { recursive: true });
    const sizeBytes = FILE_BYTES + (n % 2) * version * 8;
    writeFileSync(`${folder}/file ${n}`, noise(sizeBytes, version * 1000 + n));
  }
  writeFileSync(`${source}/large`, noise(LARGE_BYTES, version));
}

/** False when the program ended by itself before its time. */
async function isKilled(scene: Scene, words: string[], afterMs: number): Promise<boolean> {
  await using running = scene.startBackup(words);
  const ended = running.outcome.then(() => true);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), afterMs);
  const isOver = await Promise.race([ended, promise]);
  clearTimeout(timer);
  if (!isOver) running.kill("SIGKILL");
  const { signal } = await running.outcome;
  return signal === "SIGKILL";
}

/** Nothing that was there is gone, and everything there is whole. */
function assertOldOrNew(
  now: Map<string, string>,
  before: Map<string, string>,
  wanted: Map<string, string>,
  where: string,
): void {
  for (const [path, hash] of now) {
    const isWhole = hash === before.get(path) || hash === wanted.get(path);
    assert.ok(isWhole, `${where}: ${path} is neither the old nor the new version`);
  }
  for (const path of before.keys()) assert.ok(now.has(path), `${where}: ${path} is gone`);
}

function hashesBelow(folder: string): Map<string, string> {
  const hashes = new Map<string, string>();
  if (!existsSync(folder)) return hashes;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = `${entry.parentPath}/${entry.name}`;
    const hash = createHash("sha256").update(readFileSync(path)).digest("hex");
    hashes.set(path.slice(folder.length), hash);
  }
  return hashes;
}
