/**
 * One index file as columns of numbers. Rule: no object a blob, since there may be a million; what is not written as restic and
 * we write it is left to `decodeIndex`, which is slow and reads everything.
 */
import { decodeIndex } from "./index_file.ts";
import { ID_BYTES, readHexId } from "./object_id.ts";

const ROWS_FIRST = 4096;
const U32_MAX = 2 ** 32 - 1;
const ID_DIGITS = 2 * ID_BYTES;
const ID_WORDS = ID_BYTES / 4;

const literal = (text: string) => new TextEncoder().encode(text);
const BEGIN = literal('{"packs":[');
const PACK = literal('{"id":"');
const BLOBS = literal('","blobs":[');
const BLOB = literal('{"id":"');
const TYPE_DATA = literal('","type":"data","offset":');
const TYPE_TREE = literal('","type":"tree","offset":');
const LENGTH = literal(',"length":');
const PLAIN = literal(',"uncompressed_length":');
const COMMA = 0x2c;
const BRACE_CLOSED = 0x7d;
const BRACKET_CLOSED = 0x5d;
const NEWLINE = 0x0a;

/** Used again for file after file. */
export class IndexColumns {
  count = 0;
  packIds: string[] = [];
  /** Of each row, its place in `packIds`. */
  packs = new Uint32Array(ROWS_FIRST);
  ids = new Uint32Array(ROWS_FIRST * ID_WORDS);
  offsets = new Uint32Array(ROWS_FIRST);
  lengths = new Uint32Array(ROWS_FIRST);
  plains = new Uint32Array(ROWS_FIRST);
  /** 1 for trees. */
  trees = new Uint8Array(ROWS_FIRST);

  readonly #packId = new Uint32Array(ID_WORDS);
  #json: Uint8Array = new Uint8Array(0);
  #at = 0;

  /** Reads a whole file. @throws {IntegrityError} */
  read(json: Uint8Array, path: string): void {
    this.#clear(json);
    if (this.#readAll()) return;
    this.#clear(json);
    for (const { id, blobs } of decodeIndex(json, path)) {
      const pack = this.packIds.push(id) - 1;
      for (const blob of blobs) {
        const row = this.#addRow(pack);
        this.#idBytes(row).setFromHex(blob.id);
        this.trees[row] = blob.type === "tree" ? 1 : 0;
        this.offsets[row] = blob.offset;
        this.lengths[row] = blob.lengthBytes;
        this.plains[row] = blob.plainBytes;
      }
    }
  }

  #clear(json: Uint8Array): void {
    this.#json = json;
    this.#at = 0;
    this.count = 0;
    this.packIds = [];
  }

  /** False when it is written in any other way. */
  #readAll(): boolean {
    if (!this.#take(BEGIN)) return false;
    const json = this.#json;
    if (json[this.#at] === BRACKET_CLOSED) return this.#atEnd();
    for (;;) {
      if (!this.#readPack()) return false;
      if (json[this.#at] !== COMMA) return this.#atEnd();
      this.#at++;
    }
  }

  #readPack(): boolean {
    const json = this.#json;
    if (!this.#take(PACK)) return false;
    if (!readHexId(this.#json, this.#at, this.#packId, 0)) return false;
    const pack = this.packIds.push(latin1(json, this.#at, this.#at + ID_DIGITS)) - 1;
    this.#at += ID_DIGITS;
    if (!this.#take(BLOBS)) return false;
    for (;;) {
      if (!this.#readBlob(this.#addRow(pack))) return false;
      if (json[this.#at] !== COMMA) break;
      this.#at++;
    }
    return json[this.#at++] === BRACKET_CLOSED && json[this.#at++] === BRACE_CLOSED;
  }

  #readBlob(row: number): boolean {
    if (!this.#take(BLOB) || !this.#readId(row)) return false;
    if (this.#take(TYPE_DATA)) this.trees[row] = 0;
    else if (this.#take(TYPE_TREE)) this.trees[row] = 1;
    else return false;
    const offset = this.#number();
    if (offset < 0 || !this.#take(LENGTH)) return false;
    const length = this.#number();
    if (length < 0) return false;
    const plain = this.#take(PLAIN) ? this.#number() : 0;
    if (plain < 0) return false;
    this.offsets[row] = offset;
    this.lengths[row] = length;
    this.plains[row] = plain;
    return this.#json[this.#at++] === BRACE_CLOSED;
  }

  #readId(row: number): boolean {
    if (!readHexId(this.#json, this.#at, this.ids, row * ID_WORDS)) return false;
    this.#at += ID_DIGITS;
    return true;
  }

  /** -1 for what is no number of 32 bits, as JSON writes it. */
  #number(): number {
    const json = this.#json;
    const start = this.#at;
    let value = 0;
    let at = start;
    for (let digit; (digit = json[at]! - 0x30) >= 0 && digit <= 9; at++) value = value * 10 + digit;
    this.#at = at;
    const isNumber = at > start && at - start <= 10 && (json[start] !== 0x30 || at - start === 1);
    return isNumber && value <= U32_MAX ? value : -1;
  }

  #take(expected: Uint8Array): boolean {
    const json = this.#json;
    const at = this.#at;
    for (let i = 0; i < expected.length; i++) if (json[at + i] !== expected[i]) return false;
    this.#at = at + expected.length;
    return true;
  }

  /** At the two closing signs, with nothing but an end of line after them. */
  #atEnd(): boolean {
    const json = this.#json;
    const rest = json.length - this.#at;
    return json[this.#at] === BRACKET_CLOSED && json[this.#at + 1] === BRACE_CLOSED &&
      (rest === 2 || (rest === 3 && json[this.#at + 2] === NEWLINE));
  }

  #addRow(pack: number): number {
    const row = this.count++;
    if (row === this.packs.length) this.#grow();
    this.packs[row] = pack;
    return row;
  }

  #idBytes(row: number): Uint8Array {
    return new Uint8Array(this.ids.buffer, row * ID_BYTES, ID_BYTES);
  }

  #grow(): void {
    const rows = this.packs.length * 2;
    const grown = (from: Uint32Array, length: number) => {
      const to = new Uint32Array(length);
      to.set(from);
      return to;
    };
    this.packs = grown(this.packs, rows);
    this.ids = grown(this.ids, rows * ID_WORDS);
    this.offsets = grown(this.offsets, rows);
    this.lengths = grown(this.lengths, rows);
    this.plains = grown(this.plains, rows);
    const trees = new Uint8Array(rows);
    trees.set(this.trees);
    this.trees = trees;
  }
}

function latin1(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to));
}
