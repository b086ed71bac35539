/** What the codec's tests share. */
import { Buffer } from "node:buffer";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { BackupError, type ErrorCode } from "../../../../protocol/base/errors.ts";
import type { ByteTransform } from "./byte_transform.ts";

/** All that `transform` makes of the pieces. Every piece is overwritten after it was taken, as slots are. */
export function transformed(
  transform: ByteTransform,
  ...pieces: readonly Uint8Array[]
): Uint8Array {
  const out: Uint8Array[] = [];
  for (const piece of pieces) {
    const lent = new Uint8Array(piece);
    for (const bytes of transform.push(lent)) out.push(new Uint8Array(bytes));
    lent.fill(0xee);
  }
  for (const bytes of transform.end()) out.push(new Uint8Array(bytes));
  return new Uint8Array(Buffer.concat(out));
}

/** `bytes` in pieces of these sizes, one after the other and again from the first. */
export function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = Math.max(1, sizes[i % sizes.length]!);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

/** Bytes that look random and are the same every time. */
export function noise(sizeBytes: number, seed = "noise"): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (let i = 0; i * 64 < sizeBytes; i++) {
    blocks.push(createHash("sha512").update(`${seed}${i}`).digest());
  }
  return new Uint8Array(Buffer.concat(blocks).subarray(0, sizeBytes));
}

/** Text that shrinks as source code does. */
export function prose(sizeBytes: number): Uint8Array {
  const words = Array.from(noise(sizeBytes), (byte) => `word${byte % 97} `).join("");
  return new TextEncoder().encode(words).subarray(0, sizeBytes);
}

export function assertSame(actual: Uint8Array, expected: Uint8Array, what?: string): void {
  // Comparing megabytes as structures takes seconds.
  assert.ok(Buffer.compare(actual, expected) === 0, what ?? "other bytes");
}

export function assertFails(run: () => unknown, ...codes: ErrorCode[]): BackupError {
  try {
    run();
  } catch (thrown) {
    assert.ok(thrown instanceof BackupError, String(thrown));
    assert.ok(codes.includes(thrown.code), `${thrown.code}: ${thrown.message}`);
    return thrown;
  }
  assert.fail(`no failure, expected ${codes.join(" or ")}`);
}
