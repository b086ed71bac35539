import assert from "node:assert/strict";
import { BackupError } from "../../protocol/base/errors.ts";
import { MemoryObjectStore } from "../destinations/memory_object_store.ts";
import { BlobReader } from "./blob_reader.ts";
import { loadIndex } from "./load_index.ts";
import { MemoryTarget } from "./memory_target_suite.ts";
import { openRepository } from "./open_repository.ts";
import { repairReplica } from "./repair.ts";
import { restoreTree } from "./restorer.ts";
import {
  backup,
  kernels,
  makeRepositories,
  PASSWORD,
  problemsOf,
} from "./sample_repository_suite.ts";

const FILES = { "a": "some text", "folder/b": "other text".repeat(20), "folder/c": "" };

/** Reads everything there is: opens, restores every file, checks every byte. */
async function readAll(store: MemoryObjectStore, tree: string): Promise<string[]> {
  const repository = await openRepository(store, kernels, { password: PASSWORD });
  const problems = (await problemsOf(repository)).filter((line) => line.startsWith("E"));
  const { index } = await loadIndex(repository, () => {});
  const target = new MemoryTarget();
  const reader = new BlobReader(store, repository.key, index);
  await restoreTree(reader, tree, target, {
    onFailure: (path, error) => problems.push(`${path}: ${error.message}`),
  }).catch((error) => problems.push(`restore: ${error.message}`));
  for (const [path, bytes] of target.files) {
    const expected = FILES[path as keyof typeof FILES];
    assert.equal(new TextDecoder().decode(bytes), expected, "restored wrong bytes silently");
  }
  return problems;
}

Deno.test("damage: every flipped byte of config, key, index, snapshot and packs is found, and its file named", async () => {
  const store = new MemoryObjectStore();
  const [repository] = await makeRepositories(store);
  const { tree } = await backup(repository!, FILES);
  assert.deepEqual(await readAll(store, tree), []);
  for (const [name, bytes] of store.objects) {
    // The key costs a derivation each time: every seventh byte of it will do.
    const step = name.startsWith("keys/") ? 7 : 1;
    for (let i = 0; i < bytes.length; i += step) {
      bytes[i]! ^= 1 << (i % 8);
      let said: string[];
      try {
        said = await readAll(store, tree);
      } catch (error) {
        assert.ok(error instanceof BackupError, `${name} byte ${i}: ${error}`);
        said = [error.message];
      }
      assert.ok(said.length > 0, `${name}: byte ${i} is not noticed`);
      const file = name.slice(name.lastIndexOf("/") + 1);
      assert.ok(
        said.some((line) => line.includes(file)),
        `${name}: not named in ${said.join("; ")}`,
      );
      bytes[i]! ^= 1 << (i % 8);
    }
  }
  assert.deepEqual(await readAll(store, tree), []);
});

Deno.test("damage: files that are cut off or missing are found and named", async () => {
  const store = new MemoryObjectStore();
  const [repository] = await makeRepositories(store);
  const { tree } = await backup(repository!, FILES);
  for (const [name, bytes] of [...store.objects]) {
    if (name.startsWith("snapshots/")) continue;
    const file = name.slice(name.lastIndexOf("/") + 1);
    for (const kept of [undefined, 0, 10, bytes.length - 1]) {
      if (kept === undefined) store.objects.delete(name);
      else store.objects.set(name, bytes.slice(0, kept));
      const said = await readAll(store, tree).catch((error) => [(error as Error).message]);
      assert.ok(said.length > 0, `${name} cut to ${kept}`);
      // A missing index or key cannot be named: only what it held is missed.
      const isUnknown = kept === undefined && /^(index|keys)\//.test(name);
      if (!isUnknown) {
        assert.ok(said.some((line) => line.includes(file)), `${name}: ${said.join("; ")}`);
      }
      store.objects.set(name, bytes);
    }
  }
});

Deno.test("damage: every damaged or missing file of a replica comes back from another, without a key", async () => {
  const stores = [new MemoryObjectStore("a"), new MemoryObjectStore("b")];
  const [a] = await makeRepositories(...stores);
  const { tree } = await backup(a!, FILES);
  // The same bytes everywhere, as replicas are.
  for (const [name, bytes] of stores[0]!.objects) stores[1]!.objects.set(name, bytes.slice());
  const whole = new Map([...stores[0]!.objects].map(([name, bytes]) => [name, bytes.slice()]));
  const packs = [...whole.keys()].filter((name) => name.startsWith("data/")).map((n) => n.slice(8));
  for (const name of whole.keys()) {
    for (const harm of ["flip", "cut", "remove"] as const) {
      const bytes = whole.get(name)!.slice();
      if (harm === "remove" && !name.startsWith("data/") && name !== "config") continue;
      // Whether a config is damaged only a key can tell.
      if (harm !== "remove" && name === "config") continue;
      if (harm === "flip") bytes[bytes.length >> 1]! ^= 4;
      if (harm === "remove") stores[1]!.objects.delete(name);
      else stores[1]!.objects.set(name, harm === "cut" ? bytes.slice(0, 5) : bytes);
      const counts = await repairReplica(stores[1]!, [new MemoryObjectStore(), stores[0]!], {
        packs,
      });
      assert.deepEqual(counts.repaired, [name], harm);
      assert.deepEqual(counts.lost, []);
      assert.deepEqual(stores[1]!.objects.get(name), whole.get(name));
    }
  }
  assert.deepEqual(await readAll(stores[1]!, tree), []);
  // With no replica that has it whole it is lost, and left as it is.
  const [name] = [...whole.keys()].filter((key) => key.startsWith("data/"));
  stores[1]!.objects.get(name!)![3]! ^= 1;
  const counts = await repairReplica(stores[1]!, [new MemoryObjectStore()]);
  assert.deepEqual(counts.lost, [name]);
});

Deno.test("damage: a blob that is damaged in one repository is read from a replica, and told", async () => {
  const stores = [new MemoryObjectStore("a"), new MemoryObjectStore("b")];
  const [a] = await makeRepositories(...stores);
  const { tree } = await backup(a!, FILES);
  for (const [name, bytes] of stores[0]!.objects) stores[1]!.objects.set(name, bytes.slice());
  for (const [name, bytes] of stores[0]!.objects) {
    if (name.startsWith("data/")) bytes.fill(0, 10, 40);
  }
  const { index } = await loadIndex(a!);
  const told: string[] = [];
  const target = new MemoryTarget();
  const reader = new BlobReader(stores[0]!, a!.key, index, {
    fallbacks: [stores[1]!],
    onDamage: (error) => told.push(error.path!),
  });
  await restoreTree(reader, tree, target);
  assert.equal(target.files.size, 3);
  assert.ok(told.length > 0 && told.every((path) => path.startsWith("a/data/")), told.join());
});
