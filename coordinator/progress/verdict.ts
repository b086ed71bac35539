/** How a run stands, in one sentence and in numbers. Rule: pure; "verified" counts only copies that are so as a whole. */
import type { Verdict } from "../../protocol/mesh/console_state.ts";
import { type Phase, PHASES } from "../../protocol/mesh/progress.ts";
import type { DestinationProgress, RunProgress, RunReport } from "../../protocol/mesh/run.ts";

type LeftMs = NonNullable<Verdict["leftMs"]>;

/** While it goes on: `2 of 3 copies verified, NAS 64 %, 12 min left`. */
export function liveVerdict(progress: RunProgress, isPaused: boolean): Verdict {
  const { destinations } = progress;
  const total = destinations.length;
  const verified = destinations.filter((d) => d.state === "verified").length;
  const lost = destinations.filter((d) => d.state === "failed" || d.state === "cancelled");
  const open = destinations.filter((d) => isPhase(d.state)).map((d) => ({
    destination: d.destination,
    phase: d.state as Phase,
    percent: percentOf(d),
    done: doneOf(d),
  })).sort((a, b) => b.done - a.done);
  const leftMs = isPaused ? null : leftOf(destinations.filter((d) => isPhase(d.state)));
  const slowest = open.at(-1);
  const parts = [
    `${verified} of ${total} ${total === 1 ? "copy" : "copies"} verified`,
    ...(lost.length === 0
      ? []
      : [`${lost.map((d) => d.destination).join(", ")} ${lost.length === 1 ? "is" : "are"} not`]),
    ...(slowest === undefined ? [] : [slowestText(slowest)]),
    ...(isPaused ? ["paused"] : leftMs === null ? [] : [`${leftText(leftMs)} left`]),
  ];
  return {
    text: parts.join(", "),
    verified,
    total,
    open: open.map(({ done: _, ...card }) => card),
    leftMs,
    tone: isPaused
      ? "paused"
      : lost.length > 0
      ? "bad"
      : slowest === undefined
      ? "good"
      : "working",
  };
}

/** After its end; `text` is the sentence that the command prints. */
export function endVerdict(report: RunReport, text: string): Verdict {
  const total = report.destinations.length;
  return {
    text,
    verified: report.destinations.filter((d) => d.state === "verified").length,
    total,
    open: [],
    leftMs: null,
    tone: report.exitCode === 0 ? "good" : "bad",
  };
}

/** Before the first word of a run, and of one that has ended without a report. */
export function emptyVerdict(text: string, total: number, tone: Verdict["tone"]): Verdict {
  return { text, verified: 0, total, open: [], leftMs: null, tone };
}

/** Whole percent of the phase it is in, 100 only when that is through. */
export function percentOf(destination: DestinationProgress): number {
  if (destination.state === "verified") return 100;
  return Math.floor(phaseFraction(destination) * 100);
}

/** Of copying and verifying together, 0–1: verifying reads about what copying wrote. */
export function doneOf(destination: DestinationProgress): number {
  const { state } = destination;
  if (state === "verified") return 1;
  if (state === "verify") return 0.5 + phaseFraction(destination) / 2;
  if (state === "flush") return 0.5;
  return state === "copy" ? phaseFraction(destination) / 2 : 0;
}

function phaseFraction({ state, counters: c }: DestinationProgress): number {
  const [done, total] = state === "verify"
    ? [c.verifyBytesDone + c.verifyFilesDone, c.verifyBytesTotal + c.verifyFilesTotal]
    : state === "copy"
    ? [c.bytesDone + c.filesDone, c.bytesTotal + c.filesTotal]
    : [state === "flush" ? 1 : 0, 1];
  return total <= 0 ? 0 : Math.min(1, Math.max(0, done / total));
}

/** Until the last of them is verified; null when that cannot be said of one. */
function leftOf(open: readonly DestinationProgress[]): LeftMs | null {
  let left: LeftMs | null = null;
  for (const destination of open) {
    const own = leftAt(destination);
    if (own === null) return null;
    left = left === null
      ? own
      : { low: Math.max(left.low, own.low), high: Math.max(left.high, own.high) };
  }
  return left;
}

/** What is copied will be read back; that it is read as fast as it is written is the best guess there is. */
function leftAt({ state, counters: c, etaMs, etaRangeMs }: DestinationProgress): LeftMs | null {
  const range = etaRangeMs ?? (etaMs === null ? null : { low: etaMs, high: etaMs });
  if (range === null) return null;
  if (state !== "copy") return state === "verify" ? range : null;
  const leftBytes = Math.max(1, c.bytesTotal - c.bytesDone);
  const toVerify = Math.max(0, c.bytesTotal - c.bytesUnchanged);
  const factor = 1 + toVerify / leftBytes;
  return { low: Math.round(range.low * factor), high: Math.round(range.high * factor) };
}

function slowestText({ destination, phase, percent }: Verdict["open"][number]): string {
  switch (phase) {
    case "analyze":
    case "manifest":
      return `${destination} is being compared`;
    case "flush":
      return `${destination} is being flushed`;
    case "copy":
      return `${destination} ${percent} %`;
    case "verify":
      return `${destination} ${percent} % verified`;
  }
}

/** `40 s`, `12 min`, `2–3 h`. */
export function leftText({ low, high }: LeftMs): string {
  const [unit, name] = high < 90_000 ? [1_000, "s"] : high < 5_400_000 ? [60_000, "min"] : [
    3_600_000,
    "h",
  ] as const;
  const from = Math.max(1, Math.round(low / (unit as number)));
  const to = Math.max(from, Math.round(high / (unit as number)));
  return from === to ? `${to} ${name}` : `${from}–${to} ${name}`;
}

function isPhase(state: DestinationProgress["state"]): boolean {
  return (PHASES as readonly string[]).includes(state);
}
