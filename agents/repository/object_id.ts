/** Names by content. Rule: an id is the SHA-256 of what it names, 64 lower-case hex digits. */
import { createHash } from "node:crypto";

export const ID_BYTES = 32;
const ID = /^[0-9a-f]{64}$/;

export function isId(text: string): boolean {
  return ID.test(text);
}

/** By byte: the digit's value, or more than 15; ids have small letters only. */
const DIGITS = new Uint8Array(256).fill(16);
for (const [value, digit] of [..."0123456789abcdef"].entries()) {
  DIGITS[digit.charCodeAt(0)] = value;
}

/** Reads 64 hex digits as words in the order of memory. False when they are none. */
export function readHexId(text: Uint8Array, at: number, into: Uint32Array, to: number): boolean {
  for (let word = 0; word < ID_BYTES / 4; word++) {
    let value = 0;
    for (let byte = 3; byte >= 0; byte--) {
      const digits = at + word * 8 + byte * 2;
      const high = DIGITS[text[digits]!]!;
      const low = DIGITS[text[digits + 1]!]!;
      if ((high | low) > 15) return false;
      value = (value << 8) | (high << 4) | low;
    }
    into[to + word] = value;
  }
  return true;
}

export function idOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** As people write it. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}
