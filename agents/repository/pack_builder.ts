/**
 * Collects sealed blobs to a pack, in one piece of shared memory. Rule: a finished pack has read its own header back before
 * anyone stores it.
 */
import { createHash, type Hash } from "node:crypto";
import { IntegrityError } from "../../protocol/base/errors.ts";
import {
  type BlobType,
  decodeHeader,
  encodeHeader,
  encodeLength,
  entryBytes,
  HEADER_MAX_BYTES,
  type PackedBlob,
} from "./pack_header.ts";
import { SEAL_OVERHEAD_BYTES, type SealingKey } from "./sealing_key.ts";

export const PACK_TARGET_BYTES = 16 << 20;
/** What is known of a pack's blobs takes memory in three threads: with tiny ones far more than the pack has bytes. */
export const PACK_BLOBS_MAX = 16_384;
const HEADER_ROOM_BYTES = 1024;
const ROOM_FIRST_BYTES = 64 << 10;
const ROOM_STEP_BYTES = 2 << 20;
/** One blob of 8 MiB more than the target, and the header. */
const ROOM_MAX_BYTES = PACK_TARGET_BYTES + (8 << 20) + (256 << 10);

export interface FinishedPack {
  id: string;
  blobs: readonly PackedBlob[];
  /** One after the other they are the pack; the first is all of it, in shared memory. */
  parts: readonly Uint8Array[];
  sizeBytes: number;
  /** Nobody looks at the parts any more: their memory may be used again. Whoever never calls it does no harm. */
  release?(): void;
}

/** Memory that grows to what most packs take. It begins at a page, which writing past the page cache needs. */
export function newPackRoom(): SharedArrayBuffer {
  return new SharedArrayBuffer(ROOM_FIRST_BYTES, { maxByteLength: ROOM_MAX_BYTES });
}

/** Blobs on their way to a pack. */
export interface LooseBlobs {
  blobs: readonly PackedBlob[];
  /** In the order of the blobs, without gaps. */
  bytes: Uint8Array;
}

export interface PackBuilderOptions {
  targetBytes?: number;
  /** Where the next pack is made: what `newPackRoom` gave, or new memory of it by default. */
  takeRoom?: () => SharedArrayBuffer;
}

export class PackBuilder {
  readonly #targetBytes: number;
  readonly #takeRoom: () => SharedArrayBuffer;
  #blobs: PackedBlob[] = [];
  #room: Uint8Array<SharedArrayBuffer> | undefined;
  #hash: Hash = createHash("sha256");
  #sizeBytes = 0;
  #headerBytes = 0;

  constructor({ targetBytes = PACK_TARGET_BYTES, takeRoom }: PackBuilderOptions = {}) {
    this.#targetBytes = targetBytes;
    this.#takeRoom = takeRoom ?? newPackRoom;
  }

  get blobCount(): number {
    return this.#blobs.length;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** No more should be added. */
  get isFull(): boolean {
    return this.#sizeBytes >= this.#targetBytes || this.#blobs.length >= PACK_BLOBS_MAX ||
      this.#headerBytes + HEADER_ROOM_BYTES > HEADER_MAX_BYTES;
  }

  /** Adds a blob that is sealed already. */
  add(type: BlobType, id: string, sealed: Uint8Array, plainBytes: number): void {
    this.#reserve(sealed.length).set(sealed);
    this.#added(type, id, sealed.length, plainBytes);
  }

  /** Seals and adds; the stored size. `plainBytes` is 0 when `payload` is not compressed. */
  seal(
    key: SealingKey,
    type: BlobType,
    id: string,
    payload: Uint8Array,
    plainBytes: number,
  ): number {
    const lengthBytes = payload.length + SEAL_OVERHEAD_BYTES;
    key.sealInto(payload, this.#reserve(lengthBytes));
    this.#added(type, id, lengthBytes, plainBytes);
    return lengthBytes;
  }

  /** The pack, or undefined when there is nothing in it; the builder is empty afterwards. */
  finish(key: SealingKey): FinishedPack | undefined {
    if (this.#blobs.length === 0) return undefined;
    const plain = encodeHeader(this.#blobs);
    const header = this.#reserve(plain.length + SEAL_OVERHEAD_BYTES);
    key.sealInto(plain, header);
    requireSame(key.open(header), this.#blobs);
    this.#advance(header.length);
    const length = encodeLength(header.length);
    this.#reserve(length.length).set(length);
    this.#advance(length.length);
    const pack = {
      id: this.#hash.digest("hex"),
      blobs: this.#blobs,
      parts: [this.#room!.subarray(0, this.#sizeBytes)],
      sizeBytes: this.#sizeBytes,
    };
    this.#clear();
    return pack;
  }

  /** What there is, for another builder; undefined when there is nothing. The builder is empty afterwards. */
  takeLoose(): LooseBlobs | undefined {
    if (this.#blobs.length === 0) return undefined;
    const loose = { blobs: this.#blobs, bytes: this.#room!.subarray(0, this.#sizeBytes) };
    this.#clear();
    return loose;
  }

  #clear(): void {
    this.#blobs = [];
    this.#room = undefined;
    this.#hash = createHash("sha256");
    this.#sizeBytes = 0;
    this.#headerBytes = 0;
  }

  /** Room for the next bytes. */
  #reserve(bytes: number): Uint8Array {
    const end = this.#sizeBytes + bytes;
    this.#room ??= wholeOf(this.#takeRoom());
    if (end > this.#room.length) {
      const { buffer } = this.#room;
      if (end <= buffer.maxByteLength) {
        buffer.grow(Math.min(buffer.maxByteLength, end + ROOM_STEP_BYTES - end % ROOM_STEP_BYTES));
        this.#room = wholeOf(buffer);
      } else {
        // A tree larger than anybody has.
        const larger = new Uint8Array(new SharedArrayBuffer(Math.ceil(end * 1.5)));
        larger.set(this.#room.subarray(0, this.#sizeBytes));
        this.#room = larger;
      }
    }
    return this.#room.subarray(this.#sizeBytes, end);
  }

  #added(type: BlobType, id: string, lengthBytes: number, plainBytes: number): void {
    this.#blobs.push({ type, id, offset: this.#sizeBytes, lengthBytes, plainBytes });
    this.#headerBytes += entryBytes(plainBytes);
    this.#advance(lengthBytes);
  }

  /** Hashes what was written where `#reserve` said. */
  #advance(bytes: number): void {
    const end = this.#sizeBytes + bytes;
    this.#hash.update(this.#room!.subarray(this.#sizeBytes, end));
    this.#sizeBytes = end;
  }
}

function requireSame(plain: Uint8Array | undefined, blobs: readonly PackedBlob[]): void {
  const read = plain === undefined ? undefined : decodeHeader(plain);
  const same = read?.length === blobs.length && read.every((blob, i) => {
    const wrote = blobs[i]!;
    return blob.id === wrote.id && blob.type === wrote.type && blob.offset === wrote.offset &&
      blob.lengthBytes === wrote.lengthBytes && blob.plainBytes === wrote.plainBytes;
  });
  if (!same) {
    throw new IntegrityError("A pack's header does not read as it was written", {
      hint: "The memory of this machine may be faulty",
    });
  }
}

/** Of a length that stays when the memory grows. */
function wholeOf(buffer: SharedArrayBuffer): Uint8Array<SharedArrayBuffer> {
  return new Uint8Array(buffer, 0, buffer.byteLength);
}
