/** Collects sealed blobs to a pack. Rule: a finished pack has read its own header back before anyone stores it. */
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
import type { SealingKey } from "./sealing_key.ts";

export const PACK_TARGET_BYTES = 16 << 20;
const HEADER_ROOM_BYTES = 1024;

export interface FinishedPack {
  id: string;
  blobs: readonly PackedBlob[];
  /** One after the other they are the pack. */
  parts: readonly Uint8Array[];
  sizeBytes: number;
}

export class PackBuilder {
  readonly #targetBytes: number;
  #blobs: PackedBlob[] = [];
  #parts: Uint8Array[] = [];
  #hash: Hash = createHash("sha256");
  #sizeBytes = 0;
  #headerBytes = 0;

  constructor(targetBytes = PACK_TARGET_BYTES) {
    this.#targetBytes = targetBytes;
  }

  get blobCount(): number {
    return this.#blobs.length;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** No more should be added. */
  get isFull(): boolean {
    return this.#sizeBytes >= this.#targetBytes ||
      this.#headerBytes + HEADER_ROOM_BYTES > HEADER_MAX_BYTES;
  }

  /** The bytes are kept, not copied. */
  add(type: BlobType, id: string, sealed: Uint8Array, plainBytes: number): void {
    const lengthBytes = sealed.length;
    this.#blobs.push({ type, id, offset: this.#sizeBytes, lengthBytes, plainBytes });
    this.#headerBytes += entryBytes(plainBytes);
    this.#append(sealed);
  }

  /** The pack, or undefined when there is nothing in it; the builder is empty afterwards. */
  finish(key: SealingKey): FinishedPack | undefined {
    if (this.#blobs.length === 0) return undefined;
    const header = key.seal(encodeHeader(this.#blobs));
    requireSame(key.open(header), this.#blobs);
    this.#append(header);
    this.#append(encodeLength(header.length));
    const pack = {
      id: this.#hash.digest("hex"),
      blobs: this.#blobs,
      parts: this.#parts,
      sizeBytes: this.#sizeBytes,
    };
    this.#blobs = [];
    this.#parts = [];
    this.#hash = createHash("sha256");
    this.#sizeBytes = 0;
    this.#headerBytes = 0;
    return pack;
  }

  #append(part: Uint8Array): void {
    this.#hash.update(part);
    this.#parts.push(part);
    this.#sizeBytes += part.length;
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
