/**
 * One folder's entries on their way to its tree, as the bytes of its JSON. Rule: no object an entry, since there may be a million
 * in hand at once; entries are begun in the order of their names and ended in any.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import type { ByteString } from "./go_json.ts";
import { Utf8Bytes } from "./utf8_bytes.ts";

/** Of every entry: where its two parts begin and end. */
const PLACES = 4;
const HEAD = 0;
const HEAD_END = 1;
const TAIL = 2;
const TAIL_END = 3;

const OPENED = '{"nodes":[';
const CLOSED = "]}\n";

/** Joins entries to a tree, in memory that serves for one tree after the other. */
export class TreeJoiner {
  readonly #bytes = new Utf8Bytes();

  /** Part of an entry, or several whole ones; the first part of each says so. */
  add(from: Uint8Array, isFirst: boolean, start = 0, end: number = from.length): void {
    if (isFirst) this.#bytes.add(this.#bytes.length === 0 ? OPENED : ",");
    this.#bytes.addBytes(from, start, end);
  }

  /** What was added so far, without what makes it a tree; then it is as if nothing had been. */
  entries(): Uint8Array {
    return this.#bytes.take().slice(OPENED.length);
  }

  /** The tree, until something is added to the next one. */
  finish(): Uint8Array {
    if (this.#bytes.length === 0) this.#bytes.add(OPENED);
    this.#bytes.add(CLOSED);
    return this.#bytes.take();
  }
}

export class TreeEntries {
  readonly #bytes = new Utf8Bytes();
  readonly #places: number[] = [];
  #last: ByteString | undefined;

  get count(): number {
    return this.#places.length / PLACES;
  }

  get roomBytes(): number {
    return this.#bytes.roomBytes;
  }

  /**
   * Begins an entry whose name comes after all names before; its number. Until it is ended it is in no tree.
   * @throws {BackupError} when the name does not
   */
  begin(name: ByteString, head: string): number {
    if (this.#last !== undefined && name <= this.#last) {
      const what = name === this.#last ? "twice" : `after ${this.#last}`;
      throw new BackupError("changed_while_read", `A folder lists ${name} ${what}`);
    }
    this.#last = name;
    const at = this.#bytes.add(head);
    return this.#places.push(at, this.#bytes.length, 0, 0) / PLACES - 1;
  }

  /** Puts another beginning in the place of one. */
  setHead(entry: number, head: string): void {
    this.#places[entry * PLACES + HEAD] = this.#bytes.add(head);
    this.#places[entry * PLACES + HEAD_END] = this.#bytes.length;
  }

  /** The bytes that an entry begins with, until something is added. */
  head(entry: number): Uint8Array {
    const place = entry * PLACES;
    return this.#bytes.view(this.#places[place + HEAD], this.#places[place + HEAD_END]);
  }

  /** Ends an entry. Bytes are copied. */
  end(entry: number, tail: string | Uint8Array): void {
    const bytes = this.#bytes;
    const place = entry * PLACES;
    this.#places[place + TAIL] = typeof tail === "string" ? bytes.add(tail) : bytes.addBytes(tail);
    this.#places[place + TAIL_END] = bytes.length;
  }

  /** Adds an entry to a tree, if it is ended. */
  copy(entry: number, tree: TreeJoiner): void {
    const place = entry * PLACES;
    if (this.#places[place + TAIL_END] === 0) return;
    const bytes = this.#bytes.view();
    tree.add(bytes, true, this.#places[place + HEAD], this.#places[place + HEAD_END]);
    tree.add(bytes, false, this.#places[place + TAIL], this.#places[place + TAIL_END]);
  }

  clear(): void {
    this.#bytes.take();
    this.#places.length = 0;
    this.#last = undefined;
  }
}
