/**
 * A thread that reads packs of one repository and says what is wrong with them. Rule: it only reads, and takes no more memory
 * for many packs than for one.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import { openLocalObjectStore } from "../destinations/local_object_store.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import { createKernels } from "../kernels/mod.ts";
import { Garbage, HASH_GARBAGE_BYTES } from "../platform/garbage.ts";
import type { Posix } from "../platform/posix.ts";
import {
  type KeyMaterial,
  type PackedBlob,
  type PackToRead,
  readPack,
  SealingKey,
} from "../repository/mod.ts";
import { countingPosix } from "../threads/counting_posix.ts";
import type { Methods, ThreadCells } from "../threads/thread_rpc.ts";

export interface PackThreadStart {
  /** Of the repository. */
  folder: string;
  /** Secret. */
  master: KeyMaterial;
}

/** A pack and what the index says is in it, as columns, since there may be many. */
export interface VerifyPackRequest {
  id: string;
  sizeBytes: number;
  /** Of all blobs, one after the other. */
  ids: string;
  /** 1 for a tree. */
  trees: Uint8Array;
  offsets: Uint32Array;
  lengths: Uint32Array;
  plains: Uint32Array;
}

/** Larger packs and blobs are rare, and memory for them is not kept. */
export const PACK_ROOM_MAX_BYTES = 32 << 20;
const BLOB_ROOM_MAX_BYTES = 16 << 20;
const ID_DIGITS = 64;

export function openPackThread(raw: Posix, start: PackThreadStart, cells: ThreadCells): Methods {
  const requireWanted = () => {
    if (Atomics.load(cells.cancelled, 0) !== 0) throw new BackupError("cancelled", "Cancelled");
  };
  const posix = countingPosix(raw, cells);
  const key = new SealingKey(createKernels(), start.master);
  const garbage = new Garbage();
  const pack = new Room(PACK_ROOM_MAX_BYTES, garbage);
  const blob = new Room(BLOB_ROOM_MAX_BYTES, garbage);
  let store: ObjectStore | undefined;
  return {
    async verify(request: VerifyPackRequest): Promise<string[]> {
      requireWanted();
      store ??= openLocalObjectStore(posix, start.folder);
      const { id, sizeBytes } = request;
      const blobs = blobsOf(request);
      const isRare = sizeBytes > PACK_ROOM_MAX_BYTES;
      garbage.made((blobs.length + 1) * HASH_GARBAGE_BYTES + (isRare ? sizeBytes : 0));
      return await readPack(store, key, { id, blobs }, {
        ...(isRare ? {} : { pack: pack.take(sizeBytes) }),
        blob: (bytes) => {
          // A pack of well compressed blobs takes long without the disk.
          Atomics.add(cells.operations, 0, 1);
          requireWanted();
          return blob.take(bytes);
        },
      });
    },
    close(): void {
      store?.close();
      store = undefined;
    },
  };
}

/** Memory that is given again and again. */
class Room {
  readonly #maxBytes: number;
  readonly #garbage: Garbage;
  #bytes = new Uint8Array(0);

  constructor(maxBytes: number, garbage: Garbage) {
    this.#maxBytes = maxBytes;
    this.#garbage = garbage;
  }

  take(bytes: number): Uint8Array {
    if (bytes <= this.#bytes.length) return this.#bytes;
    if (bytes > this.#maxBytes) {
      this.#garbage.made(bytes);
      return new Uint8Array(bytes);
    }
    this.#garbage.made(this.#bytes.length);
    return this.#bytes = new Uint8Array(Math.min(this.#maxBytes, Math.ceil(bytes * 1.25)));
  }
}

export function verifyRequestOf({ id, sizeBytes, blobs }: PackToRead): VerifyPackRequest {
  return {
    id,
    sizeBytes,
    ids: blobs.map((blob) => blob.id).join(""),
    trees: Uint8Array.from(blobs, ({ type }) => (type === "tree" ? 1 : 0)),
    offsets: Uint32Array.from(blobs, ({ offset }) => offset),
    lengths: Uint32Array.from(blobs, ({ lengthBytes }) => lengthBytes),
    plains: Uint32Array.from(blobs, ({ plainBytes }) => plainBytes),
  };
}

function blobsOf({ ids, trees, offsets, lengths, plains }: VerifyPackRequest): PackedBlob[] {
  return Array.from(trees, (tree, i) => ({
    type: tree === 1 ? "tree" : "data",
    id: ids.slice(i * ID_DIGITS, (i + 1) * ID_DIGITS),
    offset: offsets[i]!,
    lengthBytes: lengths[i]!,
    plainBytes: plains[i]!,
  }));
}
