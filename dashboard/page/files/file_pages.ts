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
  /** Rows of the present order; those after them are of an earlier one, until they have come again. */
  known: number;
  /** Files that can be listed now; more than `rows` while pages are missing or there are too many. */
  total: number;
  /** Files that cannot. */
  unlisted: number;
  notes: readonly string[];
  /** Grows with each page, as the rows are changed in place. */
  version: number;
}

export interface FilePage {
  destinations: string[];
  rows: FileRow[];
  total: number;
  unlisted: number;
  notes: string[];
}

export const NO_FILES: FilePages = {
  destinations: [],
  first: 0,
  rows: [],
  known: 0,
  total: 0,
  unlisted: 0,
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
  const start = offset - first;
  // A page beyond what is there would leave a hole.
  if (start <= rows.length) { for (const [at, row] of page.rows.entries()) rows[start + at] = row; }
  const wanted = wantedRows({ total: page.total, first });
  if (wanted < rows.length) rows.length = wanted;
  const known = isSameOrder(pages, page) ? pages.known : 0;
  const end = start + page.rows.length;
  return {
    destinations: page.destinations,
    first,
    rows,
    known: Math.min(wanted, start <= known ? Math.max(known, end) : known),
    total: page.total,
    unlisted: page.unlisted,
    notes: page.notes,
    version: pages.version + 1,
  };
}

/** A task that begins or ends moves the files of all that come after it. */
function isSameOrder(pages: FilePages, page: FilePage): boolean {
  return pages.total === page.total && pages.unlisted === page.unlisted &&
    pages.notes.join("\n") === page.notes.join("\n");
}

/** Where to ask next: what is missing first, then round and round. */
export function nextOffset(pages: FilePages, lastOffset: number): number {
  const { first, known } = pages;
  const wanted = wantedRows(pages);
  if (known < wanted) return first + Math.floor(known / PAGE_FILES) * PAGE_FILES;
  const next = lastOffset + PAGE_FILES;
  return next >= first && next < first + wanted ? next : first;
}

export function isComplete(pages: FilePages): boolean {
  return pages.version > 0 && pages.known >= wantedRows(pages);
}

/** Where the stretches begin that are shown one at a time. */
export function stretches(total: number): number[] {
  const count = Math.max(1, Math.ceil(total / MATRIX_FILES_MAX));
  return Array.from({ length: count }, (_, at) => at * MATRIX_FILES_MAX);
}
