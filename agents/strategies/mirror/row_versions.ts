/** What was read of files that changed since they were listed. Rule: of the latest copy only. */
import type { EntryTable } from "../../source/entry_table.ts";
import type { FileVersion } from "./manifest_line.ts";

export class RowVersions {
  readonly #table: EntryTable;
  readonly #versions = new Map<number, FileVersion>();

  constructor(table: EntryTable) {
    this.#table = table;
  }

  /** A version of an earlier copy says nothing about this one. */
  set(row: number, version: FileVersion | undefined): void {
    if (version === undefined) this.#versions.delete(row);
    else this.#versions.set(row, version);
  }

  /** As was read last. */
  sizeBytes(row: number): number {
    return this.#versions.get(row)?.sizeBytes ?? this.#table.columns.sizeBytes[row]!;
  }

  of(rows: readonly number[]): [number, FileVersion][] {
    if (this.#versions.size === 0) return [];
    const found: [number, FileVersion][] = [];
    for (const row of rows) {
      const version = this.#versions.get(row);
      if (version !== undefined) found.push([row, version]);
    }
    return found;
  }

  all(): [number, FileVersion][] {
    return [...this.#versions];
  }
}
