/**
 * XXH64 of each row at one destination, in memory that its threads share. Rule: what is in here is of bytes whose SHA-256
 * was right at that very destination, in this run or in an earlier one.
 */
import { Buffer } from "node:buffer";

const HASH_BYTES = 8;
const VALID = /^[0-9a-f]{16}$/;

/** Memory for so many rows: eight bytes for the hash, one that says whether it is there. */
export function newXxh64Column(rows: number): SharedArrayBuffer {
  return new SharedArrayBuffer(rows * (HASH_BYTES + 1));
}

export class Xxh64Column {
  readonly #hashes: Buffer;
  readonly #known: Uint8Array;

  constructor(share: SharedArrayBuffer) {
    const rows = share.byteLength / (HASH_BYTES + 1);
    this.#hashes = Buffer.from(share, 0, rows * HASH_BYTES);
    this.#known = new Uint8Array(share, rows * HASH_BYTES, rows);
  }

  has(row: number): boolean {
    return this.#known[row] === 1;
  }

  /** In hex. */
  get(row: number): string | undefined {
    if (!this.has(row)) return undefined;
    return this.#hashes.toString("hex", row * HASH_BYTES, (row + 1) * HASH_BYTES);
  }

  set(row: number, hex: string): void {
    this.#hashes.write(hex, row * HASH_BYTES, HASH_BYTES, "hex");
    this.#known[row] = 1;
  }

  /** Takes what a manifest line says, unless it says none; true when there is one now. */
  adopt(row: number, recorded: unknown): boolean {
    if (typeof recorded !== "string" || !VALID.test(recorded)) return false;
    this.set(row, recorded);
    return true;
  }
}
