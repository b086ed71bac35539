/** When each destination was verified last, from the runs that are stored. Rule: kept up to date by the ends of runs; read from the store once. */
import type { RunReport } from "../../protocol/mesh/run.ts";
import type { StoreReader } from "../store/job_store.ts";
import { ENDED_RUNS_KEPT } from "../store/job_store.ts";
import type { StoredRun } from "../store/records.ts";

export interface Verifications {
  /** By the destination's path. */
  of(path: string): { lastVerifiedAtMs: number | null; lastState: string | null };
  /** By the destination's key, for the history. */
  byKey(): Record<string, number>;
  lastSuccessAtMs(): number | null;
  /** A run has ended. */
  ended(runId: string): void;
}

export function createVerifications(store: StoreReader): Verifications {
  let isRead = false;
  let lastSuccessAtMs: number | null = null;
  const byPath = new Map<string, { lastVerifiedAtMs: number | null; lastState: string }>();
  const keys = new Map<string, number>();

  /** The oldest first. */
  function take({ spec, report, state, endedAtMs }: StoredRun): void {
    if (report === null || endedAtMs === null || spec.options.dryRun) return;
    const atMs = Math.round(endedAtMs);
    if (state === "completed") lastSuccessAtMs = atMs;
    for (const { destination, state } of report.destinations) {
      const path = spec.destinations.find((d) => d.key === destination)?.path;
      const isVerified = isWhole(report, state);
      if (isVerified) keys.set(destination, atMs);
      if (path === undefined) continue;
      const before = byPath.get(path)?.lastVerifiedAtMs ?? null;
      byPath.set(path, { lastVerifiedAtMs: isVerified ? atMs : before, lastState: state });
    }
  }

  function read(): void {
    if (isRead) return;
    isRead = true;
    for (const run of store.runs(ENDED_RUNS_KEPT).reverse()) take(run);
  }

  return {
    of(path) {
      read();
      return byPath.get(path) ?? { lastVerifiedAtMs: null, lastState: null };
    },
    byKey() {
      read();
      return Object.fromEntries(keys);
    },
    lastSuccessAtMs() {
      read();
      return lastSuccessAtMs;
    },
    ended(runId) {
      if (!isRead) return;
      const run = store.run(runId);
      if (run !== undefined) take(run);
    },
  };
}

/** A copy is of the whole source only when the whole source could be read. */
function isWhole(report: RunReport, state: string): boolean {
  return state === "verified" &&
    report.sources.every((s) => s.error === undefined && s.unreadableCount === 0);
}
