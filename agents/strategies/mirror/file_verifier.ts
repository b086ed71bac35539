/**
 * Reads stored files back and compares them with their hash. Rule: the page cache is asked to drop the file first, and the
 * answer says whether that was proven ("disk") or not ("cache").
 */
import type { VerificationKind } from "../../../protocol/mesh/task.ts";
import { createHash } from "node:crypto";
import type { Pacer } from "../../destinations/pacer.ts";
import { Holes } from "../../platform/holes.ts";
import { Garbage, HASH_GARBAGE_BYTES } from "../../platform/garbage.ts";
import { KIND_FILE, newStat, type Posix } from "../../platform/posix.ts";
import { isSparse } from "../../source/entry_table.ts";
import type { ThreadCells } from "../../threads/thread_rpc.ts";
import { Xxh64 } from "./mhl/xxh64.ts";

export interface FileToVerify {
  fd: number;
  sizeBytes: number;
  /** In hex. */
  sha256: string;
  /** XXH64 is wanted too. */
  withXxh64?: boolean;
  /** Ends the reading, as a cancel of the whole thread does. */
  isOver?(): boolean;
}

export type Verdict =
  | { ok: true; fromDisk: boolean; xxh64?: string }
  | { ok: false; kind: "differs" | "size" | "type"; fromDisk: boolean }
  | { ok: false; kind: "error"; result: number; fromDisk: false }
  | { ok: false; kind: "cancelled"; fromDisk: false };

/** Where the files of a whole verification were read from: "disk" only when that is proven for each of them. */
export function verificationKind(fromDisk: number, fromCache: number): VerificationKind {
  if (fromDisk + fromCache === 0) return "none";
  if (fromCache === 0) return "disk";
  return fromDisk === 0 ? "cache" : "mixed";
}

const PIECE_BYTES = 256 << 10;
const ZEROS = new Uint8Array(PIECE_BYTES);
/** What was read is dropped again in such steps: its memory serves for what comes next, and others keep their cache. */
const DROP_BEHIND_BYTES = 8 << 20;
/** Files up to this size are read ahead together before the first is hashed. */
export const READ_AHEAD_BYTES_MAX = 1 << 20;

export class FileVerifier {
  readonly #posix: Posix;
  readonly #cells: ThreadCells;
  readonly #pacer: Pacer;
  readonly #buffer = new Uint8Array(PIECE_BYTES);
  readonly #stat = newStat();
  readonly #garbage = new Garbage();
  /** Made when it is first needed. */
  #xxh64: Xxh64 | undefined;

  constructor(posix: Posix, cells: ThreadCells, pacer: Pacer) {
    this.#posix = posix;
    this.#cells = cells;
    this.#pacer = pacer;
  }

  /** Drops a just opened file from the page cache; true when it is proven to be gone from there. */
  dropCache(fd: number, sizeBytes: number): boolean {
    if (sizeBytes === 0) return true;
    this.#posix.dropCache(fd);
    if (this.#posix.cachedBytes(fd, sizeBytes) === 0) return true;
    // Pages on their way to the disk stay where they are; once this file is flushed they can go.
    this.#posix.flushFile(fd);
    this.#posix.dropCache(fd);
    return this.#posix.cachedBytes(fd, sizeBytes) === 0;
  }

  /** Asks for a small file to be read while others are being hashed. */
  readAhead(fd: number, sizeBytes: number): void {
    if (sizeBytes <= READ_AHEAD_BYTES_MAX) this.#posix.willNeed(fd);
  }

  /** Reads one file to its end. Does not close it. */
  verify(file: FileToVerify, fromDisk: boolean): Verdict {
    const { fd, sizeBytes } = file;
    const stat = this.#stat;
    const found = this.#posix.stat(fd, stat);
    if (found < 0) return { ok: false, kind: "error", result: found, fromDisk: false };
    if (stat.kind !== KIND_FILE) return { ok: false, kind: "type", fromDisk };
    if (stat.sizeBytes !== sizeBytes) return { ok: false, kind: "size", fromDisk };
    const hash = createHash("sha256");
    const holes = isSparse(stat) ? new Holes(this.#posix, fd, sizeBytes) : undefined;
    const xxh64 = file.withXxh64 === true ? this.#xxh64 ??= new Xxh64() : undefined;
    xxh64?.reset();
    let offset = 0;
    while (offset < sizeBytes) {
      if (Atomics.load(this.#cells.cancelled, 0) !== 0 || file.isOver?.() === true) {
        return { ok: false, kind: "cancelled", fromDisk: false };
      }
      Atomics.add(this.#cells.operations, 0, 1);
      const wanted = Math.min(PIECE_BYTES, sizeBytes - offset);
      const zeros = Math.min(holes?.zerosAt(offset) ?? 0, wanted);
      if (zeros > 0) {
        const piece = zeros === ZEROS.length ? ZEROS : ZEROS.subarray(0, zeros);
        hash.update(piece);
        xxh64?.update(piece);
        offset += zeros;
        this.#cells.bytes[0]! += zeros;
        continue;
      }
      this.#pacer.pay(wanted);
      const into = wanted === PIECE_BYTES ? this.#buffer : this.#buffer.subarray(0, wanted);
      const got = this.#posix.readAt(fd, into, offset);
      if (got < 0) return { ok: false, kind: "error", result: got, fromDisk: false };
      if (got === 0) return { ok: false, kind: "size", fromDisk };
      const piece = got === into.length ? into : into.subarray(0, got);
      hash.update(piece);
      xxh64?.update(piece);
      offset += got;
      if (offset % DROP_BEHIND_BYTES === 0) {
        this.#posix.dropCache(fd, offset - DROP_BEHIND_BYTES, DROP_BEHIND_BYTES);
      }
      this.#cells.bytes[0]! += got;
    }
    this.#garbage.made(HASH_GARBAGE_BYTES);
    if (hash.digest("hex") !== file.sha256) return { ok: false, kind: "differs", fromDisk };
    return xxh64 === undefined
      ? { ok: true, fromDisk }
      : { ok: true, fromDisk, xxh64: xxh64.hex() };
  }
}
