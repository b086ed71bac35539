/** The two hot loops as a port. Rule: whoever implements it gives the same results on every input. */

/** Bytes that a place for the end of a chunk depends on. */
export const WINDOW_BYTES = 64;
/** A chunk may end where these bits of the fingerprint are zero: every 2²⁰ bytes on average. */
export const CUT_BITS = 20;
/** r and s of Poly1305, 16 bytes each. */
export const POLY1305_KEY_BYTES = 32;
export const POLY1305_TAG_BYTES = 16;

/** Finds where chunks may end, for one polynomial. */
export interface BoundaryScanner {
  /**
   * The lowest position p, from < p ≤ to, at which the Rabin fingerprint of the 64 bytes before it ends in 20 zero bits;
   * -1 when there is none. `from` is at least 64, `to` at most the length.
   */
  findFirst(bytes: Uint8Array, from: number, to: number): number;
}

export interface Kernels {
  readonly name: "wasm" | "twin";
  /** @throws {RangeError} unless the polynomial has degree 53 */
  createScanner(polynomial: bigint): BoundaryScanner;
  /** Poly1305 (RFC 8439) of `message` under r ‖ s, into the first 16 bytes of `tag`; r is clamped here. */
  poly1305(key: Uint8Array, message: Uint8Array, tag: Uint8Array): void;
}
