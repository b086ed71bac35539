/** A line made of parts that can be left out. Rule: the line is never wider than asked; the least important part goes first. */
import type { Paint, Style } from "./colours.ts";
import { fitEnd, textWidth } from "./visible_text.ts";

const GAP = "  ";

export interface Segment {
  /** Printable text without escapes. */
  text: string;
  paint?: Paint | undefined;
  /** Higher stays longer. */
  weight: number;
}

/** The segments that fit, in their order, parted by two blanks. What alone is still too wide is cut. */
export function composeLine(segments: readonly Segment[], columns: number): string {
  return paintLine(fitSegments(segments, columns), columns);
}

/** The segments left when the lightest are dropped until the line fits; of equal ones the last goes first. */
export function fitSegments(segments: readonly Segment[], columns: number): Segment[] {
  const kept = segments.filter((segment) => segment.text !== "");
  while (kept.length > 1 && lineWidth(kept) > columns) {
    let lightest = kept.length - 1;
    for (let i = kept.length - 1; i >= 0; i--) {
      if (kept[i]!.weight < kept[lightest]!.weight) lightest = i;
    }
    kept.splice(lightest, 1);
  }
  return kept;
}

/** Columns that segments take side by side. */
export function lineWidth(segments: readonly Segment[]): number {
  const texts = segments.reduce((sum, segment) => sum + textWidth(segment.text), 0);
  return texts + GAP.length * Math.max(0, segments.length - 1);
}

function paintLine(segments: readonly Segment[], columns: number): string {
  const asIs: Paint = (text) => text;
  const [only] = segments;
  if (only !== undefined && segments.length === 1) {
    return (only.paint ?? asIs)(fitEnd(only.text, columns));
  }
  return segments.map(({ text, paint }) => (paint ?? asIs)(text)).join(GAP);
}

/** A bar of exactly `columns`: the verified part over the copied part over the rest. Fractions in [0, 1]. */
export function progressBar(
  parts: { copied: number; verified: number },
  columns: number,
  style: Style,
): string {
  // Rounded down, so that a full bar means full.
  const verified = Math.floor(parts.verified * columns);
  const copied = Math.max(verified, Math.floor(parts.copied * columns)) - verified;
  const { glyphs } = style;
  return style.good(glyphs.verified.repeat(verified)) +
    style.busy(glyphs.copied.repeat(copied)) +
    style.dim(glyphs.empty.repeat(Math.max(0, columns - verified - copied)));
}
