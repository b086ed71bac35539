/** The outcome of `restore` as text and as JSON lines. Rule: every file that was not restored is named. */
import type { FileFailure } from "../../protocol/mesh/job.ts";
import type { Style } from "../../protocol/cli/colours.ts";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatPercent,
  formatPlural,
} from "../../protocol/cli/format.ts";
import { fitStart, visibleText } from "../../protocol/cli/visible_text.ts";
import { etaMsOf, fractionOf, numbersLine } from "./progress_numbers.ts";

const NAMES_SHOWN = 20;

export interface RestoreProgressView {
  filesDone: number;
  filesTotal: number;
  bytesDone: number;
  bytesTotal: number;
  copy: string;
}

/** What the engine says at the end; see `RestoreOutcome` there. */
export interface RestoreDoneOutcome {
  counts: {
    files: number;
    bytes: number;
    others: number;
    folders: number;
    alreadyThere: number;
    failed: number;
    locked: number;
    kept: number;
    taken: number;
  };
  failures: FileFailure[];
  kept: string[];
  taken: string[];
  planned: {
    files: number;
    bytes: number;
    folders: number;
    others: number;
    gone: number;
    sockets: number;
  };
  copies: string[];
  warnings: string[];
}

export interface RestoreView {
  target: string;
  progress: RestoreProgressView;
  elapsedMs: number;
}

/** 0: all is there; 12: no file is, for want of its key; 4: some is; 1: nothing is. */
export function restoreExitCode({ counts, planned }: RestoreDoneOutcome): 0 | 1 | 4 | 12 {
  if (counts.failed + counts.kept === 0) return 0;
  if (planned.files > 0 && counts.locked === planned.files) return 12;
  return counts.files + counts.others + counts.alreadyThere > 0 ? 4 : 1;
}

/** Two lines for a terminal: where to, then bar and numbers. */
export function renderRestoreLane(view: RestoreView, columns: number, style: Style): string[] {
  const { progress } = view;
  const copy = progress.copy === "" ? "" : `/${progress.copy}`;
  return [
    fitStart(`Restoring: ${visibleText(view.target + copy)}`, columns),
    numbersLine(view, columns, style),
  ];
}

/** One line for a log. */
export function restoreLine(view: RestoreView): string {
  const { progress } = view;
  if (progress.filesTotal === 0) return `${view.target}: restore, reading what is recorded`;
  return `${view.target}: restore ${formatPercent(fractionOf(view))}, ${
    formatCount(progress.filesDone)
  }/${formatPlural(progress.filesTotal, "file")}, ${formatBytes(progress.bytesDone)}/${
    formatBytes(progress.bytesTotal)
  }`;
}

/** What `--dry-run` prints. */
export function renderPlan({ planned, copies, warnings }: RestoreDoneOutcome, { target }: {
  target: string;
}): string[] {
  return [
    `Would restore ${formatPlural(planned.files, "file")}, ${formatBytes(planned.bytes)}, ` +
    `${formatPlural(planned.folders, "folder")} and ${
      formatPlural(planned.others, "link or node", "links and nodes")
    } of ${copies.map(visibleText).join(", ") || "no copy"} to ${visibleText(target)}.`,
    "What stands there already was not looked at: what is as recorded stays, and only --overwrite replaces what differs.",
    ...leftOut(planned),
    ...warnings.map((text) => `Warning: ${visibleText(text)}`),
  ];
}

/** The result for people. */
export function renderRestoreResult(
  outcome: RestoreDoneOutcome,
  facts: { target: string; elapsedMs: number; style: Style; verbose: boolean },
): string[] {
  const { style, verbose } = facts;
  const { counts } = outcome;
  const target = visibleText(facts.target);
  const done = [
    `${formatPlural(counts.files, "file")}, ${formatBytes(counts.bytes)} restored to ${target}`,
    ...(counts.alreadyThere > 0 ? [`${formatCount(counts.alreadyThere)} there already`] : []),
    ...(counts.kept > 0 ? [`${formatCount(counts.kept)} not replaced`] : []),
    ...(counts.failed > 0 ? [`${formatCount(counts.failed)} failed`] : []),
  ].join("; ");
  const isWhole = restoreExitCode(outcome) === 0;
  const mark = isWhole ? style.good(style.glyphs.done) : style.bad(style.glyphs.failed);
  const shown = verbose ? Infinity : NAMES_SHOWN;
  return [
    `${mark} ${style.bold(`${done} in ${formatDuration(facts.elapsedMs)}.`)}`,
    ...named("Failed", counts.failed, outcome.failures.map(failureText), Infinity, style.bad),
    ...named(
      "Stands there and differs, not replaced without --overwrite",
      counts.kept,
      outcome.kept,
      Infinity,
      style.bad,
    ),
    ...named("Taken from another destination", counts.taken, outcome.taken, shown, style.bold),
    ...leftOut(outcome.planned),
    ...outcome.warnings.map((text) => `Warning: ${visibleText(text)}`),
  ];
}

/** The JSON line of the work so far, shaped as that of a backup. */
export function restoreStatusMessage(view: RestoreView): Record<string, unknown> {
  const { progress } = view;
  const etaMs = etaMsOf(view);
  return {
    message_type: "status",
    phase: "restore",
    target: view.target,
    percent_done: fractionOf(view),
    seconds_elapsed: seconds(view.elapsedMs),
    ...(etaMs === undefined ? {} : { seconds_remaining: seconds(etaMs) }),
    total_files: progress.filesTotal,
    files_done: progress.filesDone,
    total_bytes: progress.bytesTotal,
    bytes_done: progress.bytesDone,
  };
}

/** One error line for each entry that was not restored, then the summary. */
export function* restoreEndMessages(
  outcome: RestoreDoneOutcome,
  facts: { target: string; elapsedMs: number; dryRun: boolean },
): Generator<Record<string, unknown>> {
  const { counts, planned } = outcome;
  const kept = outcome.kept.map((path) => ({
    path,
    code: "exists",
    message: "Something else stands there; --overwrite replaces it",
  }));
  for (const { path, code, message } of [...outcome.failures, ...kept]) {
    const error = { message };
    yield { message_type: "error", error, during: "restore", item: path, path, code, message };
  }
  const code = restoreExitCode(outcome);
  yield {
    message_type: "summary",
    target: facts.target,
    state: facts.dryRun ? "planned" : code === 0 ? "restored" : code === 4 ? "partial" : "failed",
    dry_run: facts.dryRun,
    copies: outcome.copies,
    total_duration: seconds(facts.elapsedMs),
    total_files: planned.files,
    total_bytes: planned.bytes,
    total_folders: planned.folders,
    total_others: planned.others,
    files_restored: counts.files,
    bytes_restored: counts.bytes,
    others_restored: counts.others,
    folders_made: counts.folders,
    already_there: counts.alreadyThere,
    not_replaced: counts.kept,
    files_failed: counts.failed,
    files_locked: counts.locked,
    gone_left_out: planned.gone,
    sockets_left_out: planned.sockets,
    taken_from_others: counts.taken,
    taken: outcome.taken,
    warnings: outcome.warnings,
  };
}

function leftOut({ gone, sockets }: RestoreDoneOutcome["planned"]): string[] {
  return [
    ...(gone > 0
      ? [
        `Left out: ${
          formatPlural(gone, "entry", "entries")
        } that the source had lost (--with-gone restores them).`,
      ]
      : []),
    ...(sockets > 0
      ? [`Left out: ${formatPlural(sockets, "socket")}, which nothing can restore.`]
      : []),
  ];
}

function failureText({ path, message }: FileFailure): string {
  return `${path}: ${message}`;
}

function named(
  title: string,
  count: number,
  texts: readonly string[],
  shown: number,
  paint: (text: string) => string,
): string[] {
  if (count === 0) return [];
  const unnamed = count - Math.min(shown, texts.length);
  return [
    paint(`${title} (${formatCount(count)}):`),
    ...texts.slice(0, shown).map((text) => `  ${visibleText(text)}`),
    ...(unnamed > 0 ? [`  and ${formatCount(unnamed)} more`] : []),
  ];
}

function seconds(ms: number): number {
  return Math.round(ms) / 1000;
}
