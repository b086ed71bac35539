/**
 * Gives memory back that V8 would keep: native memory of finished hashes and buffers is freed only by a full collection,
 * and their wrappers are so small that V8 does not start one. A thread that hashes a million small files would hold
 * 100 MB for nothing. Rule: say what was used up; without `--expose-gc` it does nothing.
 */

/** A collection of a thread's small heap takes some 7 ms: about a tenth of the time that making so much garbage takes. */
const COLLECT_EVERY_BYTES = 16 << 20;

/** What one hash object leaves behind, with its wrapper. */
export const HASH_GARBAGE_BYTES = 1024;

export class Garbage {
  #bytes = 0;
  readonly #collect: (() => void) | undefined;

  constructor(collect: (() => void) | undefined = (globalThis as { gc?: () => void }).gc) {
    this.#collect = collect;
  }

  /** So many bytes were used and are not needed any more. Collects once in 16 MiB of them. */
  made(bytes: number): void {
    this.#bytes += bytes;
    if (this.#collect === undefined || this.#bytes < COLLECT_EVERY_BYTES) return;
    this.#bytes = 0;
    this.#collect();
  }
}
