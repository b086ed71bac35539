/** C4 identifiers: SHA-512 in base 58, with which an ASC MHL chain names its generations. */
import { createHash, type Hash } from "node:crypto";
import type { Posix } from "../../../platform/posix.ts";

const DIGITS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/** Digits of a 512 bit number. */
const LENGTH = 88;
const PIECE_BYTES = 256 << 10;

/** Ends a SHA-512 and writes it as C4: `c4` and 88 digits. */
export function c4Of(sha512: Hash): string {
  let rest = BigInt(`0x${sha512.digest("hex")}`);
  let text = "";
  for (; rest > 0n; rest /= 58n) text = DIGITS[Number(rest % 58n)] + text;
  return `c4${text.padStart(LENGTH, DIGITS[0])}`;
}

/** C4 of an open file, or -errno. Does not close it. */
export function c4OfFile(posix: Posix, fd: number, tick: () => void): string | number {
  const hash = createHash("sha512");
  const buffer = new Uint8Array(PIECE_BYTES);
  for (let offset = 0;;) {
    tick();
    const got = posix.readAt(fd, buffer, offset);
    if (got < 0) return got;
    if (got === 0) return c4Of(hash);
    hash.update(buffer.subarray(0, got));
    offset += got;
  }
}
