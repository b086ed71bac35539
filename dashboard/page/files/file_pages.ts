/** The files of a run, page by page. Rule: bounded, and what changes is asked for again a page at a time. */
import type { FileRow } from "../../../protocol/mesh/place_methods.ts";

/** Shown at once, from one of its multiples on; more would be no picture any more. */
export const MATRIX_FILES_MAX = 100_000;
export const PAGE_FILES = 1_000;

export interface FilePages {
  destinations: readonly string[];
  /** Number of the first row among all files of the run. */
  first: number;
  rows: FileRow[];
  /** In the run; more than `rows` while pages are missing or there are too many. */
  total: number;
  notes: readonly string[];
  /** Grows with each page, as the rows are changed in place. */
  version: number;
}

export interface FilePage {
  destinations: string[];
  rows: FileRow[];
  total: number;
  notes: string[];
}

export const NO_FILES: FilePages = {
  destinations: [],
  first: 0,
  rows: [],
  total: 0,
  notes: [],
  version: 0,
};

/** How many files are to be shown from `first` on. */
export function wantedRows({ total, first }: Pick<FilePages, "total" | "first">): number {
  return Math.max(0, Math.min(total - first, MATRIX_FILES_MAX));
}

/** `offset` counts from the first file of the run. */
export function withPage(pages: FilePages, page: FilePage, offset: number): FilePages {
  const { rows, first } = pages;
  for (const [at, row] of page.rows.entries()) rows[offset - first + at] = row;
  const wanted = wantedRows({ total: page.total, first });
  if (wanted < rows.length) rows.length = wanted;
  return {
    destinations: page.destinations,
    first,
    rows,
    total: page.total,
    notes: page.notes,
    version: pages.version + 1,
  };
}

/** Where to ask next: what is missing first, then round and round. */
export function nextOffset(pages: FilePages, lastOffset: number): number {
  const { first, rows } = pages;
  const wanted = wantedRows(pages);
  if (rows.length < wanted) return first + Math.floor(rows.length / PAGE_FILES) * PAGE_FILES;
  const next = lastOffset + PAGE_FILES;
  return next >= first && next < first + wanted ? next : first;
}

export function isComplete(pages: FilePages): boolean {
  return pages.version > 0 && pages.rows.length >= wantedRows(pages);
}

/** Where the stretches begin that are shown one at a time. */
export function stretches(total: number): number[] {
  const count = Math.max(1, Math.ceil(total / MATRIX_FILES_MAX));
  return Array.from({ length: count }, (_, at) => at * MATRIX_FILES_MAX);
}
