/**
 * Which blob stands where, for a whole repository: columns of numbers and a hash table over them. Rule: no object a blob;
 * a million blobs take about 60 MB.
 */
import type { IndexColumns } from "./index_columns.ts";
import { ID_BYTES, readHexId } from "./object_id.ts";
import type { BlobType, PackedBlob } from "./pack_header.ts";
import { SEAL_OVERHEAD_BYTES } from "./sealing_key.ts";

const EMPTY = 0;
/** More full than this and the table grows. */
const LOAD_MAX = 0.7;
const ROWS_FIRST = 1024;
const ID_WORDS = ID_BYTES / 4;
const TREE_BIT = 1;

/** A row number, growing from 0, or this. */
export const NO_ROW = -1;

/** An index that is complete, for other threads: they share its memory. */
export interface SharedIndex {
  count: number;
  packIds: readonly string[];
  ids: Uint32Array;
  packs: Uint32Array;
  offsets: Uint32Array;
  lengths: Uint32Array;
  plains: Uint32Array;
  flags: Uint8Array;
  table: Uint32Array;
}

export class BlobIndex {
  #count = 0;
  #ids: Uint32Array;
  #packs: Uint32Array;
  #offsets: Uint32Array;
  #lengths: Uint32Array;
  #plains: Uint32Array;
  #flags: Uint8Array;
  /** Row + 1 by hash of type and id. */
  #table: Uint32Array;
  readonly #isShared: boolean;
  readonly #packIds: string[] = [];
  readonly #packNumbers = new Map<string, number>();
  readonly #probe = new Uint32Array(ID_WORDS);
  readonly #probeBytes = new Uint8Array(this.#probe.buffer);

  /** `isShared`: in memory that threads can share. */
  constructor({ isShared = false }: { isShared?: boolean } = {}) {
    this.#isShared = isShared;
    this.#ids = this.#words(ROWS_FIRST * ID_WORDS);
    this.#packs = this.#words(ROWS_FIRST);
    this.#offsets = this.#words(ROWS_FIRST);
    this.#lengths = this.#words(ROWS_FIRST);
    this.#plains = this.#words(ROWS_FIRST);
    this.#flags = new Uint8Array(this.#memory(ROWS_FIRST));
    this.#table = this.#words(ROWS_FIRST * 2);
  }

  /** What another thread has given by `share`; only to look things up in. */
  static of(shared: SharedIndex): BlobIndex {
    const index = new BlobIndex();
    index.#count = shared.count;
    index.#ids = shared.ids;
    index.#packs = shared.packs;
    index.#offsets = shared.offsets;
    index.#lengths = shared.lengths;
    index.#plains = shared.plains;
    index.#flags = shared.flags;
    index.#table = shared.table;
    for (const packId of shared.packIds) index.addPack(packId);
    return index;
  }

  /** For other threads, of an index in shared memory to which nothing is added any more. */
  share(): SharedIndex {
    return {
      count: this.#count,
      packIds: this.#packIds,
      ids: this.#ids,
      packs: this.#packs,
      offsets: this.#offsets,
      lengths: this.#lengths,
      plains: this.#plains,
      flags: this.#flags,
      table: this.#table,
    };
  }

  /** Rows: blobs and further copies of them. */
  get rowCount(): number {
    return this.#count;
  }

  get packCount(): number {
    return this.#packIds.length;
  }

  /** The row of a copy of the blob, or `NO_ROW`. Of several copies the first that was added. */
  find(type: BlobType, id: string): number {
    this.#probeBytes.setFromHex(id);
    return this.#findProbe(type === "tree" ? TREE_BIT : 0, NO_ROW);
  }

  /** The next copy after one that `find` or this gave. */
  findNext(row: number): number {
    this.#probe.set(this.#ids.subarray(row * ID_WORDS, (row + 1) * ID_WORDS));
    return this.#findProbe(this.#flags[row]! & TREE_BIT, row);
  }

  has(type: BlobType, id: string): boolean {
    return this.find(type, id) !== NO_ROW;
  }

  /** The same for data, by an id in hex digits; false when they are none. */
  hasData(digits: Uint8Array): boolean {
    return readHexId(digits, 0, this.#probe, 0) && this.#findProbe(0, NO_ROW) !== NO_ROW;
  }

  /** The pack's number, which it has from now on. */
  addPack(packId: string): number {
    let number = this.#packNumbers.get(packId);
    if (number === undefined) {
      number = this.#packIds.length;
      this.#packIds.push(packId);
      this.#packNumbers.set(packId, number);
    }
    return number;
  }

  /** Room for so many rows, so that none is copied while they come; memory that is never used is never taken. */
  reserve(rows: number): void {
    if (rows > this.#packs.length) this.#setRoom(Math.ceil(rows));
  }

  /** Adds a blob; one that is there already, in the same pack at the same place, is not added again. */
  add(pack: number, blob: PackedBlob): number {
    this.#probeBytes.setFromHex(blob.id);
    const flag = blob.type === "tree" ? TREE_BIT : 0;
    return this.#addProbe(pack, flag, blob.offset, blob.lengthBytes, blob.plainBytes);
  }

  /** As `add` for every row; `packs` are the numbers of the columns' packs here. */
  addColumns(columns: IndexColumns, packs: readonly number[]): void {
    for (let row = 0; row < columns.count; row++) {
      for (let i = 0; i < ID_WORDS; i++) this.#probe[i] = columns.ids[row * ID_WORDS + i]!;
      this.#addProbe(
        packs[columns.packs[row]!]!,
        columns.trees[row]!,
        columns.offsets[row]!,
        columns.lengths[row]!,
        columns.plains[row]!,
      );
    }
  }

  #addProbe(
    pack: number,
    flag: number,
    offset: number,
    lengthBytes: number,
    plainBytes: number,
  ): number {
    if ((this.#count + 1) > this.#table.length * LOAD_MAX) this.#growTable();
    let slot = this.#slotOfProbe(flag);
    for (let at = this.#table[slot]!; at !== EMPTY; at = this.#table[slot]!) {
      const row = at - 1;
      if (
        this.#packs[row] === pack && this.#offsets[row] === offset && this.#isProbe(row, flag)
      ) return row;
      slot = (slot + 1) & (this.#table.length - 1);
    }
    if (this.#count === this.#packs.length) this.#growRows();
    const row = this.#count++;
    this.#ids.set(this.#probe, row * ID_WORDS);
    this.#packs[row] = pack;
    this.#offsets[row] = offset;
    this.#lengths[row] = lengthBytes;
    this.#plains[row] = plainBytes;
    this.#flags[row] = flag;
    this.#table[slot] = row + 1;
    return row;
  }

  packId(pack: number): string {
    return this.#packIds[pack]!;
  }

  packNumber(packId: string): number | undefined {
    return this.#packNumbers.get(packId);
  }

  packOf(row: number): number {
    return this.#packs[row]!;
  }

  offsetOf(row: number): number {
    return this.#offsets[row]!;
  }

  lengthOf(row: number): number {
    return this.#lengths[row]!;
  }

  /** 0 when it is not compressed. */
  plainOf(row: number): number {
    return this.#plains[row]!;
  }

  typeOf(row: number): BlobType {
    return (this.#flags[row]! & TREE_BIT) === 1 ? "tree" : "data";
  }

  idOf(row: number): string {
    return new Uint8Array(this.#ids.buffer, row * ID_BYTES, ID_BYTES).toHex();
  }

  /** How long a blob is when it is read; undefined when none is known by that name. */
  sizeOf(type: BlobType, id: string): number | undefined {
    const row = this.find(type, id);
    return row === NO_ROW ? undefined : this.sizeOfRow(row);
  }

  /** The same of a row; negative where its file says what cannot be. */
  sizeOfRow(row: number): number {
    return this.#plains[row] || this.#lengths[row]! - SEAL_OVERHEAD_BYTES;
  }

  /** Everything about a row as an object. */
  blob(row: number): PackedBlob {
    return {
      type: this.typeOf(row),
      id: this.idOf(row),
      offset: this.offsetOf(row),
      lengthBytes: this.lengthOf(row),
      plainBytes: this.plainOf(row),
    };
  }

  /** Rows in the order of packs and, within one, of offsets, with where each pack's begin; one more than there are packs. */
  rowsByPack(): { rows: Uint32Array; starts: Uint32Array } {
    const starts = new Uint32Array(this.packCount + 1);
    for (let row = 0; row < this.#count; row++) starts[this.#packs[row]! + 1]!++;
    for (let pack = 0; pack < this.packCount; pack++) starts[pack + 1]! += starts[pack]!;
    const next = starts.slice();
    const rows = new Uint32Array(this.#count);
    for (let row = 0; row < this.#count; row++) rows[next[this.#packs[row]!]!++] = row;
    for (let pack = 0; pack < this.packCount; pack++) {
      rows.subarray(starts[pack], starts[pack + 1])
        .sort((a, b) => this.#offsets[a]! - this.#offsets[b]!);
    }
    return { rows, starts };
  }

  #findProbe(flag: number, after: number): number {
    let slot = this.#slotOfProbe(flag);
    for (let at = this.#table[slot]!; at !== EMPTY; at = this.#table[slot]!) {
      const row = at - 1;
      // Copies stand in the order in which they were added, so those before `after` were given already.
      if (row > after && this.#isProbe(row, flag)) return row;
      slot = (slot + 1) & (this.#table.length - 1);
    }
    return NO_ROW;
  }

  #isProbe(row: number, flag: number): boolean {
    if ((this.#flags[row]! & TREE_BIT) !== flag) return false;
    const at = row * ID_WORDS;
    for (let i = 0; i < ID_WORDS; i++) if (this.#ids[at + i] !== this.#probe[i]) return false;
    return true;
  }

  /** Ids are hashes: any of their bits are as good as a hash of them. */
  #slotOfProbe(flag: number): number {
    return (this.#probe[0]! + flag) & (this.#table.length - 1);
  }

  #growTable(): void {
    const table = this.#words(this.#table.length * 2);
    const mask = table.length - 1;
    for (let row = 0; row < this.#count; row++) {
      let slot = (this.#ids[row * ID_WORDS]! + (this.#flags[row]! & TREE_BIT)) & mask;
      while (table[slot] !== EMPTY) slot = (slot + 1) & mask;
      table[slot] = row + 1;
    }
    this.#table = table;
  }

  /** By half: what is copied once too often costs less than memory that nobody needs. */
  #growRows(): void {
    this.#setRoom(Math.ceil(this.#packs.length * 1.5));
  }

  #setRoom(rows: number): void {
    this.#ids = this.#grown(this.#ids, rows * ID_WORDS);
    this.#packs = this.#grown(this.#packs, rows);
    this.#offsets = this.#grown(this.#offsets, rows);
    this.#lengths = this.#grown(this.#lengths, rows);
    this.#plains = this.#grown(this.#plains, rows);
    const flags = new Uint8Array(this.#memory(rows));
    flags.set(this.#flags);
    this.#flags = flags;
  }

  #grown(from: Uint32Array, length: number): Uint32Array {
    const to = this.#words(length);
    to.set(from);
    return to;
  }

  #words(length: number): Uint32Array {
    return new Uint32Array(this.#memory(length * 4));
  }

  #memory(bytes: number): ArrayBufferLike {
    return this.#isShared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
  }
}
