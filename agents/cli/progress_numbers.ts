/**
 * The numbers of a command that goes once over recorded files: how far, how long yet, and the line that shows both. Rule:
 * bytes count where there are any, files otherwise.
 */
import type { Style } from "../../protocol/cli/colours.ts";
import {
  clampFraction,
  formatBytes,
  formatClock,
  formatCount,
  formatPercent,
  formatRate,
} from "../../protocol/cli/format.ts";
import { composeLine, progressBar } from "../../protocol/cli/segments.ts";

const BAR_COLUMNS = 30;

export interface NumbersView {
  progress: { filesDone: number; filesTotal: number; bytesDone: number; bytesTotal: number };
  elapsedMs: number;
}

export function fractionOf({ progress }: NumbersView): number {
  return progress.bytesTotal > 0
    ? clampFraction(progress.bytesDone / progress.bytesTotal)
    : clampFraction(progress.filesDone / Math.max(1, progress.filesTotal));
}

/** Time left at the pace so far; undefined while nothing is known. */
export function etaMsOf(view: NumbersView): number | undefined {
  const fraction = fractionOf(view);
  return fraction > 0 ? view.elapsedMs / fraction - view.elapsedMs : undefined;
}

/** Bar and numbers, as many as `columns` hold. */
export function numbersLine(view: NumbersView, columns: number, style: Style): string {
  const { progress, elapsedMs } = view;
  const fraction = fractionOf(view);
  const etaMs = etaMsOf(view);
  const bytesPerSecond = elapsedMs > 0 ? progress.bytesDone / (elapsedMs / 1000) : 0;
  const bar = columns >= 2 * BAR_COLUMNS
    ? progressBar({ copied: 1, verified: fraction }, BAR_COLUMNS, style) + "  "
    : "";
  const room = bar === "" ? columns : columns - BAR_COLUMNS - 2;
  return bar + composeLine([
    { text: formatPercent(fraction).padStart(4), weight: 9 },
    {
      text: `${formatCount(progress.filesDone)}/${formatCount(progress.filesTotal)} files`,
      weight: 6,
    },
    { text: `${formatBytes(progress.bytesDone)}/${formatBytes(progress.bytesTotal)}`, weight: 4 },
    { text: formatRate(bytesPerSecond), weight: 5 },
    { text: `ETA ${etaMs === undefined ? "-" : formatClock(etaMs)}`, weight: 7 },
  ], room);
}
