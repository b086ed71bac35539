/**
 * Rows that a destination cannot take under their own name, or not in their size. Rule: they are found before the first
 * byte and fail by name; nothing is ever stored under another name instead.
 */
import { KIND_DIRECTORY, KIND_FILE } from "../../platform/posix.ts";
import type { EntryTable } from "../../source/entry_table.ts";
import type { ItemProblem } from "./item_problem.ts";

/** What a destination takes. */
export interface Limits {
  /** Its file system, for the message. */
  fileSystem: string;
  /** Why a name (one byte a character) cannot stand there, see `createNameProbe`. */
  whyNot: (latin1: string) => string | undefined;
  fileBytesMax: number;
}

/** Largest file by type of file system; what others refuse they refuse in the middle of the file, with EFBIG. */
const FILE_BYTES_MAX: Readonly<Record<string, number>> = { vfat: 2 ** 32 - 1 };

export function fileBytesMax(type: string): number {
  return FILE_BYTES_MAX[type] ?? Infinity;
}

/** Ascending, each row once; everything below a directory that cannot be made is among them. */
export function unholdableRows(table: EntryTable, limits: Limits): ItemProblem[] {
  const { kind, parent, sizeBytes } = table.columns;
  const problems: ItemProblem[] = [];
  const lostDirectories = new Set<number>();
  const lose = (row: number, message: string) => {
    if (kind[row] === KIND_DIRECTORY) lostDirectories.add(row);
    problems.push({ row, code: "unsupported", message, retry: "no" });
  };
  for (let row = 1; row < table.count; row++) {
    if (lostDirectories.has(parent[row]!)) {
      lose(row, "The name of a folder above it cannot exist on this file system");
      continue;
    }
    const why = limits.whyNot(table.nameLatin1(row));
    if (why !== undefined) lose(row, forbiddenName(why, limits.fileSystem));
    else if (kind[row] === KIND_FILE && sizeBytes[row]! > limits.fileBytesMax) {
      lose(
        row,
        `It has ${sizeBytes[row]} bytes, and a file on this file system (${limits.fileSystem}) ` +
          `has ${limits.fileBytesMax} at most`,
      );
    }
  }
  return problems;
}

export function forbiddenName(why: string, fileSystem: string): string {
  return `Its name cannot exist on this file system (${fileSystem}): it ${why}`;
}
