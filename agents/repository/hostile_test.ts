import assert from "node:assert/strict";
import { BackupError } from "../../protocol/base/errors.ts";
import { BlobReader } from "./blob_reader.ts";
import { BlobWriter } from "./blob_writer.ts";
import { encodeIndex } from "./index_file.ts";
import { loadIndex } from "./load_index.ts";
import { MemoryTarget } from "./memory_target_suite.ts";
import { idOf } from "./object_id.ts";
import { objectName } from "./layout.ts";
import { PackBuilder } from "./pack_builder.ts";
import type { Repository } from "./repository.ts";
import { restoreTree } from "./restorer.ts";
import { clock, makeSample, node } from "./sample_repository_suite.ts";
import { encodeTree, type TreeNode } from "./tree.ts";

/** Stores trees as somebody with the password could, and restores the last of them. */
async function restoreHostile(
  repository: Repository,
  nodes: readonly TreeNode[],
): Promise<{ target: MemoryTarget; failures: string[] }> {
  const { index } = await loadIndex(repository);
  const writer = new BlobWriter(repository, index, { clock });
  const { id } = await writer.save("tree", encodeTree(nodes));
  await writer.flush();
  return await restore(repository, id);
}

async function restore(repository: Repository, tree: string) {
  const { index } = await loadIndex(repository);
  const reader = new BlobReader(repository.store, repository.key, index);
  const target = new MemoryTarget();
  const failures: string[] = [];
  await restoreTree(reader, tree, target, { onFailure: (path) => failures.push(path) })
    .catch((error) => {
      if (!(error instanceof BackupError)) throw error;
      failures.push(error.message);
    });
  return { target, failures };
}

Deno.test("hostile trees: names that lead elsewhere are refused one by one, and the rest is restored", async () => {
  const { repository } = await makeSample();
  const names = ["", ".", "..", "../up", "a/b", "/etc", "nul\0byte"];
  for (const type of ["file", "symlink", "fifo"] as const) {
    const more = type === "file" ? { content: [] } : { linkTarget: "x" };
    const nodes = [...names.map((name) => node(name, type, more)), node("good", type, more)];
    const { target, failures } = await restoreHostile(repository, nodes);
    assert.deepEqual([...target.files.keys()], ["good"]);
    assert.equal(failures.length, names.length);
  }
});

Deno.test("hostile trees: a name that comes twice is restored once, so no link is put under a file's path", async () => {
  const { repository } = await makeSample();
  const empty = await restoreHostile(repository, []);
  assert.deepEqual(empty.failures, []);
  const subtree = idOf(encodeTree([]));
  const { target, failures } = await restoreHostile(repository, [
    node("x", "symlink", { linkTarget: "/etc" }),
    node("x", "dir", { subtree }),
    node("x", "file", { content: [] }),
  ]);
  assert.deepEqual([...target.files.keys()], ["x"]);
  assert.deepEqual(failures, ["/x", "/x"]);
});

Deno.test("hostile trees: a file that declares ten gigabytes, or less than it has, is not begun", async () => {
  const { repository } = await makeSample();
  const { index } = await loadIndex(repository);
  const writer = new BlobWriter(repository, index, { clock });
  const { id } = await writer.save("data", new TextEncoder().encode("hello"));
  await writer.flush();
  const { target, failures } = await restoreHostile(repository, [
    node("huge", "file", { content: [id], sizeBytes: 10 * 2 ** 30 }),
    node("many", "file", { content: [id, id, id], sizeBytes: 5 }),
    node("right", "file", { content: [id, id], sizeBytes: 10 }),
    node("unknown", "file", { content: ["f".repeat(64)], sizeBytes: 5 }),
    node("void", "file", { sizeBytes: 0, content: [] }),
  ]);
  assert.deepEqual([...target.files.keys()], ["right", "void"]);
  assert.deepEqual(failures, ["/huge", "/many", "/unknown"]);
});

Deno.test("hostile trees: a decompression bomb is refused without being unpacked", async () => {
  const { repository } = await makeSample();
  const bomb = repository.kernels.compress(new Uint8Array(160 << 20), 3);
  const cases = [
    // What the index says is believed only up to what anybody writes.
    { says: 160 << 20, type: "data" as const },
    { says: 2 ** 32 - 1, type: "data" as const },
    { says: 100, type: "data" as const },
    { says: 2 ** 32 - 1, type: "tree" as const },
  ];
  const before = Deno.memoryUsage().rss;
  for (const [i, { says, type }] of cases.entries()) {
    const id = `${i}`.repeat(64);
    const builder = new PackBuilder();
    builder.add(type, id, repository.key.seal(bomb), says);
    const pack = builder.finish(repository.key)!;
    await repository.store.put(objectName("pack", pack.id), pack.parts);
    await repository.save("index", encodeIndex([pack]));
    const { index } = await loadIndex(repository);
    const reader = new BlobReader(repository.store, repository.key, index);
    await assert.rejects(reader.load(type, id), BackupError);
  }
  const grownMiB = (Deno.memoryUsage().rss - before) / 2 ** 20;
  assert.ok(grownMiB < 300, `memory grew by ${grownMiB} MiB`);
});

Deno.test("hostile trees: a blob that claims gigabytes in its pack is refused before memory is taken", async () => {
  const { repository } = await makeSample();
  const id = "a".repeat(64);
  const blob = { type: "data" as const, id, offset: 0, lengthBytes: 2 ** 32 - 1, plainBytes: 0 };
  await repository.save("index", encodeIndex([{ id: "b".repeat(64), blobs: [blob] }]));
  const { index } = await loadIndex(repository);
  const reader = new BlobReader(repository.store, repository.key, index);
  await assert.rejects(reader.load("data", id), /cannot have 4294967295 bytes/);
});

Deno.test("hostile trees: folders deeper than any path can be end", async () => {
  const { repository } = await makeSample();
  const { index } = await loadIndex(repository);
  const writer = new BlobWriter(repository, index, { clock });
  let tree = (await writer.save("tree", encodeTree([]))).id;
  for (let i = 0; i < 2100; i++) {
    tree = (await writer.save("tree", encodeTree([node(`d`, "dir", { subtree: tree })]))).id;
  }
  await writer.flush();
  const { failures } = await restore(repository, tree);
  assert.equal(failures.length, 1);
  // The same tree under two names is no circle.
  const twice = await restoreHostile(repository, [
    node("a", "dir", { subtree: idOf(encodeTree([])) }),
    node("b", "dir", { subtree: idOf(encodeTree([])) }),
  ]);
  assert.deepEqual(twice.failures, []);
});

Deno.test("hostile trees: a folder without a tree, a file without content and a link to nowhere are refused", async () => {
  const { repository } = await makeSample();
  const { index } = await loadIndex(repository);
  const writer = new BlobWriter(repository, index, { clock });
  const json = new TextDecoder().decode(encodeTree([node("file", "file", { content: [] })]))
    .replace('"content":[]', '"content":null');
  const { id } = await writer.save("tree", new TextEncoder().encode(json));
  await writer.flush();
  assert.deepEqual((await restore(repository, id)).failures, ["/file"]);
  const { failures } = await restoreHostile(repository, [
    node("dir", "dir"),
    node("link", "symlink"),
  ]);
  assert.deepEqual(failures, ["/dir", "/link"]);
});
