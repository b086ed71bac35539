/**
 * Index files that are damaged everywhere, replaced by what the packs' own headers say. Rule: a damaged file goes only when every
 * pack that stands is listed and no snapshot needs what no index lists; until then it may come back from another replica.
 */
import { BlobReader } from "./blob_reader.ts";
import { encodeIndex, INDEX_BLOBS_MAX, type IndexedPack } from "./index_file.ts";
import { objectName } from "./layout.ts";
import { loadIndex } from "./load_index.ts";
import {
  decodeHeader,
  HEADER_GUESS_BYTES,
  headerLength,
  type PackedBlob,
  packSize,
} from "./pack_header.ts";
import type { Repository, StoredFile } from "./repository.ts";
import { loadSnapshots } from "./snapshot_file.ts";
import { markUsed } from "./used_blobs.ts";

export interface ReplacedIndex {
  /** That are listed now. */
  packs: number;
  /** New index files. */
  names: string[];
  /** Damaged ones that are not needed any more, and gone. */
  replaced: string[];
}

/** Only for index files that no replica has whole, their ids in `damaged`: no prune goes on beside those. */
export async function replaceIndex(
  repository: Repository,
  damaged: readonly string[],
  signal?: AbortSignal,
): Promise<ReplacedIndex> {
  const done: ReplacedIndex = { packs: 0, names: [], replaced: [] };
  const { index } = await loadIndex(repository, () => {});
  let some: IndexedPack[] = [];
  let blobCount = 0;
  let unread = 0;
  const save = async () => {
    if (some.length === 0) return;
    done.names.push(objectName("index", await repository.save("index", encodeIndex(some))));
    done.packs += some.length;
    some = [];
    blobCount = 0;
  };
  for (const pack of await repository.list("pack")) {
    if (index.packNumber(pack.id) !== undefined) continue;
    signal?.throwIfAborted();
    const blobs = await readHeaderOf(repository, pack);
    if (blobs === undefined) {
      unread++;
      continue;
    }
    some.push({ id: pack.id, blobs });
    blobCount += blobs.length;
    if (blobCount >= INDEX_BLOBS_MAX) await save();
  }
  await save();
  if (unread > 0 || !await isComplete(repository, signal)) return done;
  for (const id of damaged) {
    await repository.remove("index", id);
    done.replaced.push(objectName("index", id));
  }
  return done;
}

/** The blobs of a pack as its end says; undefined when that is no header of a pack of this repository and size. */
async function readHeaderOf(
  { store, key }: Repository,
  { id, sizeBytes }: StoredFile,
): Promise<PackedBlob[] | undefined> {
  if (sizeBytes < 4) return undefined;
  const name = objectName("pack", id);
  const endOf = (bytes: number) => store.getRange(name, sizeBytes - bytes, bytes);
  let end = await endOf(Math.min(sizeBytes, HEADER_GUESS_BYTES));
  const length = headerLength(end.subarray(-4), sizeBytes);
  if (length === undefined) return undefined;
  if (length + 4 > end.length) end = await endOf(length + 4);
  const plain = key.open(end.subarray(end.length - 4 - length, -4));
  const blobs = plain === undefined ? undefined : decodeHeader(plain);
  return blobs !== undefined && packSize(blobs) === sizeBytes ? blobs : undefined;
}

/** Whether the index has all that snapshots need. */
async function isComplete(repository: Repository, signal?: AbortSignal): Promise<boolean> {
  let problems = 0;
  const { index } = await loadIndex(repository, () => {});
  const snapshots = await loadSnapshots(repository, () => problems++);
  const reader = new BlobReader(repository.store, repository.key, index);
  await markUsed(index, reader, snapshots.map(({ tree }) => tree), {
    onProblem: ({ isError }) => {
      if (isError) problems++;
    },
    ...(signal === undefined ? {} : { signal }),
  });
  return problems === 0;
}
