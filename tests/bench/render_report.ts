/** The report for people. Rule: every value that was measured is in it, also those that miss their target. */
import type { MachineFacts } from "./machine_facts.ts";
import { median, type Part, type Row, type Verdict } from "./part.ts";

export function renderFacts(facts: MachineFacts): string {
  const width = Math.max(...Object.keys(facts).map((name) => name.length));
  return Object.entries(facts).map(([name, fact]) => `${name.padEnd(width)}  ${fact}`).join("\n");
}

export function renderPart(part: Part): string {
  const baseline = part.rows.find(({ name }) => name === part.baseline);
  const head = [
    "",
    `median ${part.unit}`,
    ...(baseline === undefined ? [] : ["ratio"]),
    "all values",
    "",
  ];
  const lines = part.rows.map((row) => cells(row, baseline));
  return [
    `## ${part.title}`,
    "",
    ...table([head, ...lines]),
    "",
    ...part.verdicts.map(renderVerdict),
    ...part.notes.map((note) => `(${note})`),
    "",
  ].join("\n");
}

function cells(row: Row, baseline: Row | undefined): string[] {
  const middle = median(row.values);
  const ratio = baseline === undefined ? [] : [(middle / median(baseline.values)).toFixed(2)];
  return [row.name, show(middle), ...ratio, row.values.map(show).join(" "), row.detail ?? ""];
}

function table(rows: readonly string[][]): string[] {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows.map((row) =>
    // Names to the left, numbers to the right.
    row.map((cell, i) =>
      i === 0 || i >= row.length - 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)
    ).join("  ").trimEnd()
  );
}

function renderVerdict({ measure, measured, target, unit }: Verdict): string {
  const met = measured <= target ? "met" : "MISSED";
  return `${met}: ${measure}: ${show(measured)} ${unit}, target ≤ ${target} ${unit}`;
}

function show(value: number): string {
  return value.toFixed(value < 100 ? 2 : 0);
}
