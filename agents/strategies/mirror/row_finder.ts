/** Finds the row of a path. Rule: rows are in walk order, so that no index has to be made. */
import type { EntryTable } from "../../source/entry_table.ts";
import { compareWalkOrder } from "../../source/walk_order.ts";

export class RowFinder {
  readonly #table: EntryTable;
  /** The row after the last one found: most questions come in order. */
  #next = 0;

  constructor(table: EntryTable) {
    this.#table = table;
  }

  /** `path` is one byte a character; undefined when there is no such row. */
  find(path: string): number | undefined {
    const next = this.#next;
    const isNext = next < this.#table.count && this.#table.pathLatin1(next) === path;
    const row = isNext ? next : this.#search(path);
    if (row !== undefined) this.#next = row + 1;
    return row;
  }

  #search(path: string): number | undefined {
    let from = 0;
    let to = this.#table.count;
    while (from < to) {
      const middle = (from + to) >> 1;
      const order = compareWalkOrder(this.#table.pathLatin1(middle), path);
      if (order === 0) return middle;
      if (order < 0) from = middle + 1;
      else to = middle;
    }
    return undefined;
  }
}
