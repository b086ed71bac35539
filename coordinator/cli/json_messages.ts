/**
 * The JSON lines of a run, shaped as restic's so that scripts can read both. Rule: field names never change; everything
 * is per destination.
 */
import type {
  DestinationProgress,
  DestinationReport,
  RunProgress,
  RunReport,
  SourceReport,
} from "../../protocol/mesh/run.ts";
import type { FileFailure } from "../../protocol/mesh/job.ts";
import { type LaneSums, recordedCount, sumLanes } from "./lane_sums.ts";
import { laneNumbers } from "./lane_numbers.ts";
import type { DestinationEnd } from "./embedded.ts";
import { verdictSentence } from "./verdict_sentence.ts";

type Message = { message_type: string } & Record<string, unknown>;

/** One destination now. Counts are those of its phase: `bytes_done` starts again when verify begins. */
export function statusMessage(lane: DestinationProgress, run: RunProgress): Message {
  const numbers = laneNumbers(lane);
  return {
    message_type: "status",
    destination: lane.destination,
    phase: lane.state,
    percent_done: numbers.fraction,
    seconds_elapsed: seconds(lane.elapsedMs),
    ...(lane.etaMs === null ? {} : { seconds_remaining: seconds(lane.etaMs) }),
    total_files: numbers.filesTotal,
    files_done: numbers.filesDone,
    total_bytes: numbers.bytesTotal,
    bytes_done: numbers.bytesDone,
    bytes_per_second: lane.gauges.bytesPerSecond,
    error_count: lane.counters.filesFailed + run.scan.unreadable,
    current_files: lane.gauges.currentFiles,
    ...(lane.waitsFor === undefined ? {} : {
      waits_for: lane.waitsFor.map(({ agent, silentForMs }) => ({
        agent,
        seconds_silent: seconds(silentForMs),
      })),
    }),
  };
}

export function destinationMessage(end: DestinationEnd): Message {
  return {
    message_type: "destination",
    destination: end.destination,
    state: end.state,
    seconds_elapsed: seconds(end.elapsedMs),
  };
}

/** One message for each thing that failed: whole sources and destinations, then files by name. */
export function* errorMessages(report: RunReport): Generator<Message> {
  for (const { source, error, unreadable } of report.sources) {
    if (error !== undefined) yield errorMessage("scan", source.path, error);
    for (const failure of unreadable) yield errorMessage("read", failure.path, failure);
  }
  for (const { destination, error, lanes } of report.destinations) {
    if (error !== undefined) yield errorMessage("destination", destination, error, destination);
    for (const { source, report: lane } of lanes) {
      if (lane.error !== undefined) yield errorMessage("copy", source, lane.error, destination);
      for (const failure of lane.failures) {
        yield errorMessage("copy", failure.path, failure, destination);
      }
    }
  }
}

export function summaryMessage(report: RunReport): Message {
  const scanned = report.sources.map((source) => source.counters);
  return {
    message_type: "summary",
    run_id: report.runId,
    state: report.state,
    exit_code: report.exitCode,
    dry_run: report.destinations.some((destination) => destination.state === "planned"),
    total_files_processed: scanned.reduce((sum, counters) => sum + counters.files, 0),
    total_bytes_processed: scanned.reduce((sum, counters) => sum + counters.bytes, 0),
    total_duration: seconds(report.elapsedMs),
    backup_start: new Date(report.startedAtMs).toISOString(),
    sources: report.sources.map(sourceSummary),
    destinations: report.destinations.map(destinationSummary),
  };
}

/** The last line of a run that did not end well. */
export function exitErrorOf(report: RunReport): Message {
  return {
    message_type: "exit_error",
    code: report.exitCode,
    message: verdictSentence(report),
  };
}

function sourceSummary(source: SourceReport): Record<string, unknown> {
  return {
    path: source.source.path,
    name: source.source.name,
    total_files: source.counters.files,
    total_dirs: source.counters.directories,
    total_bytes: source.counters.bytes,
    unreadable: source.unreadableCount,
    excluded: source.excluded,
    ...(source.error === undefined ? {} : { error: source.error.message }),
  };
}

function destinationSummary(destination: DestinationReport): Record<string, unknown> {
  const sums = sumLanes(destination);
  return {
    destination: destination.destination,
    state: destination.state,
    seconds_elapsed: seconds(destination.elapsedMs),
    total_files: sums.filesTotal,
    files_copied: sums.filesCopied,
    bytes_copied: sums.bytesCopied,
    files_unmodified: sums.filesUnchanged,
    files_verified: sums.filesVerified,
    bytes_verified: sums.bytesVerified,
    files_failed: sums.failureCount,
    files_rewritten: sums.rewritten.length,
    recorded_only: recordedCount(sums),
    verification: sums.verification,
    ...(sums.oldestVerifiedAtMs === undefined
      ? {}
      : { oldest_verification: new Date(sums.oldestVerifiedAtMs).toISOString() }),
    ...(sums.plan === undefined ? {} : {
      plan: {
        files_to_copy: sums.plan.filesToCopy,
        bytes_to_copy: sums.plan.bytesToCopy,
        files_unmodified: sums.plan.filesUnchanged,
        files_gone: sums.plan.filesGone,
        ...(sums.plan.filesToDelete === undefined ? {} : {
          files_to_delete: sums.plan.filesToDelete,
          entries_to_delete: sums.plan.entriesToDelete,
          deletions: sums.plan.deletionNames,
        }),
      },
    }),
    ...(sums.history === undefined ? {} : {
      entries_deleted: sums.history.entriesDeleted,
      folders_deleted: sums.history.foldersDeleted,
      versions_kept: sums.history.versionsKept,
      versions_removed: sums.history.versionsRemoved,
      ...(sums.history.refused === undefined ? {} : { deletion_refused: sums.history.refused }),
    }),
    ...(sums.snapshots.length === 0 ? {} : { snapshots: sums.snapshots.map(snapshotSummary) }),
    warnings: [...destination.warnings, ...sums.warnings],
    ...(destination.error === undefined ? {} : { error: destination.error.message }),
  };
}

/** restic's names where it has them. */
function snapshotSummary(
  { source, id, tree, parent, filesNew, filesChanged, addedBytes, storedBytes }:
    LaneSums["snapshots"][number],
): Record<string, unknown> {
  return {
    source,
    snapshot_id: id,
    tree,
    ...(parent === undefined ? {} : { parent }),
    files_new: filesNew,
    files_changed: filesChanged,
    data_added: addedBytes,
    data_added_packed: storedBytes,
  };
}

function errorMessage(
  during: string,
  path: string,
  failure: Pick<FileFailure, "code" | "message"> & { attempts?: number },
  destination?: string,
): Message {
  return {
    message_type: "error",
    error: { message: failure.message },
    during,
    item: path,
    path,
    code: failure.code,
    message: failure.message,
    ...(failure.attempts === undefined ? {} : { attempts: failure.attempts }),
    ...(destination === undefined ? {} : { destination }),
  };
}

function seconds(ms: number): number {
  return Math.round(ms) / 1000;
}
