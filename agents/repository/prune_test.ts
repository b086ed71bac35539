import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { FaultyObjectStore } from "../../tests/support/faulty_object_store.ts";
import { MemoryObjectStore } from "../destinations/memory_object_store.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { BlobReader } from "./blob_reader.ts";
import { loadIndex } from "./load_index.ts";
import { MemoryTarget } from "./memory_target_suite.ts";
import { pruneRepository } from "./prune.ts";
import { openRepository } from "./open_repository.ts";
import type { Repository } from "./repository.ts";
import { restoreTree } from "./restorer.ts";
import {
  backup,
  clock,
  type Files,
  kernels,
  makeRepositories,
  makeSample,
  PASSWORD,
  problemsOf,
} from "./sample_repository_suite.ts";
import { loadSnapshots } from "./snapshot_file.ts";

const some = (bytes: number) => new Uint8Array(randomBytes(bytes));
const small = { packTargetBytes: 20_000 };
const all = { maxUnused: { bytes: 0 } };

/** Two snapshots of which one is forgotten: packs wholly, partly and not used, and one in no index. */
async function makeUntidy(repository: Repository): Promise<Files> {
  const kept: Files = { "a": some(5_000), "folder/b": some(9_000), "folder/c": some(9_000) };
  const first = await backup(repository, {
    "a": kept["a"]!,
    "folder/b": kept["folder/b"]!,
    "folder/gone": some(30_000),
    "other/x": some(15_000),
  }, small);
  await backup(repository, kept, small);
  await repository.remove("snapshot", first.id);
  const stray = some(500);
  await repository.store.put(`data/ab/${"ab".repeat(32)}`, [stray]);
  return kept;
}

async function assertWhole(repository: Repository, files: Files): Promise<void> {
  assert.deepEqual((await problemsOf(repository)).filter((line) => line.startsWith("E")), []);
  const [snapshot] = await loadSnapshots(repository);
  const { index } = await loadIndex(repository);
  const target = new MemoryTarget();
  await restoreTree(
    new BlobReader(repository.store, repository.key, index),
    snapshot!.tree,
    target,
  );
  assert.deepEqual(Object.fromEntries(target.files), files);
}

Deno.test("prune: what nobody needs goes, what is needed stays, and a second prune has nothing to do", async () => {
  const { store, repository } = await makeSample();
  const files = await makeUntidy(repository);
  const before = new Map(store.objects);
  const plan = await pruneRepository(repository, { clock, isDryRun: true, ...all });
  assert.deepEqual(store.objects, before, "a dry run changes nothing");
  assert.ok(plan.repack.length > 0 && plan.remove.length > 0 && plan.unindexed.length === 1);
  await pruneRepository(repository, { clock, ...all });
  await assertWhole(repository, files);
  const { index } = await loadIndex(repository);
  const again = await pruneRepository(repository, { clock, ...all });
  assert.equal(again.counts.unusedBlobs, 0);
  assert.deepEqual([again.repack, again.remove, again.unindexed], [[], [], []]);
  assert.equal(index.packCount, (await repository.list("pack")).length);
});

Deno.test("prune: a crash at any change leaves everything readable, and the next prune ends it", async () => {
  for (let step = 0;; step++) {
    const memory = new MemoryObjectStore();
    const store = new FaultyObjectStore(memory);
    const [repository] = await makeRepositories(store);
    const files = await makeUntidy(repository!);
    store.changesLeft = step;
    let isThrough = true;
    await pruneRepository(repository!, { clock, ...all }).catch((error) => {
      assert.ok(error instanceof BackupError && error.code === "destination_lost", String(error));
      isThrough = false;
    });
    const after = await openRepository(memory, kernels, { password: PASSWORD });
    await assertWhole(after, files);
    await pruneRepository(after, { clock, ...all });
    await assertWhole(after, files);
    assert.deepEqual(await problemsOf(after), []);
    if (isThrough) {
      assert.ok(step > 5, "the prune had something to do");
      return;
    }
  }
});

Deno.test("prune: nothing is changed when anything that is used is missing or of another size", async () => {
  for (const harm of ["missing", "longer", "tree"] as const) {
    const { store, repository } = await makeSample();
    await makeUntidy(repository);
    const { index } = await loadIndex(repository);
    const [snapshot] = await loadSnapshots(repository);
    const row = index.find("tree", snapshot!.tree);
    const name = `data/${index.packId(index.packOf(row)).slice(0, 2)}/${
      index.packId(index.packOf(row))
    }`;
    const bytes = store.objects.get(name)!;
    if (harm === "missing") store.objects.delete(name);
    if (harm === "longer") store.objects.set(name, new Uint8Array([...bytes, 0]));
    if (harm === "tree") bytes.fill(0, 0, bytes.length - 300);
    const before = new Map(store.objects);
    await assert.rejects(
      pruneRepository(repository, { clock, ...all }),
      (error) => error instanceof BackupError && ["damaged", "not_found"].includes(error.code),
    );
    assert.deepEqual(store.objects, before, harm);
  }
});

Deno.test("prune: by default five percent of unused data may stay, and no more is written again than is allowed", async () => {
  const { repository } = await makeSample();
  await makeUntidy(repository);
  const lazy = await pruneRepository(repository, {
    clock,
    isDryRun: true,
    maxUnused: { fraction: 1 },
  });
  assert.deepEqual(lazy.repack, []);
  const limited = await pruneRepository(repository, {
    clock,
    isDryRun: true,
    ...all,
    maxRepackBytes: 0,
  });
  assert.deepEqual(limited.repack, []);
  const usual = await pruneRepository(repository, { clock });
  assert.ok(usual.repack.length > 0);
  const left = await pruneRepository(repository, { clock, isDryRun: true });
  assert.ok(left.counts.unusedBytes <= left.counts.usedBytes * 0.06);
});

Deno.test("prune: what interrupted runs were writing, restic's too, is told by check and removed", async () => {
  const { store, repository } = await makeSample();
  const files = await makeUntidy(repository);
  await pruneRepository(repository, { clock, ...all });
  const left = ["data/ab/", "index/", "snapshots/", "keys/", "locks/"]
    .flatMap((folder) =>
      ["123456", "0a1b2c3d"].map((end) => `${folder}${"ab".repeat(32)}-tmp-${end}`)
    );
  left.push("config-tmp-123456");
  for (const name of left) await store.put(name, [new Uint8Array(1000)]);
  // Whoever has put it there.
  await store.put("notes-tmp-2024", [new Uint8Array(1)]);
  assert.deepEqual(await problemsOf(repository), [
    `hint 11 files (11000 bytes), such as ${store.display}/${
      left[0]
    }, were not written to their ends; a prune removes them`,
  ]);
  const dry = await pruneRepository(repository, { clock, isDryRun: true, ...all });
  assert.deepEqual([dry.leftovers, dry.counts.freedBytes], [left, 11_000]);
  assert.ok(left.every((name) => store.objects.has(name)));
  await pruneRepository(repository, { clock, ...all });
  assert.deepEqual(left.filter((name) => store.objects.has(name)), []);
  assert.ok(store.objects.has("notes-tmp-2024"));
  assert.deepEqual(await problemsOf(repository), []);
  await assertWhole(repository, files);
});
