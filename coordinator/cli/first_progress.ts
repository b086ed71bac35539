/** The picture before anything has happened: every destination at zero. Rule: bars exist before the first byte. */
import type { JobSpec } from "../../protocol/mesh/job.ts";
import { PHASES, ZERO_COUNTERS, ZERO_GAUGES, ZERO_SCAN } from "../../protocol/mesh/progress.ts";
import type { PillState, RunProgress } from "../../protocol/mesh/run.ts";

/** What a display shows until the coordinator reports. */
export function firstProgress(job: Pick<JobSpec, "destinations">): RunProgress {
  const pills = PHASES.map((phase): [typeof phase, PillState] => [
    phase,
    phase === "analyze" ? "active" : "pending",
  ]);
  return {
    runId: "",
    state: "planning",
    elapsedMs: 0,
    scan: ZERO_SCAN,
    destinations: job.destinations.map(({ key }) => ({
      destination: key,
      state: "analyze",
      pills: Object.fromEntries(pills) as Record<(typeof PHASES)[number], PillState>,
      counters: ZERO_COUNTERS,
      gauges: ZERO_GAUGES,
      etaMs: null,
      fastest: false,
      elapsedMs: 0,
    })),
    statusLine: "Analyzing",
  };
}
