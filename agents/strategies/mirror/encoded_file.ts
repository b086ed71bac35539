/** One file on its way through a codec. Rule: what is yielded is what must stand at the destination, hashed on the way. */
import { createHash } from "node:crypto";
import { Garbage, HASH_GARBAGE_BYTES } from "../../platform/garbage.ts";
import { SLOT_BYTES } from "../../source/slot_pool.ts";
import type { ByteTransform } from "./codec/byte_transform.ts";

/** One for all files of a thread. */
const garbage = new Garbage();

/** Compressors and ciphers take no shared memory: what lies there is copied here, onto the same pages each time. */
let unshared = new Uint8Array(0);

function unsharedCopy(piece: Uint8Array): Uint8Array {
  if (unshared.length < piece.length) {
    unshared = new Uint8Array(Math.max(piece.length, Math.min(2 * unshared.length, SLOT_BYTES)));
  }
  unshared.set(piece);
  return unshared.subarray(0, piece.length);
}

export class EncodedFile {
  readonly #encoder: ByteTransform;
  readonly #hash = createHash("sha256");
  /** Yielded so far. */
  sizeBytes = 0;

  constructor(encoder: ByteTransform) {
    this.#encoder = encoder;
  }

  /** `piece` may lie in shared memory. What comes out is iterated to its end before any file of the thread gets more. */
  push(piece: Uint8Array): Generator<Uint8Array, void, undefined> {
    return this.#counted(this.#encoder.push(unsharedCopy(piece)));
  }

  end(): Generator<Uint8Array, void, undefined> {
    return this.#counted(this.#encoder.end());
  }

  /** In hex; once, after the end. */
  sha256(): string {
    garbage.made(HASH_GARBAGE_BYTES);
    return this.#hash.digest("hex");
  }

  *#counted(
    encoded: Generator<Uint8Array, void, undefined>,
  ): Generator<Uint8Array, void, undefined> {
    for (const bytes of encoded) {
      this.#hash.update(bytes);
      yield bytes;
      this.sizeBytes += bytes.length;
    }
  }
}
