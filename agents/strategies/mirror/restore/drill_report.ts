/** A drill's report at the destination: `.backup-agent/drills/<UTC time>.json`. Rule: written whole, under the lock. */
import type { FileFailure } from "../../../../protocol/mesh/job.ts";
import { DRILLS_DIRECTORY, OWN_DIRECTORY } from "../../../destinations/layout.ts";
import { ensureDirectory, openDestination } from "../../../destinations/local_destination.ts";
import type { DirectoryHandle, Posix } from "../../../platform/posix.ts";
import { replaceSmallFile } from "../../../platform/small_file.ts";

export const DRILL_FORMAT = "backup-agent drill";

export interface DrillReport {
  format: typeof DRILL_FORMAT;
  version: 1;
  startedAt: string;
  endedAt: string;
  /** Everything of the sample was restored and is right. */
  passed: boolean;
  samplePercent: number;
  copies: string[];
  filesChosen: number;
  bytesChosen: number;
  filesRestored: number;
  bytesRestored: number;
  /** Of those restored: how many sources were here, unchanged, and the same. */
  comparedWithSource: number;
  failures: FileFailure[];
}

export interface ReportRequest {
  name: string;
  report: DrillReport;
  /** For whoever finds the destination locked. */
  holder: string;
}

/** `20260301T140500Z.json`: sorted by time, and a name on every file system. */
export function drillReportName(startedAt: string): string {
  return `${startedAt.replace(/\.\d+Z$/, "Z").replace(/[-:]/g, "")}.json`;
}

/** @throws {BackupError} `destination_busy`, `read_only`, … */
export function writeDrillReport(posix: Posix, path: string, request: ReportRequest): void {
  const { report } = request;
  const destination = openDestination(posix, path, [], request.holder, report.endedAt);
  const opened: DirectoryHandle[] = [];
  try {
    const own = `${path}/${OWN_DIRECTORY}`;
    const at = ensureDirectory(posix, destination.own, DRILLS_DIRECTORY, own, opened);
    const bytes = new TextEncoder().encode(JSON.stringify(report, null, 2) + "\n");
    replaceSmallFile(posix, at, request.name, bytes, `${own}/${DRILLS_DIRECTORY}/${request.name}`);
  } finally {
    for (const handle of opened) posix.closeDirectory(handle);
    destination.close();
  }
}
