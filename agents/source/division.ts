/**
 * Divides a source into stretches of about equal work. Rule: a cut leaves whole what belongs together (names of one
 * file, and what a caller joins), and of the places where it could be, takes the one nearest the top of the tree. Pure.
 */
import type { ScanCounters } from "../../protocol/mesh/progress.ts";
import { KIND_DIRECTORY, KIND_FILE } from "../platform/posix.ts";
import { type EntryTable, NONE } from "./entry_table.ts";

/** What an entry costs whatever its size, as bytes. */
const ENTRY_BYTES = 64 << 10;
/** Below this, about a second's work, a part costs more than it brings. */
export const PART_WEIGHT_MIN = 64 << 20;
/** How far, in parts, a cut may be from where it would divide evenly, so that it lies nearer the top. */
const SLACK = 1 / 4;

export interface DivisionOptions {
  partsMax: number;
  /** A part is no lighter than this on average. */
  weightMin?: number;
  /** Pairs of rows, the earlier first, that stay in one part. */
  together?: Iterable<readonly [number, number]>;
}

/** Rows at which parts begin, ascending, the first not among them: none for a source that stays whole. */
export function divide(table: EntryTable, options: DivisionOptions): number[] {
  const { count } = table;
  let total = 0;
  for (let i = 0; i < count; i++) total += weightOf(table, i);
  const weightMin = options.weightMin ?? PART_WEIGHT_MIN;
  const parts = Math.min(options.partsMax, Math.floor(total / weightMin));
  if (parts < 2) return [];
  const isFree = freeRows(table, options.together ?? []);
  const depths = depthsOf(table);
  /** By cut: the best in its window, and the nearest before and after the even place. */
  const best: (Cut | undefined)[] = new Array(parts - 1);
  const before: (Cut | undefined)[] = new Array(parts - 1);
  const after: (Cut | undefined)[] = new Array(parts - 1);
  const size = total / parts;
  let weight = weightOf(table, 0);
  let last: Cut | undefined;
  /** Cuts from here on have their even place still ahead. */
  let ahead = 0;
  for (let i = 1; i < count; i++) {
    if (isFree(i)) {
      const cut: Cut = { row: i, weight, depth: depths[i]! };
      for (; ahead < parts - 1 && (ahead + 1) * size < weight; ahead++) {
        before[ahead] = last;
        after[ahead] = cut;
      }
      const near = Math.round(weight / size) - 1;
      if (near >= 0 && near < parts - 1) {
        const place = (near + 1) * size;
        const known = best[near];
        const isWithin = Math.abs(weight - place) <= SLACK * size;
        if (isWithin && (known === undefined || isBetter(cut, known, place))) best[near] = cut;
      }
      last = cut;
    }
    weight += weightOf(table, i);
  }
  for (; ahead < parts - 1; ahead++) before[ahead] = last;
  const rows: number[] = [];
  for (let k = 0; k < parts - 1; k++) {
    const cut = best[k] ?? nearest(before[k], after[k], (k + 1) * size);
    if (cut !== undefined && cut.row > (rows.at(-1) ?? 0)) rows.push(cut.row);
  }
  return rows;
}

interface Cut {
  row: number;
  /** Of everything before it. */
  weight: number;
  depth: number;
}

function isBetter(a: Cut, b: Cut, place: number): boolean {
  return a.depth !== b.depth
    ? a.depth < b.depth
    : Math.abs(a.weight - place) < Math.abs(b.weight - place);
}

function nearest(a: Cut | undefined, b: Cut | undefined, place: number): Cut | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return place - a.weight <= b.weight - place ? a : b;
}

export function weightOf(table: EntryTable, row: number): number {
  const { kind, linkTo, sizeBytes } = table.columns;
  // A further name costs no bytes; a device's size is its number.
  const isContent = kind[row] === KIND_FILE && linkTo[row] === NONE;
  return ENTRY_BYTES + (isContent ? sizeBytes[row]! : 0);
}

/** Whether a part may begin at a row. */
function freeRows(
  table: EntryTable,
  together: Iterable<readonly [number, number]>,
): (row: number) => boolean {
  const { count } = table;
  /** How many groups begin less how many end, at each row. */
  const steps = new Int32Array(count + 1);
  const join = (first: number, row: number) => {
    steps[first + 1]! += 1;
    steps[row + 1]! -= 1;
  };
  const { linkTo } = table.columns;
  for (let i = 0; i < count; i++) if (linkTo[i] !== NONE) join(linkTo[i]!, i);
  for (const [first, row] of together) join(first, row);
  const isHeld = new Uint8Array(count);
  let open = 0;
  for (let i = 0; i < count; i++) {
    open += steps[i]!;
    if (open > 0) isHeld[i] = 1;
  }
  return (row) => isHeld[row] === 0;
}

function depthsOf(table: EntryTable): Uint16Array {
  const depths = new Uint16Array(table.count);
  const { parent } = table.columns;
  for (let i = 1; i < table.count; i++) depths[i] = depths[parent[i]!]! + 1;
  return depths;
}

/** What lies in the rows from `from` up to, but not including, `to`. */
export function countRows(table: EntryTable, from: number, to: number): ScanCounters {
  const counters: ScanCounters = {
    files: 0,
    directories: 0,
    others: 0,
    bytes: 0,
    unreadable: 0,
    excluded: 0,
  };
  const { kind, linkTo, sizeBytes } = table.columns;
  for (let i = from; i < to; i++) {
    if (kind[i] === KIND_DIRECTORY) counters.directories++;
    else if (kind[i] !== KIND_FILE) counters.others++;
    else {
      counters.files++;
      if (linkTo[i] === NONE) counters.bytes += sizeBytes[i]!;
    }
  }
  return counters;
}
