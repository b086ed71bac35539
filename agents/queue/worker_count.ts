/**
 * How many workers one destination should have: a hill climb over measured throughput. Rule: a step must pay to be
 * kept, a step that did not pay is taken back, and once both sides are known to be worse the count stays.
 */

export const WORKERS_START = 2;
export const DECISION_INTERVAL_MS = 1000;
/** A small file costs about as much as this many bytes, so that files count and not only their bytes. */
export const FILE_COST_BYTES = 64 * 1024;

/** A step up is kept when throughput grows by more than this. */
const UP_PAYS = 1.1;
/** A step down is kept when at least this part of the best throughput remains: fewer workers, same speed. */
const DOWN_KEEPS = 0.95;
/** Beyond these one sample is enough to decide. */
const CLEARLY_MORE = 1.25;
const CLEARLY_LESS = 0.8;
/** A settled count is questioned when throughput leaves this range. */
const SETTLED_LOW = 0.8;
const SETTLED_HIGH = 1.2;
/** Samples averaged for a decision that is not clear … */
const SAMPLES_PER_DECISION = 4;
/** … and for one about a step up that is within this of the line. */
const SAMPLES_WHEN_CLOSE = 8;
const CLOSE = 0.05;
/** A settled count is tried anew after so many samples, then after twice as many, up to the limit. */
const HOLD_SAMPLES = 30;
const HOLD_SAMPLES_MAX = 960;
/** Above this busy fraction of the machine's CPUs one more worker cannot help. */
const CPU_SATURATED = 0.9;

export interface WorkerLimits {
  /** 1–8, min ≤ max. */
  readonly min: number;
  readonly max: number;
  /** Samples that come sooner than this after the last are left out. */
  readonly intervalMs: number;
}

/** What one interval showed: measured over that interval alone, not over a longer window. */
export interface ThroughputSample {
  /** Monotonic ms. */
  readonly atMs: number;
  /** See `throughputScore`; 0 means there was nothing to do and proves nothing. */
  readonly score: number;
  /** 0–1 over all CPUs of the machine, when known. */
  readonly cpuBusyFraction?: number | undefined;
}

/** `count` is the answer; the rest is the climb's memory. Plain data. */
export interface WorkerCountState {
  readonly count: number;
  readonly limits: WorkerLimits;
  /** measure: what does this count give · up, down: did the last step pay · hold: settled. */
  readonly mode: "measure" | "up" | "down" | "hold";
  /** Best score of the climb so far, which the next step is compared with. */
  readonly baseScore: number;
  readonly scoreSum: number;
  readonly samples: number;
  /** What is known not to pay from here. */
  readonly upTried: boolean;
  readonly downTried: boolean;
  readonly downFirst: boolean;
  readonly held: number;
  readonly holdSamples: number;
  readonly decidedAtMs: number;
}

/** Bytes and files in one number: bytes per second plus 64 KiB for each file per second. */
export function throughputScore(bytesPerSecond: number, filesPerSecond: number): number {
  return bytesPerSecond + FILE_COST_BYTES * filesPerSecond;
}

/** The state to start with: `start` workers, or the nearest the limits allow. @throws {RangeError} unless 1 ≤ min ≤ max ≤ 8. */
export function startWorkerCount(
  atMs: number,
  { min = 1, max = 8, start = WORKERS_START, intervalMs = DECISION_INTERVAL_MS }:
    & Partial<WorkerLimits>
    & { start?: number } = {},
): WorkerCountState {
  if (!(min >= 1 && min <= max && max <= 8)) throw new RangeError(`No worker range: ${min}–${max}`);
  return {
    count: Math.min(max, Math.max(min, start)),
    limits: { min, max, intervalMs },
    mode: "measure",
    baseScore: 0,
    scoreSum: 0,
    samples: 0,
    upTried: false,
    downTried: false,
    downFirst: false,
    held: 0,
    holdSamples: HOLD_SAMPLES,
    decidedAtMs: atMs,
  };
}

/** The state within other limits; the same when they are the same. @throws {RangeError} as `startWorkerCount` does */
export function withLimits(
  state: WorkerCountState,
  { min, max }: Pick<WorkerLimits, "min" | "max">,
): WorkerCountState {
  const { limits, count } = state;
  if (limits.min === min && limits.max === max) return state;
  if (!(min >= 1 && min <= max && max <= 8)) throw new RangeError(`No worker range: ${min}–${max}`);
  // The climb begins anew: a step under way would lead back to where it must not be, and what did not pay may pay now.
  const { decidedAtMs } = state;
  const start = Math.min(max, Math.max(min, count));
  return startWorkerCount(decidedAtMs, { min, max, start, intervalMs: limits.intervalMs });
}

/**
 * The state with workers that another destination does not need any more, as far as the limits allow; whether they pay here
 * is measured like any other step.
 */
export function withHelp(state: WorkerCountState, helpers: number): WorkerCountState {
  const { count, limits, decidedAtMs } = state;
  const start = Math.min(limits.max, count + Math.max(0, helpers));
  if (start === count) return state;
  return startWorkerCount(decidedAtMs, { ...limits, start });
}

/** The state after one more sample. The count moves by at most one. */
export function nextWorkerCount(
  state: WorkerCountState,
  sample: ThroughputSample,
): WorkerCountState {
  if (sample.atMs - state.decidedAtMs < state.limits.intervalMs) return state;
  if (!(sample.score > 0 && Number.isFinite(sample.score))) {
    return { ...state, decidedAtMs: sample.atMs };
  }
  const measured = {
    ...state,
    scoreSum: state.scoreSum + sample.score,
    samples: state.samples + 1,
    decidedAtMs: sample.atMs,
  };
  const canGoUp = (sample.cpuBusyFraction ?? 0) <= CPU_SATURATED;
  switch (state.mode) {
    case "measure":
      return afterMeasure(measured, canGoUp);
    case "up":
      return afterStepUp(measured, canGoUp);
    case "down":
      return afterStepDown(measured, canGoUp);
    case "hold":
      return whileHolding(measured, canGoUp);
  }
}

function afterMeasure(state: WorkerCountState, canGoUp: boolean): WorkerCountState {
  // The first look need not be exact: a step that seems to pay by mistake is questioned by the next one.
  if (state.samples < SAMPLES_PER_DECISION / 2) return state;
  return explore({ ...state, baseScore: mean(state) }, canGoUp);
}

function afterStepUp(state: WorkerCountState, canGoUp: boolean): WorkerCountState {
  const gain = mean(state) / state.baseScore;
  const isClose = Math.abs(gain - UP_PAYS) < CLOSE;
  const sure = state.samples >= (isClose ? SAMPLES_WHEN_CLOSE : SAMPLES_PER_DECISION);
  if (gain >= CLEARLY_MORE || (sure && gain > UP_PAYS)) {
    // Where it came from is known to be worse.
    return explore({ ...state, baseScore: mean(state), downTried: true }, canGoUp);
  }
  if (gain < CLEARLY_LESS || sure) {
    return moveTo({ ...state, upTried: true }, state.count - 1, "measure");
  }
  return state;
}

function afterStepDown(state: WorkerCountState, canGoUp: boolean): WorkerCountState {
  const kept = mean(state) / state.baseScore;
  const sure = state.samples >= SAMPLES_PER_DECISION;
  if (kept >= CLEARLY_MORE || (sure && kept >= DOWN_KEEPS)) {
    const baseScore = Math.max(state.baseScore, mean(state));
    return explore({ ...state, baseScore, upTried: true }, canGoUp);
  }
  if (kept < CLEARLY_LESS || sure) {
    return moveTo({ ...state, downTried: true }, state.count + 1, "measure");
  }
  return state;
}

function whileHolding(state: WorkerCountState, canGoUp: boolean): WorkerCountState {
  const held = { ...state, held: state.held + 1 };
  if (held.samples < SAMPLES_PER_DECISION) return held;
  const change = mean(held) / held.baseScore;
  const anew = { ...held, upTried: false, downTried: false };
  if (change < SETTLED_LOW || change > SETTLED_HIGH) {
    // The samples at hand lie on both sides of the change, so what is normal now is measured first. When it got
    // slower, something competes: fewer workers are tried before more.
    return moveTo({ ...anew, downFirst: change < SETTLED_LOW }, held.count, "measure");
  }
  if (held.held >= held.holdSamples) {
    const holdSamples = Math.min(HOLD_SAMPLES_MAX, held.holdSamples * 2);
    return explore({ ...anew, baseScore: mean(held), downFirst: false, holdSamples }, canGoUp);
  }
  return { ...held, scoreSum: 0, samples: 0 };
}

/** Takes the next step worth trying; holds when there is none. */
function explore(state: WorkerCountState, canGoUp: boolean): WorkerCountState {
  const { count, limits } = state;
  const mayStepUp = !state.upTried && count < limits.max && canGoUp;
  const mayStepDown = !state.downTried && count > limits.min;
  if (mayStepUp && !(state.downFirst && mayStepDown)) return moveTo(state, count + 1, "up");
  if (mayStepDown) return moveTo(state, count - 1, "down");
  return { ...moveTo(state, count, "hold"), held: 0 };
}

function moveTo(
  state: WorkerCountState,
  count: number,
  mode: WorkerCountState["mode"],
): WorkerCountState {
  return { ...state, count, mode, scoreSum: 0, samples: 0 };
}

function mean(state: WorkerCountState): number {
  return state.scoreSum / state.samples;
}
