/** Runs as the coordinator reports them, for tests of what is shown. */
import {
  type LaneState,
  PHASES,
  ZERO_COUNTERS,
  ZERO_GAUGES,
  ZERO_SCAN,
} from "../../protocol/mesh/progress.ts";
import type {
  DestinationProgress,
  DestinationReport,
  PillState,
  RunProgress,
  RunReport,
} from "../../protocol/mesh/run.ts";
import { type LaneReport, nothingDone } from "../../protocol/mesh/lane_report.ts";

export function sampleLane(
  destination: string,
  state: LaneState,
  facts: Partial<Omit<DestinationProgress, "counters" | "gauges">> & {
    counters?: Partial<DestinationProgress["counters"]>;
    gauges?: Partial<DestinationProgress["gauges"]>;
  } = {},
): DestinationProgress {
  const at = PHASES.indexOf(state as (typeof PHASES)[number]);
  const pill = (i: number): PillState =>
    at < 0
      ? (state === "verified" ? "done" : "failed")
      : i < at
      ? "done"
      : i > at
      ? "pending"
      : "active";
  return {
    destination,
    state,
    pills: Object.fromEntries(PHASES.map((phase, i) => [phase, pill(i)])) as Record<
      (typeof PHASES)[number],
      PillState
    >,
    etaMs: null,
    fastest: false,
    elapsedMs: 12_000,
    ...facts,
    counters: { ...ZERO_COUNTERS, ...facts.counters },
    gauges: { ...ZERO_GAUGES, ...facts.gauges },
  };
}

export function sampleProgress(
  destinations: DestinationProgress[],
  facts: Partial<RunProgress> = {},
): RunProgress {
  return {
    runId: "run-1",
    state: "running",
    elapsedMs: 12_000,
    scan: { ...ZERO_SCAN, files: 1234, bytes: 3.4e9 },
    destinations,
    statusLine: "1 copying, 1 verifying",
    ...facts,
  };
}

/** A fast destination that verifies while a slow one copies. */
export const RACE: RunProgress = sampleProgress([
  sampleLane("/mnt/ssd", "verify", {
    fastest: true,
    etaMs: 4_000,
    counters: {
      filesTotal: 1234,
      filesDone: 1234,
      bytesTotal: 3.4e9,
      bytesDone: 3.4e9,
      verifyFilesTotal: 1200,
      verifyFilesDone: 600,
      verifyBytesTotal: 3e9,
      verifyBytesDone: 1.5e9,
    },
    gauges: { workers: 4, bytesPerSecond: 420e6, currentFiles: ["Documents/a/report.pdf"] },
  }),
  sampleLane("/mnt/nas", "copy", {
    etaMs: 402_000,
    counters: {
      filesTotal: 1234,
      filesDone: 100,
      bytesTotal: 3.4e9,
      bytesDone: 0.34e9,
      filesFailed: 1,
    },
    gauges: { workers: 1, bytesPerSecond: 7.9e6, currentFiles: ["Documents/b/film\n.mov"] },
  }),
]);

export function sampleLaneReport(
  destination: string,
  state: LaneReport["state"],
  facts: Partial<LaneReport> = {},
): LaneReport {
  return {
    destination,
    state,
    ...nothingDone(),
    ...facts,
  };
}

export function sampleDestination(
  destination: string,
  state: DestinationReport["state"],
  lane: Partial<LaneReport> | undefined,
  facts: Partial<DestinationReport> = {},
): DestinationReport {
  return {
    destination,
    state,
    elapsedMs: 12_000,
    warnings: [],
    lanes: lane === undefined
      ? []
      : [{ source: "Documents", report: sampleLaneReport(destination, state, lane) }],
    ...facts,
  };
}

export function sampleReport(
  destinations: DestinationReport[],
  facts: Partial<RunReport> = {},
): RunReport {
  return {
    runId: "run-1",
    state: "completed",
    startedAtMs: 1_700_000_000_000,
    elapsedMs: 42_000,
    sources: [{
      source: { path: "/home/me/Documents", name: "Documents" },
      counters: { ...ZERO_SCAN, files: 1234, directories: 56, bytes: 3.4e9 },
      excluded: [],
      unreadable: [],
      unreadableCount: 0,
      warnings: [],
    }],
    destinations,
    exitCode: 0,
    ...facts,
  };
}

/** One destination verified, one that failed, one unreadable file, something left out. */
export const PARTIAL: RunReport = sampleReport([
  sampleDestination("/mnt/ssd", "verified", {
    filesTotal: 1233,
    filesCopied: 1200,
    bytesCopied: 3.36e9,
    filesUnchanged: 33,
    filesVerified: 1200,
    bytesVerified: 3.36e9,
    verification: "disk",
    oldestVerifiedAtMs: new Date(2026, 0, 31, 8, 5).getTime(),
    rewritten: ["Documents/shaky.bin"],
  }, { warnings: ["/mnt/ssd and /mnt/nas are on one file system"] }),
  sampleDestination("/mnt/nas", "failed", {
    filesTotal: 1233,
    filesCopied: 10,
    bytesCopied: 5e6,
    filesVerified: 8,
    bytesVerified: 4e6,
    verification: "cache",
    failures: [{
      path: "Documents/b\n.mov",
      code: "no_space",
      message: "No space left",
      attempts: 3,
    }],
    failureCount: 3,
    error: { code: "no_space", message: "The destination is full", retry: "no", hint: "Free some" },
  }),
], {
  state: "partial",
  exitCode: 4,
  sources: [{
    source: { path: "/home/me/Documents", name: "Documents" },
    counters: {
      ...ZERO_SCAN,
      files: 1234,
      directories: 56,
      bytes: 3.4e9,
      unreadable: 1,
      excluded: 12,
    },
    excluded: [{ rule: "*.log (--exclude)", files: 12, directories: 0, bytes: 4.5e6 }],
    unreadable: [{
      path: "Documents/secret",
      code: "permission",
      message: "Permission denied",
      attempts: 1,
    }],
    unreadableCount: 1,
    warnings: [],
  }],
});
