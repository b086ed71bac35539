/** Collects pieces into one run of bytes. Rule: what is added is copied, so a piece may be reused at once. */

/** The smallest buffer that is worth growing. */
const SMALLEST_BYTES = 256;

export class ByteGatherer {
  #buffer = new Uint8Array(0);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** All that is held; valid until the next change. */
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  add(piece: Uint8Array): void {
    this.#reserve(this.#length + piece.length);
    this.#buffer.set(piece, this.#length);
    this.#length += piece.length;
  }

  /** Forgets the first `count` bytes. */
  drop(count: number): void {
    if (count < this.#length) this.#buffer.copyWithin(0, count, this.#length);
    this.#length -= count;
  }

  #reserve(sizeBytes: number): void {
    if (sizeBytes <= this.#buffer.length) return;
    // The first piece is often the only one: it gets its exact size.
    const grown = this.#length === 0 ? sizeBytes : Math.max(sizeBytes, 2 * this.#buffer.length);
    const larger = new Uint8Array(Math.max(grown, SMALLEST_BYTES));
    larger.set(this.bytes);
    this.#buffer = larger;
  }
}
