/**
 * Where a zstd frame ends, by RFC 8878, without decompressing it. Rule: only headers are read; whatever they claim,
 * no more than the limits is collected or allocated on their word.
 */
import { BackupError } from "../../../../protocol/base/errors.ts";

/** Of one frame's content and of its stored bytes. Ours have 2 MiB; a larger one cannot be decoded piece by piece. */
export const FRAME_LIMIT_BYTES = 64 << 20;
const LARGEST_BLOCK_BYTES = 128 << 10;
const BLOCK_HEADER_BYTES = 3;
const CHECKSUM_BYTES = 4;
const MAGIC = 0xfd2fb528;
/** Sixteen numbers; such a frame holds nothing of the content. */
const SKIPPABLE_MAGIC = 0x184d2a50;
const SKIPPABLE_HEADER_BYTES = 8;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;
const BLOCK_RAW = 0;
const BLOCK_RLE = 1;
const BLOCK_COMPRESSED = 2;

export type Scanned =
  /** The frame is the first `endBytes` bytes; its content is `contentBytes` long, when it says so. */
  | { kind: "frame"; endBytes: number; contentBytes: number | undefined }
  /** The next `sizeBytes` bytes are no content. */
  | { kind: "skip"; sizeBytes: number }
  | { kind: "more" };

const MORE: Scanned = { kind: "more" };

/** Scans one frame, which grows from call to call. */
export class ZstdFrameScanner {
  #header: FrameHeader | undefined;
  /** Where the next block begins. */
  #at = 0;
  #atLeastBytes = 0;
  #sawLast = false;

  /** What the blocks seen so far become at least. */
  get atLeastBytes(): number {
    return Math.max(this.#atLeastBytes, this.#header?.contentBytes ?? 0);
  }

  /**
   * `bytes` begin with the frame and with all that was given before.
   * @throws {BackupError} `damaged`; `unsupported` for a frame larger than `FRAME_LIMIT_BYTES` or with a dictionary
   */
  scan(bytes: Uint8Array): Scanned {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (this.#header === undefined) {
      if (bytes.length < 4) return MORE;
      const magic = view.getUint32(0, true);
      if ((magic & ~0xf) >>> 0 === SKIPPABLE_MAGIC) {
        if (bytes.length < SKIPPABLE_HEADER_BYTES) return MORE;
        return { kind: "skip", sizeBytes: SKIPPABLE_HEADER_BYTES + view.getUint32(4, true) };
      }
      if (magic !== MAGIC) throw damaged("no zstd frame begins where one must");
      this.#header = readHeader(view);
      if (this.#header === undefined) return MORE;
      this.#at = this.#header.sizeBytes;
    }
    return this.#scanBlocks(view, this.#header);
  }

  #scanBlocks(view: DataView, header: FrameHeader): Scanned {
    while (!this.#sawLast) {
      if (this.#at + BLOCK_HEADER_BYTES > view.byteLength) return this.#more();
      const word = view.getUint16(this.#at, true) | (view.getUint8(this.#at + 2) << 16);
      const type = (word >> 1) & 3;
      const size = word >> 3;
      if (size > header.blockLimitBytes) throw damaged("a block is larger than its frame allows");
      if (type === BLOCK_RAW || type === BLOCK_RLE) this.#atLeastBytes += size;
      else if (type !== BLOCK_COMPRESSED) throw damaged("a block is of an unknown kind");
      this.#at += BLOCK_HEADER_BYTES + (type === BLOCK_RLE ? 1 : size);
      this.#sawLast = (word & 1) === 1;
    }
    const endBytes = this.#at + (header.hasChecksum ? CHECKSUM_BYTES : 0);
    this.#requireLimit();
    if (endBytes > view.byteLength) return MORE;
    return { kind: "frame", endBytes, contentBytes: header.contentBytes };
  }

  #more(): Scanned {
    this.#requireLimit();
    return MORE;
  }

  #requireLimit(): void {
    if (Math.max(this.#at, this.atLeastBytes) > FRAME_LIMIT_BYTES) throw tooLarge();
  }
}

interface FrameHeader {
  sizeBytes: number;
  contentBytes: number | undefined;
  blockLimitBytes: number;
  hasChecksum: boolean;
}

/** Undefined when it is not there as a whole. */
function readHeader(view: DataView): FrameHeader | undefined {
  if (view.byteLength < 5) return undefined;
  const descriptor = view.getUint8(4);
  if ((descriptor & 0x08) !== 0) throw damaged("a frame's header has a reserved bit set");
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const windowBytes = isSingleSegment ? 0 : 1;
  const dictionaryBytes = DICTIONARY_ID_BYTES[descriptor & 3]!;
  const sizeFlag = descriptor >> 6;
  const contentSizeBytes = sizeFlag === 0 ? (isSingleSegment ? 1 : 0) : 1 << sizeFlag;
  const sizeBytes = 5 + windowBytes + dictionaryBytes + contentSizeBytes;
  if (view.byteLength < sizeBytes) return undefined;

  const dictionaryAt = 5 + windowBytes;
  for (let i = 0; i < dictionaryBytes; i++) {
    if (view.getUint8(dictionaryAt + i) !== 0) {
      throw new BackupError("unsupported", "The zstd frame needs a dictionary, which is not there");
    }
  }
  const contentBytes = readContentSize(view, dictionaryAt + dictionaryBytes, contentSizeBytes);
  if (contentBytes !== undefined && contentBytes > FRAME_LIMIT_BYTES) throw tooLarge();
  const window = isSingleSegment ? contentBytes! : windowOf(view.getUint8(5));
  if (window > FRAME_LIMIT_BYTES) throw tooLarge();
  return {
    sizeBytes,
    contentBytes,
    blockLimitBytes: Math.min(window, LARGEST_BLOCK_BYTES),
    hasChecksum: (descriptor & 0x04) !== 0,
  };
}

function readContentSize(view: DataView, at: number, fieldBytes: number): number | undefined {
  switch (fieldBytes) {
    case 0:
      return undefined;
    case 1:
      return view.getUint8(at);
    case 2:
      return view.getUint16(at, true) + 256;
    case 4:
      return view.getUint32(at, true);
    default:
      return Number(view.getBigUint64(at, true));
  }
}

function windowOf(byte: number): number {
  const base = 2 ** (10 + (byte >> 3));
  return base + (base / 8) * (byte & 7);
}

function damaged(what: string): BackupError {
  return new BackupError("damaged", `The compressed file is damaged: ${what}`);
}

function tooLarge(): BackupError {
  const limit = `${FRAME_LIMIT_BYTES >> 20} MiB`;
  return new BackupError("unsupported", `The compressed file has a frame larger than ${limit}`, {
    hint: "Decompress it with zstd -d",
  });
}
