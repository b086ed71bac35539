/** A small repository in memory, made through the library's own door, for the tests beside it. Rule: nothing of the disk. */
import { ManualClock } from "../../tests/support/manual_clock.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import { MemoryObjectStore } from "../destinations/memory_object_store.ts";
import { createKernels } from "../kernels/mod.ts";
import { BlobReader } from "./blob_reader.ts";
import { BlobWriter, type BlobWriterOptions } from "./blob_writer.ts";
import { checkRepository } from "./check.ts";
import { Chunker } from "./chunker.ts";
import { toGoMode } from "./go_mode.ts";
import { loadIndex } from "./load_index.ts";
import { initRepositories } from "./open_repository.ts";
import type { Repository } from "./repository.ts";
import { sealSnapshot, storeSnapshot } from "./save_snapshot.ts";
import { SnapshotBuilder } from "./snapshot_builder.ts";
import type { StoredSnapshot } from "./snapshot_file.ts";
import type { NodeType, TreeNode } from "./tree.ts";

export const kernels = createKernels();
export const clock = new ManualClock();
export const KDF = { N: 1024, r: 8, p: 1 };
export const PASSWORD = "secret";

export async function makeRepositories(...stores: ObjectStore[]): Promise<Repository[]> {
  return await initRepositories(stores, kernels, clock, {
    username: "me",
    hostname: "here",
    password: PASSWORD,
    kdf: KDF,
  });
}

export async function makeSample(): Promise<{ store: MemoryObjectStore; repository: Repository }> {
  const store = new MemoryObjectStore();
  const [repository] = await makeRepositories(store);
  return { store, repository: repository! };
}

export function node(name: string, type: NodeType, more: Partial<TreeNode> = {}): TreeNode {
  const time = "2026-01-02T03:04:05.678Z";
  return {
    name,
    type,
    mode: toGoMode(type, 0o644),
    mtime: time,
    atime: time,
    ctime: time,
    uid: 1,
    gid: 2,
    inode: 7,
    ...more,
  };
}

/** Files by path, one folder deep: `a`, `folder/b`. */
export type Files = Record<string, Uint8Array | string>;

/** A backup of the files, which has everything a backup has but a walk. */
export async function backup(
  repository: Repository,
  files: Files,
  writer: Partial<BlobWriterOptions> & { parent?: StoredSnapshot } = {},
): Promise<StoredSnapshot> {
  const { index } = await loadIndex(repository);
  const blobs = new BlobWriter(repository, index, { clock, ...writer });
  const reader = new BlobReader(repository.store, repository.key, index);
  const chunker = new Chunker(kernels.createScanner(repository.config.polynomial));
  const { parent } = writer;
  const builder = new SnapshotBuilder(
    blobs,
    chunker,
    parent === undefined ? {} : { parent: { tree: parent.tree, reader } },
  );
  let folder = "";
  for (const path of Object.keys(files).sort()) {
    const parts = path.split("/");
    const wanted = parts.length > 1 ? parts[0]! : "";
    if (wanted !== folder) {
      if (folder !== "") await builder.leave();
      if (wanted !== "") await builder.enter(node(wanted, "dir"));
      folder = wanted;
    }
    const content = files[path]!;
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    let at = 0;
    await builder.file(node(parts.at(-1)!, "file"), bytes.length, () => ({
      read(into) {
        const part = bytes.subarray(at, at + into.length);
        into.set(part);
        at += part.length;
        return part.length;
      },
      close() {},
    }));
  }
  if (folder !== "") await builder.leave();
  const now = { sec: Math.floor(clock.nowMs() / 1000), nsec: 0 };
  const sealed = await sealSnapshot(builder, blobs, {
    time: now,
    startedAt: now,
    endedAt: now,
    paths: ["/source"],
    hostname: "here",
    username: "me",
    uid: 0,
    gid: 0,
    program: "test",
    ...(parent === undefined ? {} : { parent: parent.id }),
  });
  return await storeSnapshot(repository, sealed);
}

/** What a full check says, errors first by an `E`. */
export async function problemsOf(repository: Repository): Promise<string[]> {
  const problems: string[] = [];
  await checkRepository(repository, {
    readData: { kind: "all" },
    onProblem: ({ isError, message }) => problems.push(`${isError ? "E" : "hint"} ${message}`),
  });
  return problems;
}
