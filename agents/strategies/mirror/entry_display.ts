/** How an entry of a task is called where people read of it: by its place below the destination. */
import type { EntryTable } from "../../source/entry_table.ts";

/** `name`: the copy's top name. */
export function displayOf(table: EntryTable, name: string, row: number): string {
  const path = table.pathText(row);
  return path === "" ? name : `${name}/${path}`;
}
