/**
 * Carries a plan out. Rule: at every moment each used blob is in a pack that stands and is listed: new packs → new index → old
 * index goes → old packs go. Needs an exclusive lock.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import { BlobReader } from "./blob_reader.ts";
import { BlobWriter, sinkOf } from "./blob_writer.ts";
import { findLeftovers } from "./leftovers.ts";
import { encodeIndex, INDEX_BLOBS_MAX, type IndexedPack } from "./index_file.ts";
import { loadIndex } from "./load_index.ts";
import { planPrune, type PruneOptions, type PrunePlan } from "./prune_plan.ts";
import type { Repository } from "./repository.ts";
import { loadSnapshots } from "./snapshot_file.ts";
import { markUsed, throwProblem } from "./used_blobs.ts";

export interface PruneRun extends PruneOptions {
  clock: Clock;
  isDryRun?: boolean;
  /** Snapshots that count as removed already, for a dry run. */
  without?: ReadonlySet<string>;
  /** Packs that are written anew. */
  onPack?(done: number, total: number): void;
  signal?: AbortSignal;
}

/** @throws {BackupError} `damaged` before anything is changed, when data that is used is missing or doubtful */
export async function pruneRepository(
  repository: Repository,
  { clock, isDryRun = false, signal, without, onPack, ...options }: PruneRun,
): Promise<PrunePlan> {
  const leftovers = await findLeftovers(repository);
  const snapshots = (await loadSnapshots(repository))
    .filter(({ id }) => without?.has(id) !== true || !isDryRun);
  const { index, files, repeated } = await loadIndex(repository);
  const reader = new BlobReader(repository.store, repository.key, index);
  const walk: Parameters<typeof markUsed>[3] = { onProblem: throwProblem };
  if (signal !== undefined) walk.signal = signal;
  const used = await markUsed(index, reader, snapshots.map(({ tree }) => tree), walk);
  const sizes = new Map<string, number>();
  for (const { id, sizeBytes } of await repository.list("pack")) sizes.set(id, sizeBytes);
  const compressTrees = options.compressTrees ?? repository.config.version > 1;
  const plan = planPrune(index, used, sizes, { ...options, compressTrees });
  if (plan.refusals.length > 0) {
    const more = plan.refusals.length > 1 ? ` (and ${plan.refusals.length - 1} more)` : "";
    throw new BackupError("damaged", `Not pruned: ${plan.refusals[0]}${more}`, {
      path: repository.store.display,
      hint: "Run check, and repair what it names",
    });
  }
  for (const { name, sizeBytes } of leftovers) {
    plan.leftovers.push(name);
    plan.counts.freedBytes += sizeBytes;
  }
  if (isDryRun) return plan;

  const remove = async (packId: string) => {
    signal?.throwIfAborted();
    await repository.remove("pack", packId);
  };
  // What was there when this began: with an exclusive lock nobody is writing it still.
  for (const name of plan.leftovers) {
    signal?.throwIfAborted();
    await repository.store.remove(name);
  }
  for (const packId of plan.unindexed) await remove(packId);
  const gone = [...plan.repack, ...plan.remove, ...plan.missing];
  // Packs that several files list are left by a prune that was interrupted between them.
  const isTidy = gone.length === 0 && repeated.size === 0;
  if (isTidy) return plan;

  const moved: IndexedPack[] = [];
  if (plan.repack.length > 0) {
    const sink = sinkOf(repository);
    const writer = new BlobWriter(repository, index, {
      clock,
      sink: {
        storePack: async (pack) => {
          await sink.storePack(pack);
          moved.push({ id: pack.id, blobs: pack.blobs });
        },
        // They are listed together with those that stay, below; until then the old index lists their blobs elsewhere.
        storeIndex: () => Promise.resolve(),
      },
    });
    const { rows, starts } = index.rowsByPack();
    for (const [i, pack] of plan.repack.entries()) {
      onPack?.(i, plan.repack.length);
      for (const row of rows.subarray(starts[pack], starts[pack + 1])) {
        if (used[row] !== 1) continue;
        signal?.throwIfAborted();
        const type = index.typeOf(row);
        const id = index.idOf(row);
        await writer.move(type, id, await reader.load(type, id));
      }
    }
    await writer.flush();
  }
  await writeIndexes(
    repository,
    function* () {
      const { rows, starts } = index.rowsByPack();
      for (const pack of plan.keep) {
        const own = rows.subarray(starts[pack], starts[pack + 1]);
        yield { id: index.packId(pack), blobs: Array.from(own, (row) => index.blob(row)) };
      }
      yield* moved;
    }(),
  );
  for (const id of files) await repository.remove("index", id);
  for (const pack of [...plan.repack, ...plan.remove]) await remove(index.packId(pack));
  return plan;
}

async function writeIndexes(repository: Repository, packs: Iterable<IndexedPack>): Promise<void> {
  let some: IndexedPack[] = [];
  let blobs = 0;
  for (const pack of packs) {
    some.push(pack);
    blobs += pack.blobs.length;
    if (blobs < INDEX_BLOBS_MAX) continue;
    await repository.save("index", encodeIndex(some));
    some = [];
    blobs = 0;
  }
  if (some.length > 0) await repository.save("index", encodeIndex(some));
}
