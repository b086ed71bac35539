/** What a lane shows, from what is told of it. Rule: pure; 0 ≤ shown ≤ total, and a lane that does not move says so. */
import { clampFraction } from "../../../protocol/cli/format.ts";
import { waitingText } from "../../../protocol/cli/waiting_text.ts";
import type { Phase } from "../../../protocol/mesh/progress.ts";
import type { DestinationProgress, PillState } from "../../../protocol/mesh/run.ts";
import { formatLeft } from "../words.ts";

/** From here on a lane without a byte moved is called stalled. */
export const STALLED_AFTER_MS = 5_000;
export const WORKER_DOTS_MAX = 8;

export interface LaneFacts {
  tone: "waiting" | "copying" | "verifying" | "verified" | "failed" | "cancelled" | "stalled";
  /** 0–1, of the phase's work. */
  copied: number;
  verified: number;
  percent: number;
  /** What the lane does, with its percent: `Copying 64 %`. */
  label: string;
  /** Files and bytes that count in this phase. */
  files: { done: number; total: number };
  bytes: { done: number; total: number };
  /** `2–3 min to copy`, `stalled 20 s`, or empty. */
  left: string;
  /** `Waiting for agent attic, silent for 12 s`, or empty. */
  waits: string;
}

const PHASE_WORDS: Record<Phase, string> = {
  analyze: "Analyzing",
  manifest: "Comparing",
  copy: "Copying",
  flush: "Flushing to disk",
  verify: "Verifying",
};

export const PHASE_NAMES: Record<Phase, string> = {
  analyze: "Analyze",
  manifest: "Manifest",
  copy: "Copy",
  flush: "Flush",
  verify: "Verify",
};

export function laneFacts(lane: DestinationProgress, isPaused: boolean): LaneFacts {
  const { state, counters: c, gauges } = lane;
  const copied = fraction(c.bytesDone + c.filesDone, c.bytesTotal + c.filesTotal);
  const verified = state === "verified" ? 1 : fraction(
    c.verifyBytesDone + c.verifyFilesDone,
    c.verifyBytesTotal + c.verifyFilesTotal,
  );
  const isVerifying = state === "verify" || state === "verified" ||
    (isEnd(state) && c.verifyFilesDone > 0);
  const percent = Math.floor(
    (state === "verified" ? 1 : isVerifying ? verified : copied) * 100,
  );
  const stalledMs = isEnd(state) || isPaused ? 0 : gauges.stalledForMs;
  const isStalled = stalledMs >= STALLED_AFTER_MS && (state === "copy" || state === "verify");
  return {
    tone: isStalled ? "stalled" : toneOf(state),
    copied: isVerifying ? 1 : copied,
    verified: isVerifying ? verified : 0,
    percent,
    label: labelOf(lane, percent, isPaused),
    files: isVerifying
      ? within(c.verifyFilesDone, c.verifyFilesTotal)
      : within(c.filesDone, c.filesTotal),
    bytes: isVerifying
      ? within(c.verifyBytesDone, c.verifyBytesTotal)
      : within(c.bytesDone, c.bytesTotal),
    left: isEnd(state) || isPaused
      ? ""
      : isStalled
      ? `stalled ${Math.round(stalledMs / 1000)} s`
      : leftOf(lane),
    waits: sentence(waitingText(lane) ?? ""),
  };
}

function sentence(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** In order. */
const PHASES = Object.keys(PHASE_NAMES) as Phase[];

/** The five, each with what it is. */
export function pillsOf(
  pills: Readonly<Record<string, PillState>>,
): { phase: Phase; name: string; state: PillState }[] {
  return PHASES.map((phase) => ({
    phase,
    name: PHASE_NAMES[phase],
    state: pills[phase] ?? "pending",
  }));
}

/** One to eight dots: how many work, and of how many. */
export function workerDots({ workers, workersTarget }: DestinationProgress["gauges"]): {
  busy: number;
  shown: number;
} {
  const busy = Math.min(WORKER_DOTS_MAX, workers);
  return { busy, shown: Math.min(WORKER_DOTS_MAX, Math.max(1, busy, workersTarget)) };
}

function toneOf(state: DestinationProgress["state"]): LaneFacts["tone"] {
  switch (state) {
    case "copy":
    case "flush":
      return "copying";
    case "verify":
      return "verifying";
    case "verified":
    case "failed":
    case "cancelled":
      return state;
    case "analyze":
    case "manifest":
      return "waiting";
  }
}

function labelOf({ state }: DestinationProgress, percent: number, isPaused: boolean): string {
  switch (state) {
    case "verified":
      return "Verified";
    case "failed":
      return `Not complete, ${percent} %`;
    case "cancelled":
      return `Cancelled at ${percent} %`;
    case "copy":
    case "verify":
      return isPaused ? `Paused at ${percent} %` : `${PHASE_WORDS[state]} ${percent} %`;
    case "analyze":
    case "manifest":
    case "flush":
      return isPaused ? "Paused" : PHASE_WORDS[state];
  }
}

function leftOf({ etaRangeMs, etaMs, state }: DestinationProgress): string {
  if (state !== "copy" && state !== "verify") return "";
  const range = etaRangeMs ?? (etaMs === null ? null : { low: etaMs, high: etaMs });
  return range === null ? "" : `${formatLeft(range)} to ${state}`;
}

function isEnd(state: DestinationProgress["state"]): boolean {
  return state === "verified" || state === "failed" || state === "cancelled";
}

function fraction(done: number, total: number): number {
  return total > 0 ? clampFraction(done / total) : 0;
}

function within(done: number, total: number): { done: number; total: number } {
  return { done: Math.min(done, total), total };
}
