/** What became of the entries of a restore. Rule: everything is counted, and named as far as a person can read. */
import type { FileFailure } from "../../../../protocol/mesh/job.ts";
import { newNotKept, type NotKept } from "./entry_metadata.ts";

/** So many of a kind are named; all are counted. */
export const NAMED_MAX = 10_000;

export interface RestoreCounts {
  /** Files whose content was restored, and how much that was. */
  files: number;
  bytes: number;
  /** Further names, symbolic links, FIFOs and device nodes. */
  others: number;
  folders: number;
  /** Not folders: they stood there as they are recorded. */
  alreadyThere: number;
  failed: number;
  /** Files, of those failed, that no key given opens. */
  locked: number;
  /** Something else stands there, and `--overwrite` was not given. */
  kept: number;
  /** Taken from a later destination. */
  taken: number;
}

export interface RestoreReport {
  counts: RestoreCounts;
  failures: FileFailure[];
  kept: string[];
  /** A sentence each. */
  taken: string[];
  notKept: NotKept;
}

export function newReport(): RestoreReport {
  return {
    counts: {
      files: 0,
      bytes: 0,
      others: 0,
      folders: 0,
      alreadyThere: 0,
      failed: 0,
      locked: 0,
      kept: 0,
      taken: 0,
    },
    failures: [],
    kept: [],
    taken: [],
    notKept: newNotKept(),
  };
}

export function addFailure(report: RestoreReport, path: string, code: string, message: string) {
  report.counts.failed++;
  if (report.failures.length < NAMED_MAX) {
    report.failures.push({ path, code, message, attempts: 1 });
  }
}

export function addKept(report: RestoreReport, path: string): void {
  report.counts.kept++;
  if (report.kept.length < NAMED_MAX) report.kept.push(path);
}

export function addTaken(report: RestoreReport, sentence: string): void {
  report.counts.taken++;
  if (report.taken.length < NAMED_MAX) report.taken.push(sentence);
}

/** Adds what one thread says to the whole. */
export function addReport(sum: RestoreReport, part: RestoreReport): void {
  for (const key of Object.keys(sum.counts) as (keyof RestoreCounts)[]) {
    sum.counts[key] += part.counts[key];
  }
  for (const key of Object.keys(sum.notKept) as (keyof NotKept)[]) {
    sum.notKept[key] += part.notKept[key];
  }
  const room = (list: unknown[]) => Math.max(0, NAMED_MAX - list.length);
  sum.failures.push(...part.failures.slice(0, room(sum.failures)));
  sum.kept.push(...part.kept.slice(0, room(sum.kept)));
  sum.taken.push(...part.taken.slice(0, room(sum.taken)));
}

/** One sentence for each kind of metadata that could not be put back. */
export function notKeptWarnings(notKept: NotKept): string[] {
  const sentences: [number, string][] = [
    [notKept.owners, "the owner of N could not be set: only root may give files away"],
    [notKept.modes, "the mode of N could not be set on this file system"],
    [notKept.times, "the time of N could not be set on this file system"],
    [notKept.attributes, "N extended attributes could not be set here, or only by root"],
  ];
  return sentences.filter(([count]) => count > 0).map(([count, text]) =>
    text.replace(
      /N( extended attributes)?/,
      (_, what?: string) =>
        what === undefined ? `${count} ${count === 1 ? "entry" : "entries"}` : `${count}${what}`,
    )
  );
}
