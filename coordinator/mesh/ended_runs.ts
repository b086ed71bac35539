/** What runs that have ended add up to, for monitoring. Rule: labels are few, however many destinations come and go. */
import type { Metric } from "../../protocol/http/metrics_text.ts";
import type { FileFailure } from "../../protocol/mesh/job.ts";
import type { RunProgress, RunReport } from "../../protocol/mesh/run.ts";

export interface EndedRuns {
  /** `state` is the report's, or `failed` of a run that has none. */
  add(state: string, report?: RunReport, progress?: RunProgress | null): void;
  metrics(): Metric[];
}

/** The destinations used last. */
const DESTINATIONS_MAX = 100;
/** Of failures beyond those that a report names. */
const UNNAMED = "unnamed";

export function createEndedRuns(): EndedRuns {
  const runs = new Map<string, number>();
  const failures = new Map<string, number>();
  const freeBytes = new Map<string, number>();

  const count = (of: Map<string, number>, key: string, by = 1): void => {
    if (by > 0) of.set(key, (of.get(key) ?? 0) + by);
  };
  const fail = (named: readonly FileFailure[], all: number): void => {
    for (const { code } of named) count(failures, code);
    count(failures, UNNAMED, all - named.length);
  };

  return {
    add(state, report, progress) {
      count(runs, state);
      for (const { unreadable, unreadableCount } of report?.sources ?? []) {
        fail(unreadable, unreadableCount);
      }
      for (const { lanes } of report?.destinations ?? []) {
        for (const lane of lanes) fail(lane.report.failures, lane.report.failureCount);
      }
      for (const { destination, freeBytes: free } of progress?.destinations ?? []) {
        if (free === undefined || free === null) continue;
        freeBytes.delete(destination);
        freeBytes.set(destination, free);
        const [oldest] = freeBytes.keys();
        if (freeBytes.size > DESTINATIONS_MAX) freeBytes.delete(oldest!);
      }
    },
    metrics: () => [
      {
        name: "runs_total",
        type: "counter",
        help: "Runs that have ended, by state",
        samples: labelled(runs, "state"),
      },
      {
        name: "failures_total",
        type: "counter",
        help: "Files that could not be read, kept or verified, by kind of error",
        samples: labelled(failures, "class"),
      },
      {
        name: "destination_free_bytes",
        type: "gauge",
        help: "Free at a destination at the end of the last run that used it",
        samples: labelled(freeBytes, "destination"),
      },
    ],
  };
}

function labelled(values: ReadonlyMap<string, number>, label: string): Metric["samples"] {
  return [...values].map(([key, value]) => ({ value, labels: { [label]: key } }));
}
