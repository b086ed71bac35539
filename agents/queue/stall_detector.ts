/**
 * When a destination has stopped moving. Rule: only time with work in hand counts, so an idle lane never stalls, and
 * what stalls too long is cut instead of waited for.
 */

export interface StallLimits {
  /** From here on people see that the lane stalls, in ms. */
  readonly reportAfterMs: number;
  /** From here on the operation in hand is given up, in ms; the deadline of one disk operation. */
  readonly cutAfterMs: number;
}

/** Monotonic ms. */
export interface LaneActivity {
  /** Start of the oldest operation in hand; undefined while the lane is idle. */
  readonly busySinceMs: number | undefined;
  /** When bytes or files last got done; undefined before the first. */
  readonly lastProgressAtMs: number | undefined;
}

export interface StallVerdict {
  /** 0 while the lane moves or is idle; otherwise how long nothing has moved. */
  readonly stalledForMs: number;
  /** The operation in hand is past its deadline: abandon its thread. */
  readonly cut: boolean;
}

const MOVING: StallVerdict = { stalledForMs: 0, cut: false };

/** Judges a lane, or one operation of it, at `nowMs`. */
export function judgeStall(
  activity: LaneActivity,
  limits: StallLimits,
  nowMs: number,
): StallVerdict {
  if (activity.busySinceMs === undefined) return MOVING;
  // Progress made before the operation began says nothing about it.
  const stillSinceMs = Math.max(activity.busySinceMs, activity.lastProgressAtMs ?? -Infinity);
  const stillForMs = Math.max(0, nowMs - stillSinceMs);
  return {
    stalledForMs: stillForMs >= limits.reportAfterMs ? stillForMs : 0,
    cut: stillForMs >= limits.cutAfterMs,
  };
}
