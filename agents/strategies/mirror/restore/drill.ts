/**
 * `drill`: shows that a destination can be restored from, by restoring some of it. Rule: chance chooses, so that every
 * file's turn comes; what was found is written down at the destination with its date.
 */
import type { Clock } from "../../../../protocol/base/clock.ts";
import { asBackupError, BackupError } from "../../../../protocol/base/errors.ts";
import { ThreadClient } from "../../../threads/thread_rpc.ts";
import { ThreadWatch } from "../../../threads/thread_watch.ts";
import {
  DRILL_FORMAT,
  type DrillReport,
  drillReportName,
  type ReportRequest,
} from "./drill_report.ts";
import { restoreFrom, type RestoreProgress } from "./restore_run.ts";
import type { KeySources } from "../read_keys.ts";
import type { RestoreThreadStart } from "./restore_thread.ts";

export interface DrillOptions {
  /** The destination, absolute. */
  path: string;
  /** More than 0, at most 100. */
  samplePercent: number;
  /** An existing folder, absolute; a folder of the drill's own is made in it and removed again. */
  scratch: string;
  /** As for a restore. */
  keys?: KeySources;
  /** Names that folder. */
  id: string;
  /** To know sources that are on this host; undefined = none are. */
  hostId: string | undefined;
  timeoutMs: number;
  waitMs: number;
  onProgress(progress: RestoreProgress): void;
  signal: AbortSignal;
  clock: Clock;
}

export interface DrillOutcome {
  report: DrillReport;
  /** Where it is; undefined when it could not be written there. */
  reportPath: string | undefined;
  warnings: string[];
}

const BUSY_RETRY_MS = 500;

/**
 * What of the sample is wrong is in the report; what ends everything is thrown.
 * @throws {BackupError} as `restoreFrom` does, and `not_found` when no file is recorded at all
 */
export async function drill(
  options: DrillOptions,
  spawn: (role: string) => Worker,
): Promise<DrillOutcome> {
  const { clock, path, samplePercent } = options;
  const startedAt = new Date(clock.nowMs()).toISOString();
  const restored = await restoreFrom(
    {
      sources: [path],
      target: `${options.scratch.replace(/\/+$/, "")}/backup-agent-drill-${options.id}`,
      paths: [],
      overwrite: false,
      withGone: false,
      dryRun: false,
      keys: options.keys ?? {},
      drill: { sample: { fraction: samplePercent / 100 }, hostId: options.hostId },
      id: options.id,
      timeoutMs: options.timeoutMs,
      waitMs: options.waitMs,
      onProgress: options.onProgress,
      signal: options.signal,
      clock,
    },
    spawn,
  );
  const { planned, counts, inspected } = restored;
  if (planned.files === 0) {
    throw new BackupError("not_found", `No file is recorded at ${path} that there is room for`, {
      path,
      hint: "Run a backup first, or name a larger folder with --scratch",
    });
  }
  const failures = [...restored.failures, ...inspected.flatMap((one) => one.failures)];
  const report: DrillReport = {
    format: DRILL_FORMAT,
    version: 1,
    startedAt,
    endedAt: new Date(clock.nowMs()).toISOString(),
    passed: failures.length === 0 && counts.failed + counts.kept === 0 &&
      counts.files === planned.files,
    samplePercent,
    copies: restored.copies,
    filesChosen: planned.files,
    bytesChosen: planned.bytes,
    filesRestored: counts.files,
    bytesRestored: counts.bytes,
    comparedWithSource: inspected.reduce((sum, one) => sum + one.sourcesRead, 0),
    failures,
  };
  const name = drillReportName(startedAt);
  const warnings = [...restored.warnings];
  let reportPath: string | undefined;
  try {
    const holder = `drill, process ${Deno.pid}`;
    await storeReport(options, { name, report, holder }, spawn);
    reportPath = `${path}/.backup-agent/drills/${name}`;
  } catch (thrown) {
    const error = asBackupError(thrown);
    if (options.signal.aborted || error.code === "internal") throw thrown;
    warnings.push(`The report could not be kept at the destination: ${error.message}`);
  }
  return { report, reportPath, warnings };
}

async function storeReport(
  options: DrillOptions,
  request: ReportRequest,
  spawn: (role: string) => Worker,
): Promise<void> {
  const { clock, path, signal } = options;
  const watch = new ThreadWatch(clock, options.timeoutMs);
  const start: RestoreThreadStart = {
    ...{ sources: [path], target: "", id: options.id, overwrite: false },
    ...{ part: 1, parts: 2 },
  };
  const thread = new ThreadClient(spawn("restore"), start);
  watch.add(thread, path);
  const deadlineMs = clock.monotonicMs() + options.waitMs;
  try {
    for (;;) {
      try {
        return await thread.callFlush("writeReport", request);
      } catch (thrown) {
        const leftMs = deadlineMs - clock.monotonicMs();
        if (asBackupError(thrown).code !== "destination_busy" || leftMs <= 0) throw thrown;
        await clock.sleep(Math.min(leftMs, BUSY_RETRY_MS), signal);
      }
    }
  } finally {
    watch.close();
    thread.close();
  }
}
