/** zstd with what the runtime has. Rule: nothing is unpacked beyond the size that its place allows. */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { Zstd } from "./kernels.ts";

/** Frames of others may have windows up to this. */
const WINDOW_LOG_MAX = 27;

export const portableZstd: Zstd = {
  compress: (plain, level) =>
    zstdCompressSync(plain, { params: { [constants.ZSTD_c_compressionLevel]: level } }),

  decompress(packed, maxBytes) {
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
  },
};
