/**
 * Compresses, seals and packs data blobs on a thread of its own. Rule: it stores nothing and decides nothing; it encodes what it
 * is told to, in the order in which it is told.
 */
import { type FinishedPack, type LooseBlobs, PackBuilder } from "./pack_builder.ts";
import type { SealingKey } from "./sealing_key.ts";

export interface BlobEncoderOptions {
  /** 0: not at all. */
  level: number;
  packTargetBytes: number;
  takeRoom: () => SharedArrayBuffer;
}

export class BlobEncoder {
  readonly #key: SealingKey;
  readonly #level: number;
  readonly #builder: PackBuilder;

  constructor(key: SealingKey, { level, packTargetBytes, takeRoom }: BlobEncoderOptions) {
    this.#key = key;
    this.#level = level;
    this.#builder = new PackBuilder({ targetBytes: packTargetBytes, takeRoom });
  }

  /** Adds a blob to the pack in hand. The stored size, and the pack when that filled it. */
  add(id: string, plain: Uint8Array): { storedBytes: number; pack: FinishedPack | undefined } {
    const packed = this.#level > 0 && plain.length > 0
      ? this.#key.kernels.compress(plain, this.#level)
      : undefined;
    const isSmaller = packed !== undefined && packed.length < plain.length;
    const storedBytes = this.#builder.seal(
      this.#key,
      "data",
      id,
      isSmaller ? packed : plain,
      isSmaller ? plain.length : 0,
    );
    return {
      storedBytes,
      pack: this.#builder.isFull ? this.#builder.finish(this.#key) : undefined,
    };
  }

  /** What fills no pack. */
  takeLoose(): LooseBlobs | undefined {
    return this.#builder.takeLoose();
  }
}
