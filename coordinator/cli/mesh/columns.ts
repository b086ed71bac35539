/** Rows of text as a table. Rule: the last column is as long as it is; the others are as wide as their longest text. */
import { visibleText } from "../../../protocol/cli/visible_text.ts";

/** One string a line, the heading first; nothing at all without rows. */
export function columns(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return "";
  const table = [heading, ...rows].map((row) => row.map(visibleText));
  const widths = heading.map((_, i) => Math.max(...table.map((row) => row[i]!.length)));
  const line = (row: string[]): string =>
    row.map((cell, i) => i === row.length - 1 ? cell : cell.padEnd(widths[i]!)).join("  ")
      .trimEnd();
  return table.map((row) => `${line(row)}\n`).join("");
}
