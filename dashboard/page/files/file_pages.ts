/** The files of a run, page by page. Rule: bounded, and what changes is asked for again a page at a time. */
import type { FileRow } from "../../../protocol/mesh/place_methods.ts";

export const MATRIX_FILES_MAX = 100_000;
export const PAGE_FILES = 1_000;

export interface FilePages {
  destinations: readonly string[];
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
  rows: [],
  total: 0,
  notes: [],
  version: 0,
};

export function withPage(pages: FilePages, page: FilePage, offset: number): FilePages {
  const rows = pages.rows;
  for (const [at, row] of page.rows.entries()) rows[offset + at] = row;
  if (page.total < rows.length) rows.length = page.total;
  return {
    destinations: page.destinations,
    rows,
    total: page.total,
    notes: page.notes,
    version: pages.version + 1,
  };
}

/** Where to ask next: what is missing first, then round and round. */
export function nextOffset(pages: FilePages, lastOffset: number): number {
  const wanted = Math.min(pages.total, MATRIX_FILES_MAX);
  if (pages.rows.length < wanted) return Math.floor(pages.rows.length / PAGE_FILES) * PAGE_FILES;
  const next = lastOffset + PAGE_FILES;
  return next < wanted ? next : 0;
}

export function isComplete(pages: FilePages): boolean {
  return pages.version > 0 && pages.rows.length >= Math.min(pages.total, MATRIX_FILES_MAX);
}
