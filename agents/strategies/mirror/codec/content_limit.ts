/**
 * How much a stored file may become. Rule: it is enforced before memory is taken for what exceeds it, and a file of
 * known size that ends early is as damaged as one that goes on.
 */
import { BackupError } from "../../../../protocol/base/errors.ts";
import type { ByteTransform } from "./byte_transform.ts";

/** `sizeBytes`: exactly so many. `maxBytes`: at most so many, where the size is not known. */
export type ContentSize = { sizeBytes: number } | { maxBytes: number };

export class ContentLimit {
  readonly #isExact: boolean;
  #leftBytes: number;

  constructor(size: ContentSize) {
    this.#isExact = "sizeBytes" in size;
    this.#leftBytes = "sizeBytes" in size ? size.sizeBytes : size.maxBytes;
  }

  get leftBytes(): number {
    return this.#leftBytes;
  }

  /** @throws {BackupError} `damaged` when `count` more bytes are too many */
  require(count: number): void {
    if (count <= this.#leftBytes) return;
    throw new BackupError("damaged", "The stored file holds more than the recorded size");
  }

  /** Counts bytes that are handed out. @throws {BackupError} `damaged` */
  take(count: number): void {
    this.require(count);
    this.#leftBytes -= count;
  }

  /** @throws {BackupError} `damaged` when bytes are missing */
  end(): void {
    if (!this.#isExact || this.#leftBytes === 0) return;
    const message = `The stored file is cut off: ${this.#leftBytes} bytes of content are missing`;
    throw new BackupError("damaged", message);
  }
}

/** `inner`, with all that it yields counted. */
export function limited(inner: ByteTransform, limit: ContentLimit): ByteTransform {
  return {
    *push(piece) {
      for (const bytes of inner.push(piece)) {
        limit.take(bytes.length);
        yield bytes;
      }
    },
    *end() {
      for (const bytes of inner.end()) {
        limit.take(bytes.length);
        yield bytes;
      }
      limit.end();
    },
  };
}
