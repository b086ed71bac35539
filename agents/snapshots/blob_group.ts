/**
 * Blobs of several replicas as of one repository. Rule: the one that reads fastest is asked first, and for every blob that is
 * damaged or missing there the next; each such case is told once a pack.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { BlobIndex, BlobReader, loadIndex, objectName } from "../repository/mod.ts";
import type { OpenedRepository } from "./use_repositories.ts";

/** As large as anybody's packs are. */
const PROBE_MAX_BYTES = 256 << 20;
const PROBES = 2;

export interface BlobGroup {
  /** Fastest first. */
  repositories: OpenedRepository[];
  reader: BlobReader;
  index: BlobIndex;
}

/**
 * `tell` is told what is damaged; with one repository alone that is what will be missing. `isShared`: the index is in memory
 * that threads can share.
 */
export async function openBlobGroup(
  repositories: readonly OpenedRepository[],
  clock: Clock,
  tell: (message: string) => void,
  options: { isShared?: boolean } = {},
): Promise<BlobGroup> {
  const index = new BlobIndex(options);
  for (const { repository } of repositories) {
    const isAlone = repositories.length === 1;
    const own = isAlone ? index : new BlobIndex();
    const loaded = await loadIndex(repository, (_, error) => tell(error.message), own);
    if (isAlone) {
      return {
        repositories: [...repositories],
        index: loaded.index,
        reader: readerOf(repositories, loaded.index, tell),
      };
    }
    // A replica that was pruned has other packs, with the same blobs in them.
    for (let row = 0; row < loaded.index.rowCount; row++) {
      const pack = index.addPack(loaded.index.packId(loaded.index.packOf(row)));
      index.add(pack, loaded.index.blob(row));
    }
  }
  const ordered = await fastestFirst(repositories, index, clock);
  return { repositories: ordered, index, reader: readerOf(ordered, index, tell) };
}

function readerOf(
  repositories: readonly OpenedRepository[],
  index: BlobIndex,
  tell: (message: string) => void,
): BlobReader {
  const [first, ...others] = repositories.map(({ repository }) => repository);
  const told = new Set<string>();
  return new BlobReader(first!.store, first!.key, index, {
    fallbacks: others.map(({ store }) => store),
    onDamage(error, packId) {
      if (others.length === 0 || told.has(packId)) return;
      told.add(packId);
      tell(`${error.message}; another replica is asked`);
    },
  });
}

/** By reading the same packs of all, past their caches. One that cannot read them comes last. */
async function fastestFirst(
  repositories: readonly OpenedRepository[],
  index: BlobIndex,
  clock: Clock,
): Promise<OpenedRepository[]> {
  const packs = Array.from(
    { length: Math.min(PROBES, index.packCount) },
    (_, i) => index.packId(i),
  );
  const rated: { opened: OpenedRepository; bytesPerMs: number }[] = [];
  for (const opened of repositories) {
    let bytes = 0;
    const startedAtMs = clock.monotonicMs();
    for (const id of packs) bytes += await bytesRead(opened, id);
    const elapsedMs = Math.max(0.001, clock.monotonicMs() - startedAtMs);
    rated.push({ opened, bytesPerMs: bytes / elapsedMs });
  }
  rated.sort((a, b) => b.bytesPerMs - a.bytesPerMs);
  return rated.map(({ opened }) => opened);
}

async function bytesRead({ repository }: OpenedRepository, packId: string): Promise<number> {
  try {
    const { bytes } = await repository.store.readBack(objectName("pack", packId), PROBE_MAX_BYTES);
    return bytes.length;
  } catch (error) {
    if (error instanceof BackupError) return 0;
    throw error;
  }
}
