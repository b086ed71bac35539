/**
 * Reading blobs out of packs. Rule: no byte is handed out that does not hash to its name; where a copy is damaged or gone the
 * next one is asked, in this repository and then in its replicas.
 */
import { BackupError, IntegrityError } from "../../protocol/base/errors.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import type { TakeRoom } from "../kernels/mod.ts";
import { type BlobIndex, NO_ROW } from "./blob_index.ts";
import type { BlobSource } from "./blob_source.ts";
import { objectName } from "./layout.ts";
import { idOf, shortId } from "./object_id.ts";
import type { BlobType } from "./pack_header.ts";
import { SEAL_OVERHEAD_BYTES, type SealingKey } from "./sealing_key.ts";

/** Nobody writes larger data blobs; a tree of a folder with a million entries has half of its limit. */
const PLAIN_MAX_BYTES: Readonly<Record<BlobType, number>> = { data: 128 << 20, tree: 512 << 20 };
/** Read at once, since the next blob wanted is mostly near it; many are kept, since restic mixes files that it reads at once. */
const WINDOW_BYTES = 1 << 20;
const WINDOWS_KEPT = 32;
/** Enough for who reads trees alone, folder by folder. */
export const WINDOWS_FOR_TREES = 4;
/** Larger blobs are rare, and memory for them is not kept. */
const ALONE_MAX_BYTES = 16 << 20;

export interface SealedBlob {
  type: BlobType;
  id: string;
  /** 0 when it is not compressed. */
  plainBytes: number;
}

/** The plain bytes, in `room`. @throws {IntegrityError} whose message says what is wrong, not where */
export function openBlob(
  key: SealingKey,
  sealed: Uint8Array,
  blob: SealedBlob,
  room?: TakeRoom,
): Uint8Array {
  const { type, id, plainBytes } = blob;
  const opened = plainBytes > 0 ? key.openBriefly(sealed) : key.open(sealed, room);
  if (opened === undefined) throw new IntegrityError(`${type} blob ${id} is damaged`);
  if (plainBytes > PLAIN_MAX_BYTES[type]) {
    throw new IntegrityError(`${type} blob ${id} is too large`);
  }
  const plain = plainBytes > 0 ? key.kernels.decompress(opened, plainBytes, room) : opened;
  if (plain === undefined || (plainBytes > 0 && plain.length !== plainBytes)) {
    throw new IntegrityError(`${type} blob ${id} does not decompress to its size`);
  }
  if (idOf(plain) !== id) throw new IntegrityError(`${type} blob ${id} has other content`);
  return plain;
}

interface Window {
  /** Store, pack and beginning. */
  pack: string;
  offset: number;
  bytes: Uint8Array;
  /** Ours, where the bytes may lie; what a store gave by itself may be the store's. */
  room: Uint8Array | undefined;
}

export interface BlobReaderOptions {
  /** Of replicas, in the order in which to ask them. */
  fallbacks?: readonly ObjectStore[];
  /** Pieces of packs that are kept, of a megabyte each. */
  windows?: number;
  /** Told of every copy that could not be used, with the pack it was in. */
  onDamage?(error: BackupError, packId: string): void;
}

export class BlobReader implements BlobSource {
  readonly #index: BlobIndex;
  readonly #key: SealingKey;
  readonly #stores: readonly ObjectStore[];
  readonly #options: BlobReaderOptions;
  readonly #windowsKept: number;
  /** Newest last. */
  readonly #windows: Window[] = [];
  /** Where what lies in no window is read. */
  #alone = new Uint8Array(0);
  /** Blobs that are being loaded at the same time. */
  #loading = 0;

  constructor(
    store: ObjectStore,
    key: SealingKey,
    index: BlobIndex,
    options: BlobReaderOptions = {},
  ) {
    this.#index = index;
    this.#key = key;
    this.#stores = [store, ...options.fallbacks ?? []];
    this.#options = options;
    this.#windowsKept = options.windows ?? WINDOWS_KEPT;
  }

  sizeOf(type: BlobType, id: string): number | undefined {
    return this.#index.sizeOf(type, id);
  }

  async load(type: BlobType, id: string, room?: TakeRoom): Promise<Uint8Array> {
    this.#loading++;
    try {
      return await this.#load(type, id, room);
    } finally {
      this.#loading--;
    }
  }

  async #load(type: BlobType, id: string, room: TakeRoom | undefined): Promise<Uint8Array> {
    let failure: BackupError | undefined;
    for (const store of this.#stores) {
      for (let row = this.#index.find(type, id); row !== NO_ROW; row = this.#index.findNext(row)) {
        const packId = this.#index.packId(this.#index.packOf(row));
        try {
          return await this.#loadRow(store, row, packId, { type, id }, room);
        } catch (error) {
          if (!(error instanceof BackupError)) throw error;
          const path = `${store.display}/${objectName("pack", packId)}`;
          const told = error.path !== undefined ? error : new IntegrityError(
            `${path}: ${error.message}`,
            { path, cause: error },
          );
          failure ??= told;
          this.#options.onDamage?.(told, packId);
        }
      }
    }
    if (failure === undefined) {
      throw new BackupError("not_found", `${type} blob ${id} is in no index`);
    }
    throw failure;
  }

  async #loadRow(
    store: ObjectStore,
    row: number,
    packId: string,
    { type, id }: { type: BlobType; id: string },
    room: TakeRoom | undefined,
  ): Promise<Uint8Array> {
    const lengthBytes = this.#index.lengthOf(row);
    if (lengthBytes > PLAIN_MAX_BYTES[type] + SEAL_OVERHEAD_BYTES) {
      throw new IntegrityError(`${type} blob ${shortId(id)} cannot have ${lengthBytes} bytes`);
    }
    const plainBytes = this.#index.plainOf(row);
    const sealed = await this.#read(store, packId, this.#index.offsetOf(row), lengthBytes);
    return openBlob(this.#key, sealed, { type, id, plainBytes }, room);
  }

  async #read(
    store: ObjectStore,
    packId: string,
    offset: number,
    lengthBytes: number,
  ): Promise<Uint8Array> {
    const name = objectName("pack", packId);
    if (lengthBytes >= WINDOW_BYTES) return this.#readAlone(store, name, offset, lengthBytes);
    const pack = `${this.#stores.indexOf(store)}/${packId}`;
    const kept = this.#windows.findIndex((window) =>
      window.pack === pack && window.offset <= offset &&
      offset + lengthBytes <= window.offset + window.bytes.length
    );
    let window = kept >= 0 ? this.#windows.splice(kept, 1)[0]! : undefined;
    if (window === undefined) {
      // From a fixed place: trees are read in the reverse of the order in which they were written.
      const start = offset - offset % WINDOW_BYTES;
      // What lies in two of them is read alone, not with all of the first once more.
      if (offset + lengthBytes > start + WINDOW_BYTES) {
        return await this.#readAlone(store, name, offset, lengthBytes);
      }
      const info = await store.stat(name);
      // The range that is asked for gives the right error when the pack is missing or cut off.
      const end = Math.max(
        offset + lengthBytes,
        Math.min(start + WINDOW_BYTES, info?.sizeBytes ?? 0),
      );
      const room = this.#takeRoom();
      const bytes = await rangeOrUndefined(store, name, start, end - start, room);
      // A bad sector beside it is no reason to give up a blob.
      if (bytes === undefined) return await store.getRange(name, offset, lengthBytes);
      window = { pack, offset: start, bytes, room };
    }
    this.#windows.push(window);
    return window.bytes.subarray(offset - window.offset, offset - window.offset + lengthBytes);
  }

  #readAlone(
    store: ObjectStore,
    name: string,
    offset: number,
    lengthBytes: number,
  ): Promise<Uint8Array> {
    if (this.#loading > 1 || lengthBytes > ALONE_MAX_BYTES) {
      return store.getRange(name, offset, lengthBytes);
    }
    if (this.#alone.length < lengthBytes) {
      this.#alone = new Uint8Array(Math.ceil(lengthBytes * 1.25));
    }
    return store.getRange(name, offset, lengthBytes, this.#alone);
  }

  /** That of the oldest window, which goes: memory that is given up each time would wait for a collection. */
  #takeRoom(): Uint8Array | undefined {
    const oldest = this.#windows.length >= this.#windowsKept ? this.#windows.shift() : undefined;
    // Somebody may be about to read what is in it.
    if (this.#loading > 1) return undefined;
    return oldest?.room ?? new Uint8Array(WINDOW_BYTES);
  }
}

/** Undefined when the disk cannot read some of it. */
async function rangeOrUndefined(
  store: ObjectStore,
  name: string,
  offset: number,
  lengthBytes: number,
  room: Uint8Array | undefined,
): Promise<Uint8Array | undefined> {
  try {
    return await store.getRange(name, offset, lengthBytes, room);
  } catch (error) {
    if (error instanceof BackupError && error.code === "io") return undefined;
    throw error;
  }
}
