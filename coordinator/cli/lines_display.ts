/** Plain lines for logs and pipes. Rule: a line says something new: a phase, an end, or ten seconds of work. */
import type { Clock } from "../../protocol/base/clock.ts";
import type { DestinationProgress, RunProgress } from "../../protocol/mesh/run.ts";
import {
  formatBytes,
  formatClock,
  formatCount,
  formatDuration,
  formatPercent,
  formatPlural,
  formatRate,
} from "../../protocol/cli/format.ts";
import type { Terminal } from "../../protocol/cli/terminal.ts";
import { visibleText } from "../../protocol/cli/visible_text.ts";
import { waitingText } from "../../protocol/cli/waiting_text.ts";
import { isActive, laneNumbers, stallMs } from "./lane_numbers.ts";
import { renderResult } from "./render_result.ts";
import type { RunDisplay } from "./run_display.ts";

const PROGRESS_LINE_MS = 10_000;

/** Prints the first line at once. */
export function createLinesDisplay(
  terminal: Terminal,
  clock: Clock,
  first: RunProgress,
  options: { verbose: boolean },
): RunDisplay {
  const say = (text: string) => terminal.err(`${visibleText(text)}\n`);
  const states = new Map(first.destinations.map((lane) => [lane.destination, lane.state]));
  const ended = new Set<string>();
  /** Told that they wait for an agent. */
  const waited = new Set<string>();
  let latest = first;
  say(`backup to ${first.destinations.map((lane) => lane.destination).join(", ")}`);
  const stopTicking = clock.every(PROGRESS_LINE_MS, () => {
    for (const lane of latest.destinations) {
      if (isActive(lane) && !ended.has(lane.destination)) say(progressLine(lane, latest));
    }
  });

  return {
    progress(progress) {
      latest = progress;
      for (const lane of progress.destinations) {
        const before = states.get(lane.destination);
        states.set(lane.destination, lane.state);
        const isNews = before !== lane.state && isActive(lane) && !ended.has(lane.destination);
        if (isNews) say(phaseLine(lane));
        const waiting = waitingText(lane);
        if (waiting !== undefined && !waited.has(lane.destination)) {
          say(`${lane.destination}: ${waiting}`);
        }
        if (waiting === undefined) waited.delete(lane.destination);
        else waited.add(lane.destination);
      }
    },
    destinationEnded({ destination, state, elapsedMs }) {
      ended.add(destination);
      say(`${destination}: ${state} in ${formatDuration(elapsedMs)}`);
    },
    note: say,
    close: stopTicking,
    report: (report) =>
      terminal.out(
        renderResult(report, { style: terminal.outStyle, verbose: options.verbose }).join("\n") +
          "\n",
      ),
  };
}

/** A destination has entered a phase. */
export function phaseLine(lane: DestinationProgress): string {
  const { counters } = lane;
  switch (lane.state) {
    case "copy":
      return `${lane.destination}: copy of ${formatPlural(counters.filesTotal, "file")}, ${
        formatBytes(counters.bytesTotal)
      }`;
    case "verify":
      return `${lane.destination}: verify ${formatPlural(counters.verifyFilesTotal, "file")}, ${
        formatBytes(counters.verifyBytesTotal)
      }`;
    default:
      return `${lane.destination}: ${lane.state}`;
  }
}

/** Where a destination stands. */
export function progressLine(lane: DestinationProgress, run: RunProgress): string {
  const waiting = waitingText(lane);
  if (waiting !== undefined) return `${lane.destination}: ${waiting}`;
  if (lane.state === "analyze") {
    return `${lane.destination}: analyze, ${formatPlural(run.scan.files, "file")} found`;
  }
  const numbers = laneNumbers(lane);
  const stalledMs = stallMs(lane);
  const pace = stalledMs > 0
    ? `stalled ${Math.floor(stalledMs / 1000)}s`
    : `${formatRate(lane.gauges.bytesPerSecond)}, ETA ${
      lane.etaMs === null ? "-" : formatClock(lane.etaMs)
    }`;
  const failed = lane.counters.filesFailed > 0
    ? `, ${formatCount(lane.counters.filesFailed)} failed`
    : "";
  return `${lane.destination}: ${lane.state} ${formatPercent(numbers.fraction)}, ${
    formatCount(numbers.filesDone)
  }/${formatPlural(numbers.filesTotal, "file")}, ${formatBytes(numbers.bytesDone)}/${
    formatBytes(numbers.bytesTotal)
  }, ${pace}${failed}`;
}
