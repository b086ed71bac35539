/**
 * Content → zstd frames, which stock `zstd -d` reads one after the other. Rule: every frame is whole, holds at most
 * `FRAME_CONTENT_BYTES`, states its content size and carries a checksum.
 */
import { ByteGatherer } from "./byte_gatherer.ts";
import type { ByteTransform } from "./byte_transform.ts";
import { isIncompressible } from "./incompressible.ts";
import { ZstdCompressor } from "./zstd_compressor.ts";

/** Of one frame; as large as a slot, so that a full slot is compressed where it lies. */
export const FRAME_CONTENT_BYTES = 2 << 20;

const LEVEL = 3;
/** So fast that the library looks for nothing and makes raw blocks: stored as it is, in a valid frame. */
const LEVEL_STORED = -131072;

/** Shared by all files of a thread: they hold no state between two frames. */
const compressing = new ZstdCompressor(LEVEL);
const storing = new ZstdCompressor(LEVEL_STORED);

export class ZstdEncoder implements ByteTransform {
  readonly #held = new ByteGatherer();
  #isEmpty = true;

  *push(piece: Uint8Array): Generator<Uint8Array, void, undefined> {
    let at = 0;
    while (at < piece.length) {
      const part = piece.subarray(at, at + FRAME_CONTENT_BYTES - this.#held.length);
      at += part.length;
      if (part.length === FRAME_CONTENT_BYTES) {
        yield this.#frame(part);
        continue;
      }
      this.#held.add(part);
      if (this.#held.length === FRAME_CONTENT_BYTES) yield this.#flush();
    }
  }

  /** An empty file is one empty frame: `zstd -d` takes no bytes at all for a damaged file. */
  *end(): Generator<Uint8Array, void, undefined> {
    if (this.#held.length > 0 || this.#isEmpty) yield this.#flush();
  }

  #flush(): Uint8Array {
    const frame = this.#frame(this.#held.bytes);
    this.#held.drop(this.#held.length);
    return frame;
  }

  #frame(content: Uint8Array): Uint8Array {
    this.#isEmpty = false;
    return (isIncompressible(content) ? storing : compressing).frame(content);
  }
}
