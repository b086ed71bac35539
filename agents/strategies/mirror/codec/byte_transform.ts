/**
 * What encoders and decoders have in common. Rule: bytes in, bytes out, synchronous, with bounded memory; how the input
 * was cut into pieces never changes the output's bytes.
 */

export interface ByteTransform {
  /**
   * Takes a piece and yields what it leads to. Lazy: nothing happens before the result is iterated, to its end. The
   * piece must stay as it is until then, and may be reused after; what is yielded stands until the next is asked for.
   */
  push(piece: Uint8Array): Generator<Uint8Array, void, undefined>;
  /** Yields what is left. Nothing may be pushed after it, nor after any error. */
  end(): Generator<Uint8Array, void, undefined>;
}

/** `second` gets what `first` yields. */
export function chained(first: ByteTransform, second: ByteTransform): ByteTransform {
  return {
    *push(piece) {
      for (const between of first.push(piece)) yield* second.push(between);
    },
    *end() {
      for (const between of first.end()) yield* second.push(between);
      yield* second.end();
    },
  };
}
