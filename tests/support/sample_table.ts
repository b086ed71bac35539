/** Entry tables made by hand, for tests that need rows and no disk. */
import { KIND_DIRECTORY, KIND_FILE, newStat, type Stat } from "../../agents/platform/posix.ts";
import { EntryTable, NONE } from "../../agents/source/entry_table.ts";

export function statOf(fields: Partial<Stat>): Stat {
  return { ...newStat(), mode: 0o644, allocatedBytes: fields.sizeBytes ?? 0, ...fields };
}

/** A root with one file for each size; row `i + 1` is the file of `sizesBytes[i]`. */
export function tableOfFiles(sizesBytes: readonly number[]): EntryTable {
  const table = EntryTable.create(4);
  table.push(NONE, "", statOf({ kind: KIND_DIRECTORY, mode: 0o755 }));
  sizesBytes.forEach((sizeBytes, k) =>
    table.push(0, `f${String(k).padStart(6, "0")}`, statOf({ kind: KIND_FILE, sizeBytes }))
  );
  return table;
}
