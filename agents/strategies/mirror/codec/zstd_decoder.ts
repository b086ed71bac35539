/**
 * zstd frames → content. Rule: a frame is decoded when it is there as a whole, and never becomes more than the content
 * may still have; truncated, corrupt and oversized files are `damaged`.
 */
import { constants, zstdDecompressSync } from "node:zlib";
import { BackupError } from "../../../../protocol/base/errors.ts";
import { ByteGatherer } from "./byte_gatherer.ts";
import type { ByteTransform } from "./byte_transform.ts";
import type { ContentLimit } from "./content_limit.ts";
import { FRAME_LIMIT_BYTES, ZstdFrameScanner } from "./zstd_frame.ts";

const WINDOW_LOG_MAX = Math.log2(FRAME_LIMIT_BYTES);
const OUTPUT_STEP_BYTES = 2 << 20;
const SMALLEST_STEP_BYTES = 64;

export class ZstdDecoder implements ByteTransform {
  readonly #limit: ContentLimit;
  /** The beginning of a frame whose end has not come yet. */
  readonly #held = new ByteGatherer();
  #scanner = new ZstdFrameScanner();
  #skipBytes = 0;
  #sawFrame = false;

  /** `limit` is only asked here; who hands the bytes out counts them. */
  constructor(limit: ContentLimit) {
    this.#limit = limit;
  }

  /** @throws {BackupError} `damaged`; `unsupported` for frames larger than `FRAME_LIMIT_BYTES` */
  *push(piece: Uint8Array): Generator<Uint8Array, void, undefined> {
    const isHeld = this.#held.length > 0;
    if (isHeld) this.#held.add(piece);
    const bytes = isHeld ? this.#held.bytes : piece;
    let at = 0;
    while (at < bytes.length) {
      if (this.#skipBytes > 0) {
        const skipped = Math.min(this.#skipBytes, bytes.length - at);
        this.#skipBytes -= skipped;
        at += skipped;
        continue;
      }
      const rest = bytes.subarray(at);
      const scanned = this.#scanner.scan(rest);
      this.#limit.require(this.#scanner.atLeastBytes);
      if (scanned.kind === "more") break;
      this.#scanner = new ZstdFrameScanner();
      if (scanned.kind === "skip") {
        this.#skipBytes = scanned.sizeBytes;
        continue;
      }
      this.#sawFrame = true;
      at += scanned.endBytes;
      const content = this.#decode(rest.subarray(0, scanned.endBytes), scanned.contentBytes);
      if (content.length > 0) yield content;
    }
    if (isHeld) this.#held.drop(at);
    else if (at < piece.length) this.#held.add(piece.subarray(at));
  }

  // deno-lint-ignore require-yield
  *end(): Generator<Uint8Array, void, undefined> {
    if (this.#held.length === 0 && this.#skipBytes === 0 && this.#sawFrame) return;
    throw new BackupError("damaged", "The compressed file is cut off");
  }

  #decode(frame: Uint8Array, contentBytes: number | undefined): Uint8Array {
    const leftBytes = this.#limit.leftBytes;
    const step = contentBytes ?? Math.min(leftBytes, OUTPUT_STEP_BYTES);
    let content: Uint8Array;
    try {
      content = zstdDecompressSync(frame, {
        chunkSize: Math.max(SMALLEST_STEP_BYTES, Math.min(step, OUTPUT_STEP_BYTES)),
        maxOutputLength: Math.max(1, Math.min(leftBytes, FRAME_LIMIT_BYTES)),
        params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX },
      });
    } catch (thrown) {
      throw this.#failure(thrown, leftBytes);
    }
    if (contentBytes !== undefined && content.length !== contentBytes) {
      throw new BackupError("damaged", "The compressed file is damaged: a frame has another size");
    }
    this.#limit.require(content.length);
    return content;
  }

  #failure(thrown: unknown, leftBytes: number): BackupError {
    const cause = thrown as NodeJS.ErrnoException;
    if (cause.code !== "ERR_BUFFER_TOO_LARGE") {
      const message = `The compressed file is damaged: ${cause.message}`;
      return new BackupError("damaged", message, { cause });
    }
    if (leftBytes < FRAME_LIMIT_BYTES) {
      const message = "The stored file holds more than the recorded size";
      return new BackupError("damaged", message, { cause });
    }
    const limit = `${FRAME_LIMIT_BYTES >> 20} MiB`;
    return new BackupError("unsupported", `The compressed file has a frame larger than ${limit}`, {
      hint: "Decompress it with zstd -d",
      cause,
    });
  }
}
