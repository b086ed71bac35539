/** The result of a run as text. Rule: whatever is not safe is named; nothing is summed away. */
import type { FileFailure } from "../../protocol/mesh/job.ts";
import type { DestinationReport, RunReport, SourceReport } from "../../protocol/mesh/run.ts";
import type { LanePlan, WireError } from "../../protocol/mesh/task.ts";
import type { Style } from "../../protocol/cli/colours.ts";
import {
  formatBytes,
  formatCount,
  formatDate,
  formatDuration,
  formatPlural,
  formatRate,
} from "../../protocol/cli/format.ts";
import { isRepositoryAddress } from "../../protocol/cli/repository_address.ts";
import { visibleText } from "../../protocol/cli/visible_text.ts";
import { type LaneSums, recordedCount, sumLanes } from "./lane_sums.ts";
import { verdictSentence } from "./verdict_sentence.ts";

/** As restic shows ids. */
const SHORT_ID = 8;

const VERIFIED_HOW = {
  disk: " from disk",
  cache: " from cache",
  mixed: " from disk and cache",
  none: "",
} as const;

/** Everything a person needs after a run: verdict, destinations, problems by name, what was left out. */
export function renderResult(
  report: RunReport,
  options: { style: Style; verbose: boolean },
): string[] {
  const { style } = options;
  return [
    verdictLine(report, style),
    ...report.destinations.flatMap((d) => destinationLines(d, style, options.verbose)),
    ...problemLines(report, style),
    ...excludedLines(report.sources),
  ];
}

/** What went wrong, and the verdict when the run did not end well; empty for a clean run. */
export function renderProblems(report: RunReport, style: Style): string[] {
  const failedDestinations = report.destinations
    .filter(({ state }) => state !== "verified" && state !== "planned")
    .flatMap((d) => destinationLines(d, style, false));
  return [
    ...(report.exitCode === 0 ? [] : [verdictLine(report, style)]),
    ...failedDestinations,
    ...problemLines(report, style),
  ];
}

function verdictLine(report: RunReport, style: Style): string {
  const text = visibleText(verdictSentence(report));
  const paint = report.exitCode === 0 ? style.good : style.bad;
  const glyph = report.exitCode === 0 ? style.glyphs.done : style.glyphs.failed;
  return `${paint(glyph)} ${style.bold(text)}`;
}

function destinationLines(
  destination: DestinationReport,
  style: Style,
  verbose: boolean,
): string[] {
  const isGood = destination.state === "verified" || destination.state === "planned";
  const glyph = isGood ? style.good(style.glyphs.done) : style.bad(style.glyphs.failed);
  const sums = sumLanes(destination);
  const facts = destination.state === "planned" ? planFacts(sums) : copyFacts(destination, sums);
  const name = style.bold(visibleText(destination.destination));
  const state = isGood ? destination.state : style.bad(destination.state);
  const errors = [destination.error, ...destination.lanes.map(({ report }) => report.error)]
    .filter((error) => error !== undefined)
    .map(withHint);
  const rewritten = sums.rewritten.length === 0 ? [] : [
    `${formatPlural(sums.rewritten.length, "file")} differed on first read-back and ` +
    `${sums.rewritten.length === 1 ? "was" : "were"} written again`,
    ...(verbose ? sums.rewritten : []),
  ];
  return [
    `  ${glyph} ${name}: ${[state, ...facts].join(", ")}`,
    ...deletionNameLines(sums),
    ...[...new Set(errors)].map((text) => `      ${style.bad(visibleText(text))}`),
    ...[...new Set([...destination.warnings, ...sums.warnings, ...rewritten])]
      .map((text) => `      ${style.warn(visibleText(text))}`),
  ];
}

function planFacts({ plan, snapshots }: LaneSums): string[] {
  if (plan === undefined) return [];
  if (snapshots.length > 0) {
    const sum = (of: "filesNew" | "filesChanged" | "storedBytes") =>
      snapshots.reduce((total, one) => total + one[of], 0);
    return [
      `would add ${formatBytes(sum("storedBytes"))}: ${
        formatPlural(sum("filesNew"), "new file")
      }, ` +
      `${formatCount(sum("filesChanged"))} changed`,
      `${formatCount(plan.filesUnchanged)} unchanged`,
    ];
  }
  return [
    `would copy ${formatPlural(plan.filesToCopy, "file")} (${formatBytes(plan.bytesToCopy)})`,
    `${formatCount(plan.filesUnchanged)} unchanged`,
    ...(plan.filesToDelete !== undefined
      ? deletionFacts(plan)
      : plan.filesGone > 0
      ? [`${formatCount(plan.filesGone)} no longer in the source, kept there`]
      : []),
  ];
}

function deletionFacts({ filesToDelete, entriesToDelete }: LanePlan): string[] {
  const others = (entriesToDelete ?? 0) - (filesToDelete ?? 0);
  return [
    `would delete ${formatPlural(filesToDelete ?? 0, "file")}${
      others > 0 ? ` and ${formatPlural(others, "folder or link", "folders and links")}` : ""
    }`,
  ];
}

function deletionNameLines({ plan }: LaneSums): string[] {
  const names = plan?.deletionNames ?? [];
  const unnamed = (plan?.entriesToDelete ?? 0) - names.length;
  return [
    ...names.map((name) => `      would delete ${visibleText(name)}`),
    ...(unnamed > 0 ? [`      and ${formatCount(unnamed)} more`] : []),
  ];
}

function historyFacts({ history }: LaneSums): string[] {
  if (history === undefined) return [];
  const { entriesDeleted, foldersDeleted, versionsKept, versionsRemoved } = history;
  return [
    ...(entriesDeleted > 0 ? [`${formatCount(entriesDeleted)} deleted`] : []),
    ...(foldersDeleted > 0 ? [`${formatPlural(foldersDeleted, "folder")} removed`] : []),
    ...(versionsKept > 0 ? [`${formatPlural(versionsKept, "earlier version")} kept`] : []),
    ...(versionsRemoved > 0 ? [`${formatPlural(versionsRemoved, "old version")} removed`] : []),
  ];
}

/** Of a repository. What is verified there are its own files: packs, index and snapshot. */
function snapshotFacts({ elapsedMs }: DestinationReport, sums: LaneSums): string[] {
  const { snapshots } = sums;
  const ids = snapshots.filter(({ id }) => id !== "").map(({ id, source }) =>
    snapshots.length > 1
      ? `${id.slice(0, SHORT_ID)} (${visibleText(source)})`
      : id.slice(0, SHORT_ID)
  );
  const sum = (of: "filesNew" | "filesChanged" | "storedBytes") =>
    snapshots.reduce((total, one) => total + one[of], 0);
  return [
    ...(ids.length === 0
      ? []
      : [`${ids.length === 1 ? "snapshot" : "snapshots"} ${ids.join(" and ")}`]),
    `${formatPlural(sum("filesNew"), "new file")}, ${formatCount(sum("filesChanged"))} changed, ` +
    `${formatCount(sums.filesUnchanged)} unchanged`,
    `${formatBytes(sum("storedBytes"))} added`,
    ...(sums.filesVerified === 0 ? [] : [
      `${formatPlural(sums.filesVerified, "repository file")} verified${
        VERIFIED_HOW[sums.verification]
      }`,
    ]),
    ...(sums.failureCount > 0 ? [`${formatCount(sums.failureCount)} failed`] : []),
    formatDuration(elapsedMs),
  ];
}

function copyFacts(destination: DestinationReport, sums: LaneSums): string[] {
  if (destination.lanes.length === 0) return [];
  if (sums.snapshots.length > 0) return snapshotFacts(destination, sums);
  if (isRepositoryAddress(destination.destination)) {
    // What was stored there is of use to the next run only.
    return ["no snapshot was made", formatDuration(destination.elapsedMs)];
  }
  const bytesPerSecond = destination.elapsedMs > 0
    ? sums.bytesCopied / (destination.elapsedMs / 1000)
    : 0;
  return [
    `${formatPlural(sums.filesCopied, "file")} copied (${formatBytes(sums.bytesCopied)})`,
    `${formatCount(sums.filesUnchanged)} unchanged`,
    `${formatCount(sums.filesVerified)} verified${VERIFIED_HOW[sums.verification]}`,
    ...(recordedCount(sums) > 0 ? [`${formatCount(recordedCount(sums))} recorded only`] : []),
    ...(sums.failureCount > 0 ? [`${formatCount(sums.failureCount)} failed`] : []),
    ...historyFacts(sums),
    formatDuration(destination.elapsedMs),
    ...(sums.bytesCopied > 0 ? [formatRate(bytesPerSecond)] : []),
    ...(sums.oldestVerifiedAtMs === undefined
      ? []
      : [`oldest verification ${formatDate(sums.oldestVerifiedAtMs)}`]),
  ];
}

function withHint({ message, hint }: WireError): string {
  return hint === undefined ? message : `${message} (${hint})`;
}

function problemLines(report: RunReport, style: Style): string[] {
  const lines: string[] = [];
  for (const { source, error } of report.sources) {
    if (error !== undefined) {
      lines.push(style.bad(visibleText(`Source ${source.path}: ${withHint(error)}`)));
    }
  }
  const unreadable = report.sources.flatMap((source) => source.unreadable);
  const unreadableCount = report.sources.reduce((sum, source) => sum + source.unreadableCount, 0);
  lines.push(...namedFailures("Could not be read", unreadable, unreadableCount, style));
  for (const destination of report.destinations) {
    const { failures, failureCount } = sumLanes(destination);
    const title = `Failed at ${visibleText(destination.destination)}`;
    lines.push(...namedFailures(title, failures, failureCount, style));
  }
  return lines;
}

function namedFailures(
  title: string,
  failures: readonly FileFailure[],
  count: number,
  style: Style,
): string[] {
  if (count === 0) return [];
  const unnamed = count - failures.length;
  return [
    style.bad(`${title} (${formatCount(count)}):`),
    ...failures.map(({ path, message, attempts }) => {
      const tries = attempts > 1 ? `, ${attempts} attempts` : "";
      return `  ${visibleText(path)}: ${visibleText(message)}${tries}`;
    }),
    ...(unnamed > 0 ? [`  and ${formatCount(unnamed)} more`] : []),
  ];
}

function excludedLines(sources: readonly SourceReport[]): string[] {
  const rules = sources.flatMap(({ source, excluded }) =>
    excluded.map((row) => ({ ...row, name: sources.length > 1 ? `${source.name}: ` : "" }))
  );
  if (rules.length === 0) return [];
  return [
    "Left out:",
    ...rules.map(({ name, rule, files, directories, bytes }) => {
      const parts = [
        ...(files > 0 ? [formatPlural(files, "file")] : []),
        ...(directories > 0 ? [formatPlural(directories, "folder")] : []),
        ...(bytes > 0 ? [formatBytes(bytes)] : []),
      ];
      return `  ${visibleText(name + rule)}: ${parts.length === 0 ? "nothing" : parts.join(", ")}`;
    }),
  ];
}
