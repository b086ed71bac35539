/** The list of blobs at the end of a pack. Rule: it must account for every byte of the pack, else the pack is damaged. */
import { SEAL_OVERHEAD_BYTES } from "./sealing_key.ts";

export type BlobType = "data" | "tree";

export interface PackedBlob {
  type: BlobType;
  id: string;
  offset: number;
  /** Sealed. */
  lengthBytes: number;
  /** 0 when the blob is not compressed. */
  plainBytes: number;
}

const ENTRY_BYTES = 37;
const COMPRESSED_ENTRY_BYTES = 41;
const LENGTH_BYTES = 4;
/** Of the sealed header. */
export const HEADER_MAX_BYTES = 16 << 20;
/** What a pack has beside its blobs and entries. */
export const PACK_OVERHEAD_BYTES = SEAL_OVERHEAD_BYTES + LENGTH_BYTES;
/** Most headers are within the last bytes of this number, so one read finds both length and header. */
export const HEADER_GUESS_BYTES = 16 << 10;

export function entryBytes(plainBytes: number): number {
  return plainBytes > 0 ? COMPRESSED_ENTRY_BYTES : ENTRY_BYTES;
}

/** Blobs must be in the order in which they stand. */
export function encodeHeader(blobs: readonly PackedBlob[]): Uint8Array {
  const bytes = new Uint8Array(blobs.reduce((sum, blob) => sum + entryBytes(blob.plainBytes), 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const { type, id, lengthBytes, plainBytes } of blobs) {
    view.setUint8(at, (type === "tree" ? 1 : 0) + (plainBytes > 0 ? 2 : 0));
    view.setUint32(at + 1, lengthBytes, true);
    at += 5;
    if (plainBytes > 0) {
      view.setUint32(at, plainBytes, true);
      at += 4;
    }
    bytes.subarray(at, at + 32).setFromHex(id);
    at += 32;
  }
  return bytes;
}

/** Undefined for what is no header. */
export function decodeHeader(plain: Uint8Array): PackedBlob[] | undefined {
  const view = new DataView(plain.buffer, plain.byteOffset, plain.length);
  const blobs: PackedBlob[] = [];
  let offset = 0;
  for (let at = 0; at < plain.length;) {
    const kind = view.getUint8(at);
    if (kind > 3) return undefined;
    const isCompressed = kind >= 2;
    if (at + (isCompressed ? COMPRESSED_ENTRY_BYTES : ENTRY_BYTES) > plain.length) return undefined;
    const lengthBytes = view.getUint32(at + 1, true);
    const plainBytes = isCompressed ? view.getUint32(at + 5, true) : 0;
    if (lengthBytes < SEAL_OVERHEAD_BYTES) return undefined;
    at += isCompressed ? 9 : 5;
    blobs.push({
      type: (kind & 1) === 1 ? "tree" : "data",
      id: plain.subarray(at, at + 32).toHex(),
      offset,
      lengthBytes,
      plainBytes,
    });
    at += 32;
    offset += lengthBytes;
  }
  return blobs;
}

/** The length of the sealed header that a pack's last four bytes say; undefined when that cannot be. */
export function headerLength(lastBytes: Uint8Array, packBytes: number): number | undefined {
  const view = new DataView(lastBytes.buffer, lastBytes.byteOffset, lastBytes.length);
  const length = view.getUint32(lastBytes.length - LENGTH_BYTES, true);
  const fits = length > SEAL_OVERHEAD_BYTES && length <= HEADER_MAX_BYTES &&
    length + LENGTH_BYTES <= packBytes;
  return fits ? length : undefined;
}

export function encodeLength(length: number): Uint8Array {
  const bytes = new Uint8Array(LENGTH_BYTES);
  new DataView(bytes.buffer).setUint32(0, length, true);
  return bytes;
}

/** The size a pack of these blobs must have. */
export function packSize(blobs: Iterable<{ lengthBytes: number; plainBytes: number }>): number {
  let bytes = PACK_OVERHEAD_BYTES;
  for (const { lengthBytes, plainBytes } of blobs) bytes += lengthBytes + entryBytes(plainBytes);
  return bytes;
}
