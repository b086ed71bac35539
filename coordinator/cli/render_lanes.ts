/** The lanes of a run as lines of text. Rule: pure, and no line is wider, nor the picture higher, than the terminal. */
import type { DestinationProgress, RunProgress } from "../../protocol/mesh/run.ts";
import { type Phase, PHASES } from "../../protocol/mesh/progress.ts";
import type { Style } from "../../protocol/cli/colours.ts";
import {
  formatBytes,
  formatClock,
  formatCount,
  formatDuration,
  formatPercent,
  formatPlural,
  formatRate,
} from "../../protocol/cli/format.ts";
import {
  composeLine,
  fitSegments,
  lineWidth,
  progressBar,
  type Segment,
} from "../../protocol/cli/segments.ts";
import { fitEnd, fitStart, textWidth, visibleText } from "../../protocol/cli/visible_text.ts";
import { waitingText } from "../../protocol/cli/waiting_text.ts";
import { isActive, laneNumbers, stallMs } from "./lane_numbers.ts";

const INDENT = 2;
const BAR_COLUMNS_MAX = 40;
const BAR_COLUMNS_MIN = 10;
const BAR_SHARE = 0.2;
const FACT_COLUMNS_MIN = 5;
const FULL_LANE_ROWS = 3;
const NAME_COLUMNS_COMPACT = 24;

export interface LaneSpace {
  columns: number;
  rows: number;
  style: Style;
}

/** One lane per destination and the status line, in at most `rows - 1` lines of at most `columns`. */
export function renderLanes(progress: RunProgress, space: LaneSpace): string[] {
  const columns = Math.max(1, space.columns);
  const rowsMax = Math.max(1, space.rows - 1);
  const lanes = progress.destinations;
  const status = statusSegments(progress, space.style);
  const statusLine = composeLine(status, columns);
  if (lanes.length * FULL_LANE_ROWS + 1 <= rowsMax) {
    return [
      ...lanes.flatMap((lane) => fullLane(lane, columns, space.style)),
      statusLine,
    ];
  }
  if (lanes.length + 1 <= rowsMax) {
    return [...lanes.map((lane) => compactLane(lane, columns, space.style)), statusLine];
  }
  // Too many for the window: those still at work first, and the rest as a number.
  const shown = [...lanes].sort((a, b) => Number(isActive(b)) - Number(isActive(a)))
    .slice(0, Math.max(0, rowsMax - 1));
  const more = { text: `+${lanes.length - shown.length} more`, weight: 6 };
  return [
    ...shown.map((lane) => compactLane(lane, columns, space.style)),
    composeLine([...status, more], columns),
  ];
}

function fullLane(lane: DestinationProgress, columns: number, style: Style): string[] {
  const inner = Math.max(1, columns - INDENT);
  const indent = " ".repeat(columns - inner);
  const file = lane.gauges.currentFiles[0];
  const waiting = waitingText(lane);
  return [
    titleLine(lane, columns, style),
    indent + barLine(lane, inner, style),
    waiting !== undefined
      ? indent + style.warn(fitEnd(visibleText(waiting), inner))
      : file === undefined || !isActive(lane)
      ? ""
      : indent + style.dim(fitStart(visibleText(file), inner)),
  ];
}

function titleLine(lane: DestinationProgress, columns: number, style: Style): string {
  const mark = lane.fastest ? `${style.glyphs.star} fastest` : "";
  const name = { text: fitStart(visibleText(lane.destination), columns), weight: 3 };
  const pills = PHASES.map((phase) => pillText(lane, phase, style)).join(style.glyphs.between);
  const all = [name, { text: pills, weight: 2 }, { text: mark, weight: 1 }];
  const fitted = fitSegments(all, columns);
  if (!fitted.some(({ weight }) => weight === 2) || lineWidth(fitted) > columns) {
    return shortTitle(lane, name, columns, style);
  }
  return fitted.map(({ text, weight }) => {
    if (weight === 3) return style.bold(text);
    if (weight === 1) return style.good(text);
    return PHASES.map((phase) => pill(lane, phase, style)).join(style.dim(style.glyphs.between));
  }).join("  ");
}

/** Without room for five pills, the one that counts. */
function shortTitle(
  lane: DestinationProgress,
  name: Segment,
  columns: number,
  style: Style,
): string {
  const now = PHASES.find((phase) => phase === lane.state);
  const phase = now === undefined ? "" : pillText(lane, now, style);
  const mark = lane.fastest ? `${style.glyphs.star} fastest` : "";
  return composeLine([
    { ...name, paint: style.bold },
    { text: phase, paint: style.busy, weight: 2 },
    { text: mark, paint: style.good, weight: 1 },
  ], columns);
}

function pillText(lane: DestinationProgress, phase: Phase, style: Style): string {
  const title = phase[0]!.toUpperCase() + phase.slice(1);
  return `${style.glyphs[lane.pills[phase] ?? "pending"]} ${title}`;
}

function pill(lane: DestinationProgress, phase: Phase, style: Style): string {
  const paints = { pending: style.dim, active: style.busy, done: style.good, failed: style.bad };
  return paints[lane.pills[phase] ?? "pending"](pillText(lane, phase, style));
}

function barLine(lane: DestinationProgress, columns: number, style: Style): string {
  const facts = factSegments(lane, style);
  // Depends on the window only: bars of one length can be compared, and none jumps as numbers grow.
  const wanted = Math.floor(columns * BAR_SHARE);
  const barColumns = Math.min(BAR_COLUMNS_MAX, Math.max(BAR_COLUMNS_MIN, wanted));
  const room = columns - barColumns - 2;
  if (room < FACT_COLUMNS_MIN) return composeLine(facts, columns);
  const numbers = laneNumbers(lane);
  const bar = progressBar(
    { copied: numbers.copiedFraction, verified: numbers.verifiedFraction },
    barColumns,
    style,
  );
  return `${bar}  ${composeLine(facts, room)}`;
}

function compactLane(lane: DestinationProgress, columns: number, style: Style): string {
  const nameColumns = Math.min(NAME_COLUMNS_COMPACT, Math.max(1, columns - 12));
  const name = fitStart(visibleText(lane.destination), nameColumns);
  const padded = name + " ".repeat(Math.max(0, nameColumns - textWidth(name)));
  const rest = columns - nameColumns - 2;
  if (rest < 8) return style.bold(fitEnd(name, columns));
  const mark = lane.fastest ? [{ text: style.glyphs.star, paint: style.good, weight: 3 }] : [];
  const isMoving = lane.state === "copy" || lane.state === "verify";
  const phase = isMoving ? [{ text: lane.state.padEnd(6), paint: style.busy, weight: 7 }] : [];
  const waiting = waitingText(lane);
  const wait = waiting === undefined
    ? []
    : [{ text: visibleText(waiting), paint: style.warn, weight: 8 }];
  const facts = [...phase, ...wait, ...factSegments(lane, style), ...mark];
  return `${style.bold(padded)}  ${composeLine(facts, rest)}`;
}

function factSegments(lane: DestinationProgress, style: Style): Segment[] {
  const numbers = laneNumbers(lane);
  const { counters, gauges } = lane;
  const files = { text: `${formatPlural(counters.filesTotal, "file")}`, weight: 5 };
  const failed = {
    text: counters.filesFailed > 0 ? `${formatCount(counters.filesFailed)} failed` : "",
    paint: style.bad,
    weight: 7,
  };
  if (!isActive(lane)) {
    const { glyphs } = style;
    const end = lane.state === "verified"
      ? { text: `${glyphs.done} verified`, paint: style.good, weight: 9 }
      : { text: `${glyphs.failed} ${lane.state}`, paint: style.bad, weight: 9 };
    const bytes = { text: formatBytes(counters.bytesTotal), weight: 4 };
    return [end, { text: formatDuration(lane.elapsedMs), weight: 6 }, files, bytes, failed];
  }
  if (lane.state === "analyze" || lane.state === "manifest" || lane.state === "flush") {
    const word = { analyze: "analyzing", manifest: "reading manifest", flush: "flushing" };
    return [{ text: word[lane.state], weight: 9 }, files, stall(lane, style), failed];
  }
  return [
    { text: formatPercent(numbers.fraction).padStart(4), weight: 9 },
    {
      text: `${formatCount(numbers.filesDone)}/${formatCount(numbers.filesTotal)} files`,
      weight: 5,
    },
    { text: `${formatBytes(numbers.bytesDone)}/${formatBytes(numbers.bytesTotal)}`, weight: 4 },
    { text: formatRate(gauges.bytesPerSecond), weight: 6 },
    stallMs(lane) > 0 ? stall(lane, style) : {
      text: lane.etaMs === null ? "ETA -" : `ETA ${formatClock(lane.etaMs)}`,
      weight: 8,
    },
    { text: formatPlural(gauges.workers, "worker"), weight: 3 },
    failed,
  ];
}

function stall(lane: DestinationProgress, style: Style): Segment {
  const ms = stallMs(lane);
  const text = ms > 0 ? `stalled ${Math.floor(ms / 1000)}s` : "";
  return { text, paint: style.warn, weight: 8 };
}

function statusSegments(progress: RunProgress, style: Style): Segment[] {
  const { scan } = progress;
  const isScanning = progress.destinations.some((lane) => lane.state === "analyze");
  const found = isScanning ? `${formatPlural(scan.files, "file")} found` : "";
  const unreadable = scan.unreadable > 0 ? `${formatCount(scan.unreadable)} unreadable` : "";
  return [
    { text: visibleText(progress.statusLine), paint: style.bold, weight: 9 },
    { text: formatClock(progress.elapsedMs), weight: 5 },
    { text: found, weight: 4 },
    { text: unreadable, paint: style.warn, weight: 7 },
  ];
}
