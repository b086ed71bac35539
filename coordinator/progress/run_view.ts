/** The model as people see it. Rule: pure; what cannot be known is null, never a guess or NaN. */
import type { DestinationProgress, RunProgress } from "../../protocol/mesh/run.ts";
import {
  type LaneCounters,
  type LaneGauges,
  type LaneState,
  PHASES,
  type ScanCounters,
  ZERO_COUNTERS,
  ZERO_GAUGES,
  ZERO_SCAN,
} from "../../protocol/mesh/progress.ts";
import { pillsOf, stateOf } from "./destination_state.ts";
import { sumCounters } from "./merge_counters.ts";
import type { DestinationModel, ProgressModel } from "./model.ts";
import { rank } from "./reduce.ts";
import { RECENT_FILES_SHOWN } from "./recent_files.ts";
import { etaMs, etaRangeMs, type Rate, sampleRate, STALLED_AFTER_MS } from "./rate.ts";
import { statusLine } from "./status_line.ts";

const CURRENT_FILES_MAX = 8;

export type Rates = ReadonlyMap<string, Rate>;

/** The rates after looking at the model again at `nowMs`; only destinations that move bytes have one. */
export function sampleRates(model: ProgressModel, rates: Rates, nowMs: number): Rates {
  const next = new Map<string, Rate>();
  for (const destination of model.destinations) {
    const state = stateOf(destination);
    if (state !== "copy" && state !== "verify") continue;
    const { moved } = work(state, countersOf(destination));
    next.set(destination.key, sampleRate(rates.get(destination.key), state, moved, nowMs));
  }
  return next;
}

/** `elapsedMs`: since the start of the run. */
export function runView(model: ProgressModel, rates: Rates, elapsedMs: number): RunProgress {
  const fastest = fastestOf(model, rates);
  const destinations = model.destinations.map((destination) => {
    const counters = countersOf(destination);
    const state = stateOf(destination);
    const bytesPerSecond = rates.get(destination.key)?.bytesPerSecond ?? null;
    const gauges = gaugesOf(destination, bytesPerSecond ?? 0);
    const isStalled = gauges.stalledForMs >= STALLED_AFTER_MS;
    const { remaining } = work(state, counters);
    return {
      destination: destination.key,
      state,
      pills: pillsOf(destination),
      counters,
      gauges,
      etaMs: destination.end !== null ? 0 : isStalled ? null : etaMs(remaining, bytesPerSecond),
      etaRangeMs: destination.end !== null || isStalled
        ? null
        : etaRangeMs(remaining, rates.get(destination.key)),
      freeBytes: freeAt(destination, counters),
      ...waitsFor(model, destination, elapsedMs),
      fastest: destination === fastest,
      elapsedMs: destination.end?.elapsedMs ?? elapsedMs,
    };
  });
  return {
    runId: model.runId,
    state: model.state,
    elapsedMs,
    scan: scanOf(model),
    destinations,
    statusLine: statusLine(model.destinations.map((d) => ({
      name: d.key,
      state: stateOf(d),
      end: d.end?.state,
    }))),
    recentFiles: model.recentFiles.slice(0, RECENT_FILES_SHOWN),
  };
}

/** What is written counts once, although a file that replaces another takes room twice for a while. */
function freeAt({ freeBytes }: DestinationModel, c: LaneCounters): number | null {
  return freeBytes === null ? null : Math.max(0, freeBytes - (c.bytesDone - c.bytesUnchanged));
}

/** What the current phase has moved, and still has to. Unchanged files are done without moving. */
function work(state: LaneState, c: LaneCounters): { moved: number; remaining: number } {
  return state === "verify"
    ? { moved: c.verifyBytesDone, remaining: c.verifyBytesTotal - c.verifyBytesDone }
    : {
      moved: Math.max(0, c.bytesDone - c.bytesUnchanged),
      remaining: c.bytesTotal - c.bytesDone,
    };
}

function countersOf(destination: DestinationModel): LaneCounters {
  return sumCounters([...destination.lanes.values()].map((l) => l.counters), ZERO_COUNTERS);
}

function gaugesOf(destination: DestinationModel, bytesPerSecond: number): LaneGauges {
  const all = [...destination.gauges.values()];
  if (all.length === 0) return { ...ZERO_GAUGES, bytesPerSecond: Math.round(bytesPerSecond) };
  const sum = (field: "workers" | "workersTarget" | "queueDepth") =>
    all.reduce((total, gauges) => total + gauges[field], 0);
  return {
    workers: sum("workers"),
    workersTarget: sum("workersTarget"),
    bytesPerSecond: Math.round(bytesPerSecond),
    queueDepth: sum("queueDepth"),
    // Stalled only when every agent is.
    stalledForMs: Math.min(...all.map((g) => g.stalledForMs)),
    currentFiles: all.flatMap((g) => g.currentFiles).slice(0, CURRENT_FILES_MAX),
  };
}

/** Each agent once. What is said changes once a second, so that waiting is told and does not flood. */
function waitsFor(
  { silences }: ProgressModel,
  { lanes, end }: DestinationModel,
  elapsedMs: number,
): Pick<DestinationProgress, "waitsFor"> {
  if (end !== null || silences.size === 0) return {};
  const longest = new Map<string, number>();
  for (const [taskId, { agent, sinceMs }] of silences) {
    const lane = lanes.get(taskId);
    if (lane === undefined || rank(lane.state) === PHASES.length) continue;
    const silentForMs = Math.max(0, Math.floor((elapsedMs - sinceMs) / 1_000) * 1_000);
    longest.set(agent, Math.max(silentForMs, longest.get(agent) ?? 0));
  }
  if (longest.size === 0) return {};
  return { waitsFor: [...longest].map(([agent, silentForMs]) => ({ agent, silentForMs })) };
}

function scanOf(model: ProgressModel): ScanCounters {
  const sum = { ...ZERO_SCAN };
  for (const { counters } of model.scans.values()) {
    for (const field of Object.keys(sum) as (keyof ScanCounters)[]) sum[field] += counters[field];
  }
  return sum;
}

/** The first verified; before that the highest rate among those that work. */
function fastestOf(model: ProgressModel, rates: Rates): DestinationModel | undefined {
  const verified = model.destinations.filter((d) => d.end?.state === "verified");
  if (verified.length > 0) return verified.reduce((a, b) => a.end!.place < b.end!.place ? a : b);
  let best: DestinationModel | undefined;
  let bestRate = 0;
  for (const destination of model.destinations) {
    const rate = rates.get(destination.key)?.bytesPerSecond ?? 0;
    if (destination.end === null && rate > bestRate) {
      best = destination;
      bestRate = rate;
    }
  }
  return best;
}
