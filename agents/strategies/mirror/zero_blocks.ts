/**
 * Where the bytes of a file with holes are worth writing. Rule: only whole blocks of nothing but zeros are left out, at
 * places in the file where a file system can leave a hole.
 */
import { Buffer } from "node:buffer";

/** What file systems have at least; a hole smaller than theirs is filled by them. */
const BLOCK_BYTES = 4096;
/** Looked at in one go first: most of a hole is larger. */
const PIECE_BYTES = 256 << 10;
const ZEROS = Buffer.alloc(PIECE_BYTES);

export interface Run {
  start: number;
  end: number;
}

/** The parts of `bytes`, which belong at `fileOffset`, that are not whole zero blocks; joined where they touch. */
export function* runsOfData(bytes: Uint8Array, fileOffset: number): Generator<Run> {
  let start = -1;
  for (let at = 0; at < bytes.length;) {
    const isWholePiece = (fileOffset + at) % PIECE_BYTES === 0;
    const size = isWholePiece && start < 0 && isZero(bytes, at, at + PIECE_BYTES)
      ? PIECE_BYTES
      : BLOCK_BYTES - (fileOffset + at) % BLOCK_BYTES;
    const end = Math.min(bytes.length, at + size);
    if (isZero(bytes, at, end)) {
      if (start >= 0) yield { start, end: at };
      start = -1;
    } else if (start < 0) start = at;
    at = end;
  }
  if (start >= 0) yield { start, end: bytes.length };
}

function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  const part = bytes.subarray(from, to);
  // Most data shows at its first byte, without a call.
  if (part[0] !== 0) return false;
  return Buffer.compare(
    part,
    part.length === PIECE_BYTES ? ZEROS : ZEROS.subarray(0, part.length),
  ) === 0;
}
