import assert from "node:assert/strict";
import type { BlobReader } from "./blob_reader.ts";
import type { BlobWriter } from "./blob_writer.ts";
import type { Chunker } from "./chunker.ts";
import { idOf } from "./object_id.ts";
import { type FileNode, SnapshotBuilder } from "./snapshot_builder.ts";
import { decodeTree, encodeTree, type TreeNode } from "./tree.ts";

const AT = "2026-01-02T03:04:05Z";
const CONTENT = "ab".repeat(32);

function nodeOf(name: string, type: "dir" | "file" | "symlink"): FileNode {
  return { name, type, mode: 0o644, mtime: AT, atime: AT, ctime: AT, uid: 0, gid: 0 };
}

/** Keeps trees; while `gate` is there nothing that is saved comes back. */
class SlowTrees {
  gate: Promise<void> | undefined;
  readonly #trees = new Map<string, TreeNode[]>();

  async save(_: "tree", plain: Uint8Array): Promise<{ id: string; isNew: boolean }> {
    const id = idOf(plain);
    this.#trees.set(id, decodeTree(plain, id));
    await this.gate;
    return { id, isNew: true };
  }

  /** Paths of all that is in a tree. */
  pathsOf(tree: string, above = ""): string[] {
    return this.#trees.get(tree)!.flatMap(({ name, subtree }) => [
      above + name,
      ...(subtree === undefined ? [] : this.pathsOf(subtree, `${above}${name}/`)),
    ]);
  }
}

Deno.test("builder: a checkpoint while a folder's tree is on its way to the store has what is in that folder, and nothing else in its place", async () => {
  const trees = new SlowTrees();
  const builder = new SnapshotBuilder(trees as unknown as BlobWriter, {} as Chunker);
  await builder.enter(nodeOf("first", "dir"));
  const promised = builder.addFile(nodeOf("one", "file"))!;
  await builder.leave();
  const gate = Promise.withResolvers<void>();
  trees.gate = gate.promise;
  promised.addContent([CONTENT], 1);
  await Promise.resolve();
  await builder.enter(nodeOf("second", "dir"));
  builder.addFile(nodeOf("two", "file"))!.addContent([CONTENT], 1);
  trees.gate = undefined;
  const partial = await builder.checkpoint();
  assert.deepEqual(trees.pathsOf(partial!), ["first", "first/one", "second", "second/two"]);
  gate.resolve();
  await builder.leave();
  assert.deepEqual(trees.pathsOf(await builder.finish()), [
    "first",
    "first/one",
    "second",
    "second/two",
  ]);
});

Deno.test("builder: a checkpoint has each name once, of the parent what comes behind the last entry", async () => {
  const trees = new SlowTrees();
  const nodes = [nodeOf("b", "symlink"), nodeOf("c", "symlink"), nodeOf("d", "symlink")];
  const parent = { tree: "", reader: { load: () => Promise.resolve(encodeTree(nodes)) } };
  const builder = new SnapshotBuilder(trees as unknown as BlobWriter, {} as Chunker, {
    parent: parent as unknown as { tree: string; reader: BlobReader },
  });
  await builder.begin();
  for (const name of ["a", "c"]) builder.other(nodeOf(name, "symlink"));
  assert.deepEqual(trees.pathsOf((await builder.checkpoint())!), ["a", "c", "d"]);
});
