/**
 * Is all there that snapshots need, and is it whole? Rule: everything that restic's check finds is found, each problem is told
 * with the file it is in, and one problem hides no other.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import { randomFraction } from "../../protocol/base/ids.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import type { TakeRoom } from "../kernels/mod.ts";
import type { BlobIndex } from "./blob_index.ts";
import { BlobReader } from "./blob_reader.ts";
import { objectName } from "./layout.ts";
import { findLeftovers } from "./leftovers.ts";
import { loadIndex } from "./load_index.ts";
import { type PackedBlob, packSize } from "./pack_header.ts";
import type { Repository } from "./repository.ts";
import type { SealingKey } from "./sealing_key.ts";
import { loadSnapshots } from "./snapshot_file.ts";
import { markUsed } from "./used_blobs.ts";
import { PACK_MAX_BYTES, verifyPack } from "./verify_pack.ts";

export interface Problem {
  /** False: untidy, and nothing is lost. */
  isError: boolean;
  message: string;
  /** The stored file it is about. */
  path?: string;
  /** Of the pack it is about, for repairing it from a replica. */
  packId?: string;
}

/** `n/t`: every t-th pack, the n-th share, by its id. A fraction or a size: so many at random. */
export type ReadData =
  | { kind: "all" }
  | { kind: "part"; part: number; of: number }
  | { kind: "fraction"; fraction: number }
  | { kind: "size"; bytes: number };

/** A pack that is to be read, and what the index says of it, in the order of offsets. */
export interface PackToRead {
  id: string;
  /** As it is listed. */
  sizeBytes: number;
  blobs: PackedBlob[];
}

/** Reads packs, several at once. */
export interface PackReaders {
  /** How many packs keep all of them busy. */
  readonly atOnce: number;
  /** What is wrong with it, a sentence each. @throws {BackupError} when it cannot be read */
  verify(pack: PackToRead): Promise<string[]>;
  /** Nothing is read any more when it resolves. */
  close(): Promise<void>;
}

export interface CheckOptions {
  readData?: ReadData;
  /** Asked once it is known what is to be read; undefined: it is read here, a pack after the other. */
  startReaders?(packSizes: readonly number[]): PackReaders | undefined;
  onProblem(problem: Problem): void;
  onPack?(done: number, total: number): void;
  signal?: AbortSignal;
  /** A number in [0, 1). */
  random?(): number;
}

export interface CheckCounts {
  errors: number;
  hints: number;
  snapshots: number;
  packs: number;
  packsRead: number;
  usedBlobs: number;
  unusedBlobs: number;
}

export async function checkRepository(
  repository: Repository,
  options: CheckOptions,
): Promise<CheckCounts> {
  const counts: CheckCounts = {
    errors: 0,
    hints: 0,
    snapshots: 0,
    packs: 0,
    packsRead: 0,
    usedBlobs: 0,
    unusedBlobs: 0,
  };
  const tell = (problem: Problem) => {
    if (problem.isError) counts.errors++;
    else counts.hints++;
    options.onProblem(problem);
  };
  const damaged = (path: string) => (_id: string, error: BackupError) =>
    tell({ isError: true, message: error.message, path: error.path ?? path });

  await tellLeftovers(repository, tell);
  const snapshots = await loadSnapshots(repository, damaged("snapshots"));
  counts.snapshots = snapshots.length;
  const { index, repeated } = await loadIndex(repository, damaged("index"));
  for (const [packId, files] of repeated) {
    const message = `pack ${packId} is listed by several index files: ${files.join(", ")}`;
    tell({ isError: false, message, packId });
  }
  counts.packs = index.packCount;
  const sizes = await checkPacks(repository, index, tell);

  const reader = new BlobReader(repository.store, repository.key, index);
  const walk: Parameters<typeof markUsed>[3] = {
    onProblem: ({ message, isError }) => tell({ isError, message }),
  };
  if (options.signal !== undefined) walk.signal = options.signal;
  const packs = options.readData === undefined
    ? []
    : selectPacks(index, sizes, options.readData, options.random ?? randomFraction);
  const readers = packs.length === 0
    ? undefined
    : options.startReaders?.(packs.map(({ sizeBytes }) => sizeBytes));
  const reading = new PackReading(repository, index, packs, readers ?? readersHere(repository));
  try {
    // Others read packs while trees are looked at here.
    if (readers !== undefined) reading.begin();
    const used = await markUsed(index, reader, snapshots.map(({ tree }) => tree), walk);
    for (const flag of used) if (flag === 1) counts.usedBlobs++;
    counts.unusedBlobs = index.rowCount - counts.usedBlobs;

    reading.begin();
    for (let at = 0; at < packs.length; at++) {
      options.signal?.throwIfAborted();
      for (const problem of await reading.problemsOf(at)) tell(problem);
      options.onPack?.(++counts.packsRead, packs.length);
    }
  } finally {
    await reading.end();
  }
  return counts;
}

async function tellLeftovers(repository: Repository, tell: (problem: Problem) => void) {
  const found = await findLeftovers(repository);
  if (found.length === 0) return;
  const { name } = found[0]!;
  const path = `${repository.store.display}/${name}`;
  const bytes = `${found.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)} bytes`;
  const message = found.length === 1
    ? `${path} (${bytes}) was not written to its end; a prune removes it`
    : `${found.length} files (${bytes}), such as ${path}, were not written to their ends; a prune removes them`;
  tell({ isError: false, message, path });
}

/** Presence and size of every pack; the sizes by number, -1 where there is none. */
async function checkPacks(
  repository: Repository,
  index: BlobIndex,
  tell: (problem: Problem) => void,
): Promise<Float64Array> {
  const sizes = new Float64Array(index.packCount).fill(-1);
  for (const { id, sizeBytes } of await repository.list("pack")) {
    const pack = index.packNumber(id);
    const path = repository.pathOf("pack", id);
    if (pack !== undefined) sizes[pack] = sizeBytes;
    else tell({ isError: false, message: `${path} is in no index`, path, packId: id });
  }
  const { rows, starts } = index.rowsByPack();
  for (let pack = 0; pack < index.packCount; pack++) {
    const packId = index.packId(pack);
    const path = repository.pathOf("pack", packId);
    const own = rows.subarray(starts[pack], starts[pack + 1]);
    const wanted = packSize(
      own.values().map((row) => ({
        lengthBytes: index.lengthOf(row),
        plainBytes: index.plainOf(row),
      })),
    );
    const problem = (message: string, isError = true) => tell({ isError, message, path, packId });
    if (sizes[pack] === -1) problem(`${path} is missing`);
    else if (sizes[pack] !== wanted) {
      problem(`${path} has ${sizes[pack]} bytes, it must have ${wanted}`);
    }
    const trees = own.reduce((sum, row) => sum + (index.typeOf(row) === "tree" ? 1 : 0), 0);
    if (trees > 0 && trees < own.length) {
      problem(`${path} has both trees and data; a prune will part them`, false);
    }
  }
  return sizes;
}

interface SelectedPack {
  /** In the index. */
  number: number;
  sizeBytes: number;
  rows: Uint32Array;
}

/** What says that nothing can be read here any more, and nothing of the pack in hand. */
const ENDS_IT_ALL: ReadonlySet<string> = new Set(["cancelled", "deadline", "internal"]);

/** Packs being read, ahead of who asks for what was found: problems come in the order of the packs, however many read. */
class PackReading {
  readonly #repository: Repository;
  readonly #index: BlobIndex;
  readonly #packs: readonly SelectedPack[];
  readonly #readers: PackReaders;
  readonly #found: PromiseWithResolvers<Problem[]>[];
  #next = 0;
  #underway: Promise<void>[] = [];

  constructor(
    repository: Repository,
    index: BlobIndex,
    packs: readonly SelectedPack[],
    readers: PackReaders,
  ) {
    this.#repository = repository;
    this.#index = index;
    this.#packs = packs;
    this.#readers = readers;
    this.#found = packs.map(() => Promise.withResolvers<Problem[]>());
    // It may be that nobody asks any more.
    for (const { promise } of this.#found) promise.catch(() => {});
  }

  begin(): void {
    while (this.#underway.length < this.#readers.atOnce) this.#underway.push(this.#run());
  }

  /** @throws {BackupError} when nothing can be read any more */
  problemsOf(at: number): Promise<Problem[]> {
    return this.#found[at]!.promise;
  }

  /** What is being read is read to its end. */
  async end(): Promise<void> {
    this.#next = this.#packs.length;
    await this.#readers.close();
    await Promise.all(this.#underway);
  }

  async #run(): Promise<void> {
    while (this.#next < this.#packs.length) {
      const at = this.#next++;
      await this.#read(this.#packs[at]!).then(this.#found[at]!.resolve, (error) => {
        this.#next = this.#packs.length;
        // Whoever waits for a pack after this one has heard of it before.
        for (const { reject } of this.#found.slice(at)) reject(error);
      });
    }
  }

  async #read({ number, sizeBytes, rows }: SelectedPack): Promise<Problem[]> {
    const packId = this.#index.packId(number);
    const path = this.#repository.pathOf("pack", packId);
    const problem = (message: string): Problem => ({ isError: true, message, path, packId });
    try {
      const blobs = Array.from(rows, (row) => this.#index.blob(row));
      const wrong = await this.#readers.verify({ id: packId, sizeBytes, blobs });
      return wrong.map((what) => problem(`${path}: ${what}`));
    } catch (error) {
      if (!(error instanceof BackupError) || ENDS_IT_ALL.has(error.code)) throw error;
      return [problem(error.message)];
    }
  }
}

function readersHere({ store, key }: Repository): PackReaders {
  return {
    atOnce: 1,
    verify: (pack) => readPack(store, key, pack),
    close: () => Promise.resolve(),
  };
}

/** Rooms that are used again: for the pack, and for a blob of it. */
export interface PackRooms {
  pack?: Uint8Array;
  blob?: TakeRoom;
}

/** Reads a pack and says what is wrong with it, a sentence each. @throws {BackupError} when it cannot be read */
export async function readPack(
  store: ObjectStore,
  key: SealingKey,
  { id, blobs }: Pick<PackToRead, "id" | "blobs">,
  rooms: PackRooms = {},
): Promise<string[]> {
  const bytes = await store.get(objectName("pack", id), PACK_MAX_BYTES, rooms.pack);
  return verifyPack(key, { id, bytes }, blobs, rooms.blob);
}

function selectPacks(
  index: BlobIndex,
  sizes: Float64Array,
  wanted: ReadData,
  random: () => number,
): SelectedPack[] {
  const { rows, starts } = index.rowsByPack();
  let packs = Array.from({ length: index.packCount }, (_, number) => ({
    number,
    sizeBytes: sizes[number]!,
    rows: rows.subarray(starts[number], starts[number + 1]),
  })).filter(({ sizeBytes }) => sizeBytes >= 0);
  if (wanted.kind === "part") {
    const { part, of } = wanted;
    return packs.filter(({ number }) =>
      Number.parseInt(index.packId(number).slice(0, 2), 16) % of === part - 1
    );
  }
  if (wanted.kind === "all") return packs;
  const total = sizes.reduce((sum, size) => sum + Math.max(0, size), 0);
  const enough = wanted.kind === "size" ? wanted.bytes : total * wanted.fraction;
  packs = shuffled(packs, random);
  let bytes = 0;
  return packs.filter(({ sizeBytes }) => {
    if (bytes >= enough) return false;
    bytes += sizeBytes;
    return true;
  });
}

function shuffled<T>(list: T[], random: () => number): T[] {
  for (let i = list.length - 1; i > 0; i--) {
    const k = Math.floor(random() * (i + 1));
    [list[i], list[k]] = [list[k]!, list[i]!];
  }
  return list;
}

/** `5/10`, `2.5%`, `50M`; undefined for what is none of them. */
export function parseReadDataSubset(text: string): ReadData | undefined {
  const part = /^(\d+)\/(\d+)$/.exec(text);
  if (part !== null) {
    const [n, of] = [Number(part[1]), Number(part[2])];
    return n >= 1 && n <= of && of <= 256 ? { kind: "part", part: n, of } : undefined;
  }
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text);
  if (percent !== null) {
    const fraction = Number(percent[1]) / 100;
    return fraction > 0 && fraction <= 1 ? { kind: "fraction", fraction } : undefined;
  }
  const size = /^(\d+)([KMGT]?)$/i.exec(text);
  if (size === null || Number(size[1]) === 0) return undefined;
  const power = " KMGT".indexOf(size[2]!.toUpperCase() || " ");
  return { kind: "size", bytes: Number(size[1]) * 1024 ** power };
}
