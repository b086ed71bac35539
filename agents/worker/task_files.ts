/** The files of a task in hand, and how far each is at every destination. Rule: read from what the threads share; nobody is asked. */
import type { FileRow } from "../../protocol/mesh/place_methods.ts";
import { KIND_FILE } from "../platform/posix.ts";
import { EntryTable, type EntryTableShare } from "../source/entry_table.ts";
import {
  STATUS_ADOPTED,
  STATUS_FAILED,
  STATUS_PUBLISHED,
  STATUS_RECORDED,
  STATUS_REVERIFIED,
  STATUS_STAGED,
  STATUS_UNCHANGED,
  STATUS_VERIFIED,
} from "../strategies/mirror/entry_status.ts";

export interface OpenFiles {
  /** Of the copy. */
  name: string;
  table: EntryTableShare;
  /** By destination. */
  statuses: ReadonlyMap<string, SharedArrayBuffer>;
}

export interface TaskFiles {
  destinations: string[];
  rows: FileRow[];
  total: number;
}

const LETTERS: Readonly<Record<number, string>> = {
  [STATUS_UNCHANGED]: "=",
  [STATUS_STAGED]: "c",
  [STATUS_PUBLISHED]: "c",
  [STATUS_ADOPTED]: "c",
  [STATUS_VERIFIED]: "v",
  [STATUS_REVERIFIED]: "v",
  [STATUS_FAILED]: "x",
  [STATUS_RECORDED]: "r",
};

export function pageOf(open: OpenFiles, offset: number, limit: number): TaskFiles {
  const table = EntryTable.fromShare(open.table);
  const statuses = [...open.statuses.values()].map((shared) => new Uint8Array(shared));
  const { kind, sizeBytes } = table.columns;
  const rows: FileRow[] = [];
  let total = 0;
  for (let row = 0; row < table.count; row++) {
    if (kind[row] !== KIND_FILE) continue;
    if (total++ < offset || rows.length >= limit) continue;
    rows.push({
      path: `${open.name}/${table.pathText(row)}`,
      sizeBytes: sizeBytes[row]!,
      marks: statuses.map((status) => LETTERS[status[row]!] ?? ".").join(""),
    });
  }
  return { destinations: [...open.statuses.keys()], rows, total };
}
