/** The outcome of `verify` as text and as JSON lines. Rule: every file that is not sound is named. */
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
import { isSound, type VerifyOutcome, type VerifyProgress } from "./verify_port.ts";
import { etaMsOf, fractionOf, numbersLine } from "./progress_numbers.ts";

const EXTRA_NAMES_SHOWN = 20;
const REPAIR_HINT =
  "If another destination has the same copies, add --repair-from OTHER to put this one right.";
const VERIFIED_HOW = {
  disk: " from disk",
  cache: " from cache",
  mixed: " from disk and cache",
  none: "",
} as const;

/** Progress so far and what it means for the rest. */
export interface VerifyView {
  destination: string;
  progress: VerifyProgress;
  elapsedMs: number;
}

/** Two lines for a terminal: bar and numbers, current file. */
export function renderVerifyLane(view: VerifyView, columns: number, style: Style): string[] {
  return [
    fitStart(`Verifying: ${visibleText(view.destination)}`, columns),
    numbersLine(view, columns, style),
    style.dim(fitStart(visibleText(view.progress.currentFile), columns)),
  ];
}

/** One line for a log. */
export function verifyLine(view: VerifyView): string {
  const { progress } = view;
  if (progress.filesTotal === 0) return `${view.destination}: verify, reading what is recorded`;
  return `${view.destination}: verify ${formatPercent(fractionOf(view))}, ${
    formatCount(progress.filesDone)
  }/${formatPlural(progress.filesTotal, "file")}, ${formatBytes(progress.bytesDone)}/${
    formatBytes(progress.bytesTotal)
  }`;
}

/** The result for people. */
export function renderVerifyResult(
  outcome: VerifyOutcome,
  facts: { destination: string; elapsedMs: number; style: Style; verbose: boolean },
): string[] {
  const { style } = facts;
  const name = visibleText(facts.destination);
  const files = formatPlural(outcome.filesVerified, "file");
  const bytes = formatBytes(outcome.bytesVerified);
  const how = VERIFIED_HOW[outcome.verification];
  const sound = `${name} is sound: ${files}, ${bytes} verified${how} in ${
    formatDuration(facts.elapsedMs)
  }.`;
  const unsound = `${name} is not sound: ${formatCount(outcome.damaged.length)} damaged, ${
    formatCount(outcome.missing.length)
  } missing, ${formatCount(outcome.unreadable.length)} unreadable; ${files} verified${how}.`;
  return [
    isSound(outcome)
      ? `${style.good(style.glyphs.done)} ${style.bold(sound)}`
      : `${style.bad(style.glyphs.failed)} ${style.bold(unsound)}`,
    ...repairedLines(outcome, style),
    ...recordedLines(outcome.recordedOnly),
    ...named("Damaged", outcome.damaged, style),
    ...named("Missing", outcome.missing, style),
    ...named("Could not be read", outcome.unreadable, style),
    ...extraLines(outcome.extra, facts.verbose ? Infinity : EXTRA_NAMES_SHOWN),
    ...(outcome.warnings ?? []).map((warning) => style.bad(`Warning: ${visibleText(warning)}`)),
    ...(isSound(outcome) || outcome.repaired !== undefined ? [] : [REPAIR_HINT]),
  ];
}

/** The JSON line of the work so far, shaped as that of a backup. */
export function verifyStatusMessage(view: VerifyView): Record<string, unknown> {
  const { progress } = view;
  const etaMs = etaMsOf(view);
  return {
    message_type: "status",
    destination: view.destination,
    phase: "verify",
    percent_done: fractionOf(view),
    seconds_elapsed: seconds(view.elapsedMs),
    ...(etaMs === undefined ? {} : { seconds_remaining: seconds(etaMs) }),
    total_files: progress.filesTotal,
    files_done: progress.filesDone,
    total_bytes: progress.bytesTotal,
    bytes_done: progress.bytesDone,
    error_count: 0,
    current_files: progress.currentFile === "" ? [] : [progress.currentFile],
  };
}

/** One error line for each file that is not sound, then the summary. */
export function* verifyEndMessages(
  outcome: VerifyOutcome,
  facts: { destination: string; elapsedMs: number },
): Generator<Record<string, unknown>> {
  const { destination } = facts;
  for (const { path, what, from, displacedTo } of outcome.repaired ?? []) {
    yield {
      message_type: "repaired",
      path,
      what,
      ...(from === undefined ? {} : { from }),
      ...(displacedTo === undefined ? {} : { displaced_to: displacedTo }),
      destination,
    };
  }
  for (const message of outcome.warnings ?? []) {
    yield { message_type: "warning", message, destination };
  }
  const groups = {
    damaged: outcome.damaged,
    missing: outcome.missing,
    unreadable: outcome.unreadable,
  };
  for (const [kind, failures] of Object.entries(groups)) {
    for (const { path, code, message } of failures) {
      const error = { message };
      yield {
        message_type: "error",
        error,
        during: "verify",
        item: path,
        path,
        code,
        message,
        kind,
        destination,
      };
    }
  }
  yield {
    message_type: "summary",
    destination,
    state: isSound(outcome) ? "verified" : "failed",
    total_duration: seconds(facts.elapsedMs),
    files_verified: outcome.filesVerified,
    bytes_verified: outcome.bytesVerified,
    verification: outcome.verification,
    files_damaged: outcome.damaged.length,
    files_missing: outcome.missing.length,
    files_unreadable: outcome.unreadable.length,
    recorded_only: outcome.recordedOnly,
    extra: outcome.extra,
    ...(outcome.repaired === undefined ? {} : { entries_repaired: outcome.repaired.length }),
    ...(outcome.lastVerifiedAtMs === undefined
      ? {}
      : { last_verification: new Date(outcome.lastVerifiedAtMs).toISOString() }),
  };
}

function repairedLines({ repaired = [] }: VerifyOutcome, style: Style): string[] {
  if (repaired.length === 0) return [];
  return [
    style.good(`Repaired (${formatCount(repaired.length)}):`),
    ...repaired.map(({ path, what, from, displacedTo }) => {
      const taken = from === undefined ? "" : `; taken from ${from}`;
      const moved = displacedTo === undefined
        ? ""
        : `; what stood there is now .backup-agent/${displacedTo}`;
      return `  ${visibleText(`${path}: ${what}${taken}${moved}`)}`;
    }),
  ];
}

function named(title: string, failures: readonly FileFailure[], style: Style): string[] {
  if (failures.length === 0) return [];
  return [
    style.bad(`${title} (${formatCount(failures.length)}):`),
    ...failures.map(({ path, message }) => `  ${visibleText(path)}: ${visibleText(message)}`),
  ];
}

function recordedLines(count: number): string[] {
  if (count === 0) return [];
  return [
    `Recorded only, since this file system cannot hold ${count === 1 ? "it" : "them"} ` +
    `(${formatCount(count)})`,
  ];
}

function extraLines(extra: readonly string[], namesMax: number): string[] {
  if (extra.length === 0) return [];
  const unnamed = extra.length - namesMax;
  return [
    `Not recorded, so not checked (${formatCount(extra.length)}):`,
    ...extra.slice(0, namesMax).map((path) => `  ${visibleText(path)}`),
    ...(unnamed > 0 ? [`  and ${formatCount(unnamed)} more`] : []),
  ];
}

function seconds(ms: number): number {
  return Math.round(ms) / 1000;
}
