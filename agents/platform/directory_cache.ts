/**
 * Open directories of one tree, found by row number: each is opened through its parent, one name at a time, without
 * following links. Rule: at most `limit` stay open; the root is never closed by the cache.
 */
import type { DirectoryHandle, Posix } from "./posix.ts";

/** Where a directory's name and parent come from. `parent` answers `NO_PARENT` for the root. */
export interface DirectoryNames {
  parent(row: number): number;
  cName(row: number): Uint8Array;
}

/** Files come in the order of their size as well as of their folders: a small cache would open folders again and again. */
const OPEN_DIRECTORIES_MAX = 256;

export const NO_PARENT = 0xffffffff;

export class DirectoryCache {
  readonly #posix: Posix;
  readonly #names: DirectoryNames;
  readonly #root: DirectoryHandle;
  readonly #limit: number;
  /** Insertion order is use order: the first key is the least recently used. */
  readonly #open = new Map<number, DirectoryHandle>();
  #lastRow = -1;
  #lastHandle: DirectoryHandle = -1;

  constructor(
    posix: Posix,
    names: DirectoryNames,
    root: DirectoryHandle,
    limit = OPEN_DIRECTORIES_MAX,
  ) {
    this.#posix = posix;
    this.#names = names;
    this.#root = root;
    this.#limit = limit;
  }

  /** The handle of a directory row, or -errno. Valid until the next call. */
  handle(row: number): DirectoryHandle {
    if (row === this.#lastRow) return this.#lastHandle;
    if (this.#names.parent(row) === NO_PARENT) return this.#root;
    let handle = this.#open.get(row);
    if (handle === undefined) {
      // Down from the nearest open ancestor, without recursion: trees can be thousands of levels deep.
      const chain: number[] = [];
      let at = row;
      let base = this.#root;
      while (this.#names.parent(at) !== NO_PARENT) {
        const known = this.#open.get(at);
        if (known !== undefined) {
          base = known;
          break;
        }
        chain.push(at);
        at = this.#names.parent(at);
      }
      handle = base;
      let temporary = -1;
      for (let k = chain.length - 1; k >= 0; k--) {
        const opened = this.#posix.openDirectory(handle, this.#names.cName(chain[k]!));
        if (temporary >= 0) this.#posix.closeDirectory(temporary);
        if (opened < 0) return opened;
        handle = opened;
        temporary = k === 0 ? -1 : opened;
      }
      if (this.#open.size >= this.#limit) {
        const [oldest, oldHandle] = this.#open.entries().next().value!;
        this.#open.delete(oldest);
        this.#posix.closeDirectory(oldHandle);
      }
    } else {
      this.#open.delete(row);
    }
    this.#open.set(row, handle);
    this.#lastRow = row;
    this.#lastHandle = handle;
    return handle;
  }

  close(): void {
    for (const handle of this.#open.values()) this.#posix.closeDirectory(handle);
    this.#open.clear();
    this.#lastRow = -1;
  }
}
