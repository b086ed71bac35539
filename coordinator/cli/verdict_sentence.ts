/** The result in one sentence. Rule: "verified" is said of a copy only when all of it is. */
import type { DestinationReport, RunReport } from "../../protocol/mesh/run.ts";
import { formatBytes, formatDuration, formatPlural } from "../../protocol/cli/format.ts";

/** What is safe now, and what is not, for people. */
export function verdictSentence(report: RunReport): string {
  const { destinations } = report;
  const total = destinations.length;
  const verified = destinations.filter((d) => d.state === "verified").length;
  const elapsed = formatDuration(report.elapsedMs);
  if (report.state === "cancelled") {
    return `Cancelled after ${elapsed}: ${verified} of ${copies(total)} verified.`;
  }
  if (destinations.some((d) => d.state === "planned")) {
    const unplanned = destinations.filter((d) => d.state !== "planned").length;
    const not = unplanned === 0 ? "" : `; ${formatPlural(unplanned, "destination")} cannot be used`;
    return `Dry run: nothing was written${not}${unreadableClause(report, "; ")}.`;
  }
  if (verified < total && destinations.every((d) => d.state === "verified" || isOnlyRefused(d))) {
    const refused = destinations.filter((d) => d.state !== "verified").map((d) => d.destination);
    return `Copied and verified, but nothing was deleted at ${refused.join(", ")}: that needs ` +
      `--delete-anyway${unreadableClause(report, "; ")}.`;
  }
  if (verified === 0) {
    return `Failed: no copy is verified${unreadableClause(report, "; ")}.`;
  }
  if (verified < total) {
    const failed = destinations.filter((d) => d.state !== "verified").map((d) => d.destination);
    return `${verified} of ${copies(total)} verified, not ${failed.join(", ")}${
      unreadableClause(report, "; ")
    }.`;
  }
  const subject = total === 1 ? "The copy is verified" : `All ${copies(total)} are verified`;
  const files = report.sources.reduce((sum, { counters }) => sum + counters.files, 0);
  const bytes = report.sources.reduce((sum, { counters }) => sum + counters.bytes, 0);
  const unreadable = unreadableClause(report, "");
  return unreadable === ""
    ? `${subject}: ${formatPlural(files, "file")}, ${formatBytes(bytes)} in ${elapsed}.`
    : `${subject}, but ${unreadable}.`;
}

/** All of it is verified; only its deletion wants to be confirmed. */
function isOnlyRefused({ lanes, error }: DestinationReport): boolean {
  const open = lanes.filter(({ report }) => report.state !== "verified");
  return open.length > 0 && (error === undefined || error.code === "rejected") &&
    open.every(({ report }) => report.history?.refused !== undefined && report.failureCount === 0);
}

/** How many source files, and whole sources, could not be read; empty when all could. */
export function unreadableClause(report: RunReport, lead: string): string {
  const sources = report.sources.filter(({ error }) => error !== undefined).length;
  const files = report.sources.reduce((sum, source) => sum + source.unreadableCount, 0);
  const parts = [
    ...(sources > 0 ? [formatPlural(sources, "source")] : []),
    ...(files > 0 ? [formatPlural(files, "source file")] : []),
  ];
  return parts.length === 0 ? "" : `${lead}${parts.join(" and ")} could not be read`;
}

function copies(count: number): string {
  return formatPlural(count, "copy", "copies");
}
