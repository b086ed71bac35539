/** What every part of a bench hands back. Rule: all values are kept; the median is derived from them. */

export interface Row {
  name: string;
  /** In the unit of the part, one a round, in the order they were measured. */
  values: readonly number[];
  /** Anything else worth a glance: CPU seconds, seconds of each step. */
  detail?: string;
}

export interface Verdict {
  measure: string;
  measured: number;
  /** The measure is met when it is not greater. */
  target: number;
  unit: string;
}

export interface Part {
  title: string;
  unit: string;
  rows: readonly Row[];
  /** Rows are also shown as a multiple of this one. */
  baseline?: string;
  verdicts: readonly Verdict[];
  /** Copies found equal to the source by code of our own, when that was asked for. */
  filesCompared?: number;
  notes: readonly string[];
}

/** Of at least one value. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1];
  if (upper === undefined) throw new RangeError("No values");
  return sorted.length % 2 === 1 ? upper : (upper + sorted[(sorted.length >> 1) - 1]!) / 2;
}

/** The row with the smallest median. */
export function best(rows: readonly Row[]): Row {
  return rows.reduce((a, b) => (median(b.values) < median(a.values) ? b : a));
}
