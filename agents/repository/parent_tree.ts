/**
 * A folder as the snapshot before has it: its tree's bytes, and where each entry lies in them. Rule: entries are asked for in the
 * order of their names, and only those that are not exactly as before are ever made objects of.
 */
import { IntegrityError } from "../../protocol/base/errors.ts";
import type { ByteString } from "./go_json.ts";
import { decodeNode, decodeTree, encodeTree, type TreeNode } from "./tree.ts";
import type { TreeJoiner } from "./tree_entries.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const BRACE = 0x7b;
const BRACE_CLOSED = 0x7d;
const BRACKET = 0x5b;
const BRACKET_CLOSED = 0x5d;
const NEWLINE = 0x0a;

const literal = (text: string) => new TextEncoder().encode(text);
const BEGIN = literal('{"nodes":[');
const NAME = literal('{"name":"');
const ID_DIGITS = 64;
/** Quotes and a comma, or the closing bracket. */
const ID_STEP = ID_DIGITS + 3;

export class ParentTree {
  readonly #json: Uint8Array;
  readonly #what: string;
  /** Of every entry where it begins, and where the last one ends. */
  readonly #starts: number[];
  /** The first entry that was not passed yet. */
  #next = 0;
  /** The entry that was found last. */
  #found = -1;

  /**
   * `json` stays as it is for as long as anybody asks. @throws {IntegrityError} when it is no tree; `what` says whose tree it is
   */
  constructor(json: Uint8Array, what: string) {
    this.#what = what;
    let starts = entryStarts(json);
    this.#json = json;
    if (starts === undefined) {
      // Written in another way than restic and we write it.
      this.#json = encodeTree(decodeTree(json, what));
      starts = entryStarts(this.#json)!;
    }
    this.#starts = starts;
  }

  /** Goes on to the entry of this name; false when there is none. Names come in order. */
  find(name: ByteString): boolean {
    for (; this.#next < this.#starts.length - 1; this.#next++) {
      const order = this.#compareName(this.#next, name);
      if (order > 0) return false;
      if (order < 0) continue;
      this.#found = this.#next++;
      return true;
    }
    return false;
  }

  /**
   * Whether the entry found last begins with these bytes and ends in a list of ids that are all there: where the list is, with
   * what closes it. Undefined says nothing: it may be the same and written in another way.
   */
  tailAfter(head: Uint8Array, has: (id: Uint8Array) => boolean): Uint8Array | undefined {
    const start = this.#starts[this.#found]!;
    const end = this.#endOf(this.#found);
    const from = start + head.length;
    if (from >= end) return undefined;
    const json = this.#json;
    for (let i = 0; i < head.length; i++) if (json[start + i] !== head[i]) return undefined;
    if (json[from] !== BRACKET || json[end - 2] !== BRACKET_CLOSED) return undefined;
    const isEmpty = from === end - 3;
    for (let at = from + 1; !isEmpty; at += ID_STEP) {
      const after = at + ID_DIGITS + 1;
      if (after > end - 2 || json[at] !== QUOTE || json[after] !== QUOTE) return undefined;
      if (!has(json.subarray(at + 1, after))) return undefined;
      if (after + 1 === end - 2) break;
      if (json[after + 1] !== COMMA) return undefined;
    }
    return json.subarray(from, end);
  }

  /** The entry found last. @throws {IntegrityError} */
  node(): TreeNode {
    try {
      return decodeNode(this.#json.subarray(this.#starts[this.#found], this.#endOf(this.#found)));
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new IntegrityError(`${this.#what} is no tree: ${why}`, { cause });
    }
  }

  /** Adds the entries that were not passed yet to a tree. */
  copyRest(tree: TreeJoiner): void {
    for (let entry = this.#next; entry < this.#starts.length - 1; entry++) {
      tree.add(this.#json, true, this.#starts[entry], this.#endOf(entry));
    }
  }

  /** Entries are parted by commas. */
  #endOf(entry: number): number {
    return this.#starts[entry + 1]! - 1;
  }

  /** Negative when the entry's name comes before. */
  #compareName(entry: number, name: ByteString): number {
    const json = this.#json;
    let at = this.#starts[entry]!;
    for (let i = 0; i < NAME.length; i++) {
      if (json[at++] !== NAME[i]) return this.#compareDecoded(entry, name);
    }
    for (let i = 0;; i++, at++) {
      const byte = json[at]!;
      if (byte === QUOTE) return i - name.length;
      if (byte === BACKSLASH || byte > 0x7e) return this.#compareDecoded(entry, name);
      if (i === name.length) return 1;
      const difference = byte - name.charCodeAt(i);
      if (difference !== 0) return difference;
    }
  }

  #compareDecoded(entry: number, name: ByteString): number {
    this.#found = entry;
    const { name: here } = this.node();
    return here === name ? 0 : here < name ? -1 : 1;
  }
}

/** Undefined when it is written in any other way. After the last one it says where one more entry would begin. */
function entryStarts(json: Uint8Array): number[] | undefined {
  const starts: number[] = [];
  for (let i = 0; i < BEGIN.length; i++) if (json[i] !== BEGIN[i]) return undefined;
  let at = BEGIN.length;
  if (json[at] === BRACKET_CLOSED) starts.push(at);
  else {
    do {
      if (json[at] !== BRACE) return undefined;
      starts.push(at);
      at = entryEnd(json, at) + 1;
    } while (json[at - 1] === COMMA);
    starts.push(at);
    at--;
  }
  const rest = json.length - at;
  const isEnd = json[at] === BRACKET_CLOSED && json[at + 1] === BRACE_CLOSED;
  return isEnd && (rest === 2 || (rest === 3 && json[at + 2] === NEWLINE)) ? starts : undefined;
}

/** Behind the brace that closes the one at `at`; behind the end of all when there is none. */
function entryEnd(json: Uint8Array, at: number): number {
  let depth = 0;
  for (; at < json.length; at++) {
    const byte = json[at]!;
    if (byte === QUOTE) {
      for (at++; at < json.length && json[at] !== QUOTE; at++) if (json[at] === BACKSLASH) at++;
    } else if (byte === BRACE) depth++;
    else if (byte === BRACE_CLOSED && --depth === 0) return at + 1;
  }
  return json.length + 1;
}
