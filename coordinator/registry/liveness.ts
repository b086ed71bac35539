/** Whether an agent is there. Rule: pure; silence alone kills nobody, it must also have failed a direct probe. */

export type Liveness = "alive" | "suspect" | "dead";

export interface LivenessFacts {
  /** When it was heard last, on a clock that runs in suspend. */
  readonly heardAtMs: number;
  /** When a direct call to it failed last, with none answered since; undefined: none has. */
  readonly probeFailedAtMs: number | undefined;
  readonly heartbeatMs: number;
  readonly deadAfterMs: number;
}

/** Silent for two heartbeats it is asked; nothing new is given to it until it is heard again. */
const SUSPECT_HEARTBEATS = 2.5;

export function livenessOf(facts: LivenessFacts, nowMs: number): Liveness {
  const silentMs = nowMs - facts.heardAtMs;
  if (silentMs < suspectAfterMs(facts)) return "alive";
  const hasFailed = facts.probeFailedAtMs !== undefined && facts.probeFailedAtMs >= facts.heardAtMs;
  return silentMs >= facts.deadAfterMs && hasFailed ? "dead" : "suspect";
}

export function suspectAfterMs(
  { heartbeatMs, deadAfterMs }: Pick<LivenessFacts, "heartbeatMs" | "deadAfterMs">,
): number {
  return Math.min(heartbeatMs * SUSPECT_HEARTBEATS, deadAfterMs);
}
