/**
 * Snapshots of one replica brought to another, byte for byte. Rule: only snapshots that are asked for come, so what was forgotten
 * stays forgotten; packs → index → snapshot, and no pack is sent that is there.
 */
import { BackupError, IntegrityError } from "../../protocol/base/errors.ts";
import { BlobReader } from "./blob_reader.ts";
import { encodeIndex, INDEX_BLOBS_MAX, type IndexedPack } from "./index_file.ts";
import { objectName } from "./layout.ts";
import { type LoadedIndex, loadIndex } from "./load_index.ts";
import { idOf } from "./object_id.ts";
import { areReplicas } from "./open_repository.ts";
import { type Repository, UNPACKED_MAX_BYTES } from "./repository.ts";
import { loadSnapshot } from "./snapshot_file.ts";
import { markUsed, throwProblem } from "./used_blobs.ts";
import { PACK_MAX_BYTES } from "./verify_pack.ts";

export interface ReplicateCounts {
  packs: number;
  bytes: number;
  snapshots: string[];
}

/** Both must be locked by the caller. @throws {BackupError} `usage` when they are no replicas, `damaged` */
export async function replicateSnapshots(
  from: Repository,
  to: Repository,
  snapshotIds: readonly string[],
  signal?: AbortSignal,
): Promise<ReplicateCounts> {
  if (!areReplicas(from, to)) {
    throw new BackupError(
      "usage",
      `${from.store.display} and ${to.store.display} are no replicas of each other`,
    );
  }
  const counts: ReplicateCounts = { packs: 0, bytes: 0, snapshots: [] };
  const there = new Set((await to.list("snapshot")).map(({ id }) => id));
  const wanted = snapshotIds.filter((id) => !there.has(id));
  if (wanted.length === 0) return counts;
  const snapshots = await Promise.all(wanted.map((id) => loadSnapshot(from, id)));
  const source = await loadIndex(from);
  const target = await loadIndex(to);
  const stored = new Set((await to.list("pack")).map(({ id }) => id));

  const packs = await neededPacks(from, source, snapshots.map(({ tree }) => tree), target, signal);
  let batch: IndexedPack[] = [];
  let blobs = 0;
  const listBatch = async () => {
    if (batch.length > 0) await to.save("index", encodeIndex(batch));
    batch = [];
    blobs = 0;
  };
  for (const pack of packs) {
    signal?.throwIfAborted();
    if (!stored.has(pack.id)) counts.bytes += await copyPack(from, to, pack.id);
    counts.packs++;
    batch.push(pack);
    blobs += pack.blobs.length;
    if (blobs >= INDEX_BLOBS_MAX) await listBatch();
  }
  await listBatch();
  for (const { id } of snapshots) {
    const name = objectName("snapshot", id);
    await to.store.put(name, [await from.store.get(name, UNPACKED_MAX_BYTES)]);
    counts.snapshots.push(id);
  }
  return counts;
}

/** The packs of the source that hold what the trees need and the target's index does not list. */
async function neededPacks(
  from: Repository,
  { index }: LoadedIndex,
  trees: Iterable<string>,
  target: LoadedIndex,
  signal: AbortSignal | undefined,
): Promise<IndexedPack[]> {
  const reader = new BlobReader(from.store, from.key, index);
  const walk: Parameters<typeof markUsed>[3] = { onProblem: throwProblem };
  if (signal !== undefined) walk.signal = signal;
  const used = await markUsed(index, reader, trees, walk);
  const { rows, starts } = index.rowsByPack();
  const packs: IndexedPack[] = [];
  for (let pack = 0; pack < index.packCount; pack++) {
    const own = rows.subarray(starts[pack], starts[pack + 1]);
    const isNeeded = own.some((row) =>
      used[row] === 1 && !target.index.has(index.typeOf(row), index.idOf(row))
    );
    if (!isNeeded) continue;
    packs.push({ id: index.packId(pack), blobs: Array.from(own, (row) => index.blob(row)) });
  }
  return packs;
}

async function copyPack(from: Repository, to: Repository, packId: string): Promise<number> {
  const name = objectName("pack", packId);
  const bytes = await from.store.get(name, PACK_MAX_BYTES);
  if (idOf(bytes) !== packId) {
    const path = from.pathOf("pack", packId);
    throw new IntegrityError(`${path} is damaged: its SHA-256 is not its name`, { path });
  }
  await to.store.put(name, [bytes]);
  return bytes.length;
}
