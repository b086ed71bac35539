/** What a prune does, decided before it does anything. Rule: a pure function; no blob that is used is in a pack that goes, unless it moves. */
import type { BlobIndex } from "./blob_index.ts";
import { packSize } from "./pack_header.ts";

/** How much unused data may stay: a part of all that stays, or bytes. */
export type MaxUnused = { fraction: number } | { bytes: number };

export interface PruneOptions {
  /** Five percent by default, as restic. */
  maxUnused?: MaxUnused;
  /** No more is written anew than this. */
  maxRepackBytes?: number;
  /** Version 2 repositories store trees compressed; packs with others are written anew. */
  compressTrees?: boolean;
}

export interface PruneCounts {
  usedBlobs: number;
  usedBytes: number;
  unusedBlobs: number;
  unusedBytes: number;
  /** Further copies of used blobs, which count as unused too. */
  duplicateBlobs: number;
  repackBytes: number;
  freedBytes: number;
}

export interface PrunePlan {
  /** Pack numbers of the index. */
  keep: number[];
  repack: number[];
  remove: number[];
  /** Listed by the index and not there; nothing in them is used. */
  missing: number[];
  /** Stored and in no index: left by interrupted backups. */
  unindexed: string[];
  /** Names of files that interrupted runs of whoever were writing. */
  leftovers: string[];
  counts: PruneCounts;
  /** Reasons not to do it: data that is used is missing or doubtful. */
  refusals: string[];
}

const MAX_UNUSED_FRACTION = 0.05;

/** `used` marks the first row of each blob; `sizes` are of all stored packs by id. */
export function planPrune(
  index: BlobIndex,
  used: Uint8Array,
  sizes: ReadonlyMap<string, number>,
  options: PruneOptions = {},
): PrunePlan {
  const plan: PrunePlan = {
    keep: [],
    repack: [],
    remove: [],
    missing: [],
    unindexed: [...sizes.keys()].filter((id) => index.packNumber(id) === undefined).sort(),
    leftovers: [],
    counts: {
      usedBlobs: 0,
      usedBytes: 0,
      unusedBlobs: 0,
      unusedBytes: 0,
      duplicateBlobs: 0,
      repackBytes: 0,
      freedBytes: 0,
    },
    refusals: [],
  };
  const { counts } = plan;
  const { rows, starts } = index.rowsByPack();
  const candidates: { pack: number; must: boolean; usedBytes: number; unusedBytes: number }[] = [];
  for (let pack = 0; pack < index.packCount; pack++) {
    const own = rows.subarray(starts[pack], starts[pack + 1]);
    let usedBytes = 0;
    let unusedBytes = 0;
    let usedBlobs = 0;
    let trees = 0;
    let plainTrees = 0;
    for (const row of own) {
      const bytes = index.lengthOf(row);
      if (index.typeOf(row) === "tree") {
        trees++;
        if (index.plainOf(row) === 0) plainTrees++;
      }
      if (used[row] === 1) {
        usedBlobs++;
        usedBytes += bytes;
      } else {
        unusedBytes += bytes;
        counts.unusedBlobs++;
        if (isCopyOfUsed(index, used, row)) counts.duplicateBlobs++;
      }
    }
    counts.usedBlobs += usedBlobs;
    counts.usedBytes += usedBytes;
    counts.unusedBytes += unusedBytes;
    const packId = index.packId(pack);
    const sizeBytes = sizes.get(packId);
    if (sizeBytes === undefined) {
      if (usedBlobs > 0) plan.refusals.push(`pack ${packId} is missing and used`);
      else plan.missing.push(pack);
      continue;
    }
    if (usedBlobs === 0) {
      plan.remove.push(pack);
      counts.freedBytes += sizeBytes;
      continue;
    }
    const wanted = packSize(
      own.values().map((row) => ({
        lengthBytes: index.lengthOf(row),
        plainBytes: index.plainOf(row),
      })),
    );
    if (sizeBytes !== wanted) {
      plan.refusals.push(`pack ${packId} has ${sizeBytes} bytes, it must have ${wanted}`);
      continue;
    }
    const isMixed = trees > 0 && trees < own.length;
    const must = isMixed || (options.compressTrees === true && plainTrees > 0);
    if (unusedBytes === 0 && !must) plan.keep.push(pack);
    else candidates.push({ pack, must, usedBytes, unusedBytes });
  }

  let leftUnused = candidates.reduce((sum, { unusedBytes }) => sum + unusedBytes, 0);
  const allowed = allowedUnused(options.maxUnused ?? { fraction: MAX_UNUSED_FRACTION }, counts);
  const limit = options.maxRepackBytes ?? Infinity;
  // Where the most is gained for the least that is written again.
  const share = (c: { usedBytes: number; unusedBytes: number }) =>
    c.unusedBytes / (c.usedBytes + c.unusedBytes);
  candidates.sort((a, b) => Number(b.must) - Number(a.must) || share(b) - share(a));
  for (const { pack, must, usedBytes, unusedBytes } of candidates) {
    const isWanted = must || leftUnused > allowed;
    if (!isWanted || counts.repackBytes + usedBytes > limit) {
      plan.keep.push(pack);
      continue;
    }
    plan.repack.push(pack);
    counts.repackBytes += usedBytes;
    counts.freedBytes += unusedBytes;
    leftUnused -= unusedBytes;
  }
  plan.keep.sort((a, b) => a - b);
  for (const id of plan.unindexed) counts.freedBytes += sizes.get(id)!;
  return plan;
}

function isCopyOfUsed(index: BlobIndex, used: Uint8Array, row: number): boolean {
  return used[index.find(index.typeOf(row), index.idOf(row))] === 1;
}

function allowedUnused(max: MaxUnused, { usedBytes }: PruneCounts): number {
  if ("bytes" in max) return max.bytes;
  return max.fraction >= 1 ? Infinity : max.fraction / (1 - max.fraction) * usedBytes;
}
