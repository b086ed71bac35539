/** zstd as format version 2 uses it. Rule: nothing is unpacked beyond the size that its place allows. */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";

/** restic's words and the levels they stand for. `off` leaves data as it is, and still compresses trees. */
export const COMPRESSION_LEVELS = { off: 0, fastest: 1, auto: 3, better: 7, max: 15 } as const;
export type Compression = keyof typeof COMPRESSION_LEVELS;

/** Frames of others may have windows up to this. */
const WINDOW_LOG_MAX = 27;

export function compress(plain: Uint8Array, level: number): Uint8Array {
  return zstdCompressSync(plain, { params: { [constants.ZSTD_c_compressionLevel]: level } });
}

/** Undefined for what is no zstd, cut off, or longer than `maxBytes`. */
export function decompress(packed: Uint8Array, maxBytes: number): Uint8Array | undefined {
  try {
    const options = {
      // A limit of 0 would be none.
      maxOutputLength: Math.max(1, maxBytes),
      params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX },
    };
    const plain = zstdDecompressSync(packed, options);
    return plain.length > maxBytes
      ? undefined
      : new Uint8Array(plain.buffer, plain.byteOffset, plain.length);
  } catch {
    return undefined;
  }
}
