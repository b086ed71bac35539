/** One file on its way through a codec. Rule: what is yielded is what must stand at the destination, hashed on the way. */
import { createHash } from "node:crypto";
import { Garbage, HASH_GARBAGE_BYTES } from "../../platform/garbage.ts";
import type { ByteTransform } from "./codec/byte_transform.ts";

/** One for all files of a thread. */
const garbage = new Garbage();

export class EncodedFile {
  readonly #encoder: ByteTransform;
  readonly #hash = createHash("sha256");
  /** Yielded so far. */
  sizeBytes = 0;

  constructor(encoder: ByteTransform) {
    this.#encoder = encoder;
  }

  /** `piece` may lie in shared memory. */
  push(piece: Uint8Array): Generator<Uint8Array, void, undefined> {
    // Compressors and ciphers take no shared memory.
    return this.#counted(this.#encoder.push(new Uint8Array(piece)));
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
      garbage.made(bytes.length);
    }
  }
}
