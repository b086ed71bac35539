/** Text as bytes that grow. Rule: their memory serves again, and no text is kept. */

const BYTES_FIRST = 4 << 10;
const GROWTH = 1.5;
const UTF8 = new TextEncoder();

export class Utf8Bytes {
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;

  /** Of what is never used, no memory is taken. */
  constructor(bytesFirst: number = BYTES_FIRST) {
    this.#bytes = new Uint8Array(bytesFirst);
  }

  get length(): number {
    return this.#length;
  }

  get roomBytes(): number {
    return this.#bytes.length;
  }

  /** Where it was put. */
  add(text: string): number {
    const at = this.#length;
    // A character has three bytes at most.
    this.#reserve(text.length * 3);
    this.#length += UTF8.encodeInto(text, this.#bytes.subarray(at)).written;
    return at;
  }

  /** As `add`, of bytes, which are copied. */
  addBytes(from: Uint8Array, start = 0, end: number = from.length): number {
    const at = this.#length;
    this.#reserve(end - start);
    this.#bytes.set(from.subarray(start, end), at);
    this.#length += end - start;
    return at;
  }

  /** Until something is added. */
  view(start = 0, end: number = this.#length): Uint8Array {
    return this.#bytes.subarray(start, end);
  }

  /** All of it, until something is added; then it is as if nothing had been. */
  take(): Uint8Array {
    const all = this.view();
    this.#length = 0;
    return all;
  }

  #reserve(bytes: number): void {
    const wanted = this.#length + bytes;
    if (wanted <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(wanted, Math.ceil(this.#bytes.length * GROWTH)));
    grown.set(this.view());
    this.#bytes = grown;
  }
}
