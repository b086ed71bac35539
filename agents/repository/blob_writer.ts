/**
 * Storing blobs: hash, look up, compress, seal, pack. Rule: packs are durable before an index file lists them, and the index is
 * before `flush` returns; after a failure nothing more is stored. Blobs may be sealed elsewhere, on other threads: what is
 * known and what is not is decided here alone, by `claim`.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import type { BlobIndex } from "./blob_index.ts";
import { type Compression, COMPRESSION_LEVELS } from "./compression.ts";
import { IdSet } from "./id_set.ts";
import { INDEX_BLOBS_MAX, INDEX_JSON_BYTES, IndexEncoder } from "./index_file.ts";
import { objectName } from "./layout.ts";
import { idOf, isId } from "./object_id.ts";
import {
  type FinishedPack,
  type LooseBlobs,
  newPackRoom,
  PACK_BLOBS_MAX,
  PACK_TARGET_BYTES,
  PackBuilder,
} from "./pack_builder.ts";
import type { BlobType } from "./pack_header.ts";
import type { Repository } from "./repository.ts";

/** What a killed backup has to read again at most. */
export const INDEX_EVERY_MS = 5 * 60_000;
/** Packs on their way to the store, beside the two that are being filled. */
const PACKS_UNDERWAY_MAX = 1;
/** A file is written when it has enough, and the last pack may be of many. */
const UNLISTED_BYTES = (INDEX_BLOBS_MAX + PACK_BLOBS_MAX) * INDEX_JSON_BYTES;
/** Of trees: while one is stored and read back the next is made, and few folders have so many. */
const TREE_PACK_BYTES = 8 << 20;
/** Memory of stored packs that is kept for the next ones. */
const ROOMS_KEPT = 2;

/** Where packs and index files go: one repository, or several replicas. */
export interface PackSink {
  /** Durable when this resolves. Its memory stays as it is until `release` is called. */
  storePack(pack: FinishedPack): Promise<void>;
  /** Durable when this resolves; all packs in it are. */
  storeIndex(id: string, bytes: Uint8Array): Promise<void>;
}

export interface BlobWriterOptions {
  clock: Clock;
  compression?: Compression;
  packTargetBytes?: number;
  sink?: PackSink;
}

export interface WriterCounts {
  dataBlobs: number;
  treeBlobs: number;
  /** Plain bytes of new blobs. */
  addedBytes: number;
  /** The same as stored, without headers. */
  addedStoredBytes: number;
}

export interface SavedBlob {
  id: string;
  isNew: boolean;
}

export class BlobWriter {
  readonly counts: WriterCounts = {
    dataBlobs: 0,
    treeBlobs: 0,
    addedBytes: 0,
    addedStoredBytes: 0,
  };
  /** Of data, for whoever compresses it elsewhere; 0: not at all. */
  readonly dataLevel: number;
  readonly packTargetBytes: number;
  readonly #repository: Repository;
  readonly #index: BlobIndex;
  readonly #clock: Clock;
  readonly #sink: PackSink;
  readonly #levels: Readonly<Record<BlobType, number>>;
  readonly #builders: Readonly<Record<BlobType, PackBuilder>>;
  /** Blobs of packs that are not durable yet. */
  readonly #pending: Readonly<Record<BlobType, IdSet>> = { data: new IdSet(), tree: new IdSet() };
  readonly #underway = new Set<Promise<void>>();
  readonly #rooms: SharedArrayBuffer[] = [];
  /** Packs that are durable and in no index file. */
  readonly #unlisted = new IndexEncoder(UNLISTED_BYTES);
  #listedAtMs: number;
  #failure: { error: unknown } | undefined;

  constructor(repository: Repository, index: BlobIndex, options: BlobWriterOptions) {
    this.#repository = repository;
    this.#index = index;
    this.#clock = options.clock;
    this.#sink = options.sink ?? sinkOf(repository);
    const level = COMPRESSION_LEVELS[options.compression ?? "auto"];
    const treeLevel = level === 0 ? COMPRESSION_LEVELS.auto : level;
    const isOld = repository.config.version === 1;
    this.#levels = isOld ? { data: 0, tree: 0 } : { data: level, tree: treeLevel };
    this.dataLevel = this.#levels.data;
    this.packTargetBytes = options.packTargetBytes ?? PACK_TARGET_BYTES;
    const make = (targetBytes: number) =>
      new PackBuilder({ targetBytes, takeRoom: () => this.#takeRoom() });
    this.#builders = {
      data: make(this.packTargetBytes),
      tree: make(Math.min(this.packTargetBytes, TREE_PACK_BYTES)),
    };
    this.#listedAtMs = options.clock.monotonicMs();
  }

  /** True when it need not be stored again. */
  has(type: BlobType, id: string): boolean {
    return this.#index.has(type, id) || this.#pending[type].has(id);
  }

  /** The same for data, by an id in hex digits as they stand in a tree; false when they are none. */
  hasData(id: Uint8Array): boolean {
    if (this.#index.hasData(id)) return true;
    const text = String.fromCharCode(...id);
    return isId(text) && this.#pending.data.has(text);
  }

  /** Stores a blob unless it is known. `plain` is the caller's again when this has been called. */
  async save(type: BlobType, plain: Uint8Array): Promise<SavedBlob> {
    this.#requireHealthy();
    const id = idOf(plain);
    if (this.has(type, id)) return { id, isNew: false };
    this.#add(type, id, plain);
    if (this.#builders[type].isFull) await this.#closePack(type);
    return { id, isNew: true };
  }

  /** Stores a blob under way from elsewhere although it may be known: it moves to another pack. */
  async move(type: BlobType, id: string, plain: Uint8Array): Promise<void> {
    this.#requireHealthy();
    if (this.#pending[type].has(id)) return;
    this.#add(type, id, plain);
    if (this.#builders[type].isFull) await this.#closePack(type);
  }

  /**
   * Whether the caller has to seal this blob elsewhere. From then on it counts as known, so whoever gets true must bring it:
   * within a pack to `storePack`, or by `addLoose`.
   */
  claim(type: BlobType, id: string): boolean {
    this.#requireHealthy();
    if (this.has(type, id)) return false;
    this.#pending[type].add(id);
    return true;
  }

  /** Counts blobs that were claimed and are sealed now. */
  countSealed(type: BlobType, blobs: number, plainBytes: number, storedBytes: number): void {
    this.counts[type === "tree" ? "treeBlobs" : "dataBlobs"] += blobs;
    this.counts.addedBytes += plainBytes;
    this.counts.addedStoredBytes += storedBytes;
  }

  /** Stores a pack of claimed blobs; resolves when there is room for another. */
  async storePack(pack: FinishedPack): Promise<void> {
    this.#requireHealthy();
    await this.#begin(pack);
  }

  /** Takes over claimed and sealed blobs that fill no pack of their own. Their bytes are copied. */
  async addLoose({ blobs, bytes }: LooseBlobs): Promise<void> {
    for (const { type, id, offset, lengthBytes, plainBytes } of blobs) {
      this.#requireHealthy();
      const builder = this.#builders[type];
      builder.add(type, id, bytes.subarray(offset, offset + lengthBytes), plainBytes);
      if (builder.isFull) await this.#closePack(type);
    }
  }

  /** What was saved until now is durable and listed when this resolves; others may go on saving. */
  async checkpoint(): Promise<void> {
    for (const type of ["data", "tree"] as const) await this.#closePack(type);
    await Promise.all(this.#underway);
    this.#requireHealthy();
    await this.#writeIndex();
  }

  /** Everything saved is durable and listed when this resolves. */
  async flush(): Promise<void> {
    for (const type of ["data", "tree"] as const) await this.#closePack(type);
    await this.#settle(0);
    await this.#writeIndex();
  }

  #add(type: BlobType, id: string, plain: Uint8Array): void {
    const level = this.#levels[type];
    const packed = level > 0 && plain.length > 0
      ? this.#repository.kernels.compress(plain, level)
      : undefined;
    // Trees are always compressed: in version 2 a prune would write them again otherwise.
    const isSmaller = packed !== undefined && (type === "tree" || packed.length < plain.length);
    const storedBytes = this.#builders[type].seal(
      this.#repository.key,
      type,
      id,
      isSmaller ? packed : plain,
      isSmaller ? plain.length : 0,
    );
    this.#pending[type].add(id);
    this.countSealed(type, 1, plain.length, storedBytes);
  }

  #takeRoom(): SharedArrayBuffer {
    return this.#rooms.pop() ?? newPackRoom();
  }

  #keepRoom(pack: FinishedPack): void {
    const { buffer } = pack.parts[0]!;
    if (this.#rooms.length < ROOMS_KEPT && buffer instanceof SharedArrayBuffer) {
      this.#rooms.push(buffer);
    }
  }

  async #closePack(type: BlobType): Promise<void> {
    const pack = this.#builders[type].finish(this.#repository.key);
    if (pack === undefined) return;
    await this.#begin({ ...pack, release: once(() => this.#keepRoom(pack)) });
  }

  async #begin(pack: FinishedPack): Promise<void> {
    const storing = this.#store(pack).catch((error) => {
      this.#failure ??= { error };
    }).finally(() => this.#underway.delete(storing));
    this.#underway.add(storing);
    await this.#settle(PACKS_UNDERWAY_MAX);
    const isDue = this.#clock.monotonicMs() - this.#listedAtMs >= INDEX_EVERY_MS;
    if (isDue || this.#unlisted.blobCount >= INDEX_BLOBS_MAX) await this.#writeIndex();
  }

  async #store(pack: FinishedPack): Promise<void> {
    await this.#sink.storePack(pack);
    const number = this.#index.addPack(pack.id);
    for (const blob of pack.blobs) {
      this.#index.add(number, blob);
      this.#pending[blob.type].delete(blob.id);
    }
    this.#unlisted.add(pack);
  }

  async #settle(atMost: number): Promise<void> {
    while (this.#underway.size > atMost) await Promise.race(this.#underway);
    this.#requireHealthy();
  }

  async #writeIndex(): Promise<void> {
    this.#listedAtMs = this.#clock.monotonicMs();
    if (this.#unlisted.blobCount === 0) return;
    try {
      const { id, bytes } = this.#repository.sealFile(this.#unlisted.finish());
      await this.#sink.storeIndex(id, bytes);
    } catch (error) {
      this.#failure ??= { error };
      throw error;
    }
  }

  #requireHealthy(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

export function sinkOf({ store }: Repository): PackSink {
  return {
    async storePack(pack) {
      await store.put(objectName("pack", pack.id), pack.parts);
      pack.release?.();
    },
    storeIndex: (id, bytes) => store.put(objectName("index", id), [bytes]),
  };
}

function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) act();
    isDone = true;
  };
}
