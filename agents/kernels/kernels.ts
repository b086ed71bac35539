/** The hot loops of a repository as a port. Rule: whoever implements it gives the same results on every input. */

/** Bytes that a place for the end of a chunk depends on. */
export const WINDOW_BYTES = 64;
/** A chunk may end where these bits of the fingerprint are zero: every 2²⁰ bytes on average. */
export const CUT_BITS = 20;
/** r and s of Poly1305, 16 bytes each. */
export const POLY1305_KEY_BYTES = 32;
export const POLY1305_TAG_BYTES = 16;
/** AES's blocks, and the counters of its counter mode. */
export const AES_BLOCK_BYTES = 16;

/** Finds where chunks may end, for one polynomial. */
export interface BoundaryScanner {
  /**
   * The lowest position p, from < p ≤ to, at which the Rabin fingerprint of the 64 bytes before it ends in 20 zero bits;
   * -1 when there is none. `from` is at least 64, `to` at most the length.
   */
  findFirst(bytes: Uint8Array, from: number, to: number): number;
}

export interface Ciphers {
  /**
   * AES in counter mode, both ways: `from` into the first bytes of `into`, under a key of 16 or 32 bytes. `counter` is
   * the first block's, a big-endian number of 128 bits that wraps; it is only read.
   */
  aesCtr(key: Uint8Array, counter: Uint8Array, from: Uint8Array, into: Uint8Array): void;
  /** One block of 16 bytes as it is (ECB). */
  aesBlock(key: Uint8Array, from: Uint8Array, into: Uint8Array): void;
  /** Poly1305 (RFC 8439) of `message` under r ‖ s, into the first 16 bytes of `tag`; r is clamped here. */
  poly1305(key: Uint8Array, message: Uint8Array, tag: Uint8Array): void;
}

/** zstd. Frames may differ between implementations, what comes out of them may not. */
export interface Zstd {
  /** One frame. A view that the next call may write over. */
  compress(plain: Uint8Array, level: number): Uint8Array;
  /** Undefined for what is no zstd or longer than `maxBytes`; of what is cut off it may give the beginning. */
  decompress(packed: Uint8Array, maxBytes: number, room?: TakeRoom): Uint8Array | undefined;
}

/** Memory for the result, of at least this length: whoever reads many one after the other gives the same again. */
export type TakeRoom = (bytes: number) => Uint8Array;

/** The loops that are ours. */
export interface Loops {
  readonly name: "wasm" | "twin";
  /** @throws {RangeError} unless the polynomial has degree 53 */
  createScanner(polynomial: bigint): BoundaryScanner;
  poly1305: Ciphers["poly1305"];
}

export interface Kernels extends Loops, Ciphers, Zstd {}
