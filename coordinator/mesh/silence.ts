/**
 * Says of an attempt whose agent is not heard that it is waited for. Rule: silence is told as what it is; that the agent is
 * dead is the registry's to say.
 */
import type { LaneProgress } from "../../protocol/mesh/progress.ts";
import type { RunScope } from "./run_scope.ts";

/** Agents that copy say so four times a second. */
export const SILENT_AFTER_MS = 3_000;
const LOOK_EVERY_MS = 500;

export interface Silence {
  /** The agent has said something about the attempt. */
  heard(lanes: readonly LaneProgress[]): void;
  /** It cannot be reached. */
  lost(): void;
  end(): void;
}

/** From now until `end`. */
export function watchSilence(
  { clock, pool, store, progress }: Pick<RunScope, "clock" | "pool" | "store" | "progress">,
  taskId: string,
  agentId: string,
): Silence {
  let heardAtMs = clock.monotonicMs();
  /** Whoever lists a source may have nothing to say for long. */
  let isCopying = false;
  let isLost = false;
  let isTold = false;

  function tell(silent: boolean): void {
    if (silent === isTold) return;
    isTold = silent;
    const name = store.agents().find((a) => a.agentId === agentId)?.name ?? agentId;
    const sinceMs = progress.elapsedMs() - (clock.monotonicMs() - heardAtMs);
    progress.apply({
      kind: "silence",
      taskId,
      silence: silent ? { agent: name, sinceMs: Math.max(0, sinceMs) } : null,
    });
  }

  const stopLooking = clock.every(LOOK_EVERY_MS, () => {
    const silentMs = clock.monotonicMs() - heardAtMs;
    const isSuspect = (): boolean =>
      pool.views().find((a) => a.agentId === agentId)?.readiness === "suspect";
    tell(isLost || (silentMs >= SILENT_AFTER_MS && (isCopying || isSuspect())));
  });

  return {
    heard(lanes) {
      heardAtMs = clock.monotonicMs();
      isCopying = lanes.some(({ state }) => state !== "analyze");
      isLost = false;
      tell(false);
    },
    lost() {
      isLost = true;
      tell(true);
    },
    end() {
      stopLooking();
      tell(false);
    },
  };
}
