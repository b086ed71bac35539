/**
 * Where files are cut: restic's content-defined chunking. Rule: the cuts are restic's to the byte, for any way the bytes
 * arrive.
 *
 * A place is fit for a cut by the 64 bytes before it alone. So places can be searched for anywhere in a file at once, and
 * cuts be selected from them in order: the first fit place at least 512 KiB after the last cut, else 8 MiB after it.
 */
import type { BoundaryScanner } from "../kernels/mod.ts";
import { WINDOW_BYTES } from "../kernels/mod.ts";

export const CHUNK_MIN_BYTES = 512 << 10;
export const CHUNK_MAX_BYTES = 8 << 20;
const BUFFER_FIRST_BYTES = 1 << 20;
const BUFFER_BYTES = 2 * CHUNK_MAX_BYTES;

/** Fills the array from its beginning; 0 at the end of the file. */
export type ReadBytes = (into: Uint8Array) => number | Promise<number>;

/** One file's chunks, one after the other. The buffer stays, so one chunker serves file after file. */
export class Chunker {
  readonly #scanner: BoundaryScanner;
  #buffer = new Uint8Array(BUFFER_FIRST_BYTES);
  #read: ReadBytes = () => 0;
  /** Where the next chunk begins, what is read, and up to where no fit place was found. */
  #start = 0;
  #filled = 0;
  #scanned = 0;
  #ended = true;

  constructor(scanner: BoundaryScanner) {
    this.#scanner = scanner;
  }

  begin(read: ReadBytes): void {
    this.#read = read;
    this.#start = this.#filled = this.#scanned = 0;
    this.#ended = false;
  }

  /** A view that the next call writes over; undefined at the end. An empty file has no chunk. */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const cut = this.#findCut();
      if (cut > 0) {
        const chunk = this.#buffer.subarray(this.#start, cut);
        this.#start = this.#scanned = cut;
        return chunk;
      }
      if (this.#ended) return undefined;
      this.#makeRoom();
      const got = await this.#read(this.#buffer.subarray(this.#filled));
      if (got === 0) this.#ended = true;
      this.#filled += got;
    }
  }

  /** The end of the chunk that begins at `#start`; 0 when that needs more bytes, or there are none. */
  #findCut(): number {
    const from = Math.max(this.#scanned, this.#start + CHUNK_MIN_BYTES - 1);
    const limit = this.#start + CHUNK_MAX_BYTES;
    const to = Math.min(this.#filled, limit);
    if (to > from) {
      const found = this.#scanner.findFirst(this.#buffer, from, to);
      if (found > 0) return found;
      this.#scanned = to;
      if (to === limit) return limit;
    }
    return this.#ended ? (this.#filled > this.#start ? this.#filled : 0) : 0;
  }

  #makeRoom(): void {
    if (this.#filled < this.#buffer.length) return;
    const kept = this.#filled - this.#start;
    if (this.#buffer.length < BUFFER_BYTES) {
      const larger = new Uint8Array(Math.min(BUFFER_BYTES, this.#buffer.length * 4));
      larger.set(this.#buffer.subarray(this.#start, this.#filled));
      this.#buffer = larger;
    } else this.#buffer.copyWithin(0, this.#start, this.#filled);
    this.#scanned = Math.max(0, this.#scanned - this.#start);
    this.#filled = kept;
    this.#start = 0;
  }
}

/** The ends of all chunks of a whole file that is in memory. */
export function cutsOf(scanner: BoundaryScanner, bytes: Uint8Array): number[] {
  const cuts: number[] = [];
  let start = 0;
  while (bytes.length - start >= CHUNK_MIN_BYTES) {
    const limit = Math.min(bytes.length, start + CHUNK_MAX_BYTES);
    const found = scanner.findFirst(bytes, start + CHUNK_MIN_BYTES - 1, limit);
    cuts.push(start = found > 0 ? found : limit);
  }
  if (start < bytes.length) cuts.push(bytes.length);
  return cuts;
}

/** A run of places that follow each other, every one fit: positions in the file. */
export interface FitRun {
  first: number;
  last: number;
}

const SPAN_FIRST_BYTES = 4 << 10;

/**
 * Every fit place p of a segment of a file, at < p ≤ at + bytes.length − 64. `bytes` begin 64 bytes before the segment,
 * which begins at position `at` ≥ 64 of the file. Runs of zeros, where every place is fit, take one entry.
 */
export function findFitRuns(scanner: BoundaryScanner, bytes: Uint8Array, at: number): FitRun[] {
  const runs: FitRun[] = [];
  const base = at - WINDOW_BYTES;
  let from = WINDOW_BYTES;
  let span = SPAN_FIRST_BYTES;
  while (from < bytes.length) {
    const to = Math.min(bytes.length, from + span);
    const found = scanner.findFirst(bytes, from, to);
    if (found < 0) {
      from = to;
      // Where places are rare, as they mostly are, long searches are faster.
      span = Math.min(span * 4, 1 << 30);
      continue;
    }
    let last = found;
    if (isZero(bytes, found - WINDOW_BYTES, found)) {
      while (last < bytes.length && bytes[last] === 0) last++;
    }
    runs.push({ first: base + found, last: base + last });
    from = last;
    span = SPAN_FIRST_BYTES;
  }
  return runs;
}

/** Selects cuts from the fit places of one file, which come in order. */
export class CutSelector {
  #start = 0;

  /** Cuts up to where the places are known. `knownTo` is the end of the segment that `runs` are of. */
  *push(runs: readonly FitRun[], knownTo: number): Generator<number, void> {
    for (const { first, last } of runs) {
      yield* this.#forced(first - 1);
      // A run may be long enough for several cuts.
      for (;;) {
        const cut = Math.max(first, this.#start + CHUNK_MIN_BYTES);
        if (cut > last) break;
        yield (this.#start = cut);
      }
    }
    yield* this.#forced(knownTo);
  }

  /** The last cut, at the end of the file, if there is anything left. */
  *end(sizeBytes: number): Generator<number, void> {
    yield* this.#forced(sizeBytes);
    if (sizeBytes > this.#start) yield (this.#start = sizeBytes);
  }

  /** Cuts that no place up to `to` made before they must be. */
  *#forced(to: number): Generator<number, void> {
    while (this.#start + CHUNK_MAX_BYTES <= to) yield (this.#start += CHUNK_MAX_BYTES);
  }
}

function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== 0) return false;
  return true;
}
