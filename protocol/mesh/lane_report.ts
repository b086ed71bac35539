/** How one source ended at one destination, as an agent reports it. Rule: what went wrong is in it by name. */
import * as v from "valibot";
import { FileFailure } from "./job.ts";

const count = v.pipe(v.number(), v.minValue(0));

/** An expected failure as it travels. */
export const WireError = v.object({
  code: v.string(),
  message: v.string(),
  path: v.exactOptional(v.string()),
  hint: v.exactOptional(v.string()),
  retry: v.picklist(["no", "later", "elsewhere"]),
});
export type WireError = v.InferOutput<typeof WireError>;

/** The plan of one destination under `--dry-run`. */
export const LanePlan = v.object({
  filesToCopy: count,
  bytesToCopy: count,
  filesUnchanged: count,
  filesGone: count,
  /** With `--delete`: what would be removed there, and the first names. */
  filesToDelete: v.exactOptional(count),
  entriesToDelete: v.exactOptional(count),
  deletionNames: v.exactOptional(v.array(v.string())),
});
export type LanePlan = v.InferOutput<typeof LanePlan>;

export const VerificationKind = v.picklist(["disk", "cache", "mixed", "none"]);
export type VerificationKind = v.InferOutput<typeof VerificationKind>;

/** Entries that a destination cannot hold: only its manifest has them, and a restore makes them. */
export const RecordedOnly = v.object({ symlinks: count, fifos: count, devices: count });
export type RecordedOnly = v.InferOutput<typeof RecordedOnly>;

/** What a run did to the past of one source at one destination. */
export const LaneHistory = v.object({
  /** Files, links and the like that were removed from the copy, and folders. */
  entriesDeleted: count,
  foldersDeleted: count,
  /** Earlier versions that were added and, being more than `keepVersions`, removed. */
  versionsKept: count,
  versionsRemoved: count,
  /** Why `--delete` deleted nothing and wants to be told again; everything else is as its numbers say. */
  refused: v.exactOptional(v.string()),
});
export type LaneHistory = v.InferOutput<typeof LaneHistory>;

/** The snapshot that a source got in a repository. */
export const SnapshotReport = v.object({
  /** Empty in a dry run. */
  id: v.string(),
  tree: v.string(),
  /** The snapshot it was compared with. */
  parent: v.exactOptional(v.string()),
  filesNew: count,
  filesChanged: count,
  /** Of files and folders that were not in the repository yet, and what that takes there. */
  addedBytes: count,
  storedBytes: count,
});
export type SnapshotReport = v.InferOutput<typeof SnapshotReport>;

/** How one source ended at one destination. `verified` only when every file of it is, with zero failures. */
export const LaneReport = v.object({
  destination: v.string(),
  state: v.picklist(["verified", "failed", "cancelled", "planned"]),
  error: v.exactOptional(WireError),
  filesTotal: count,
  filesCopied: count,
  bytesCopied: count,
  filesUnchanged: count,
  filesVerified: count,
  bytesVerified: count,
  /** Whether read-back came from the disk, proven, or may have come from the page cache. */
  verification: VerificationKind,
  /** When the least recently verified current file was last verified; absent when there is none. */
  oldestVerifiedAtMs: v.exactOptional(count),
  /** By name, each once, at its last attempt; the first 10,000, `failureCount` counts all. */
  failures: v.array(FileFailure),
  failureCount: count,
  /** Files whose first read-back differed and that were written again successfully. */
  rewritten: v.array(v.string()),
  /** Absent when everything stands there. */
  recordedOnly: v.exactOptional(RecordedOnly),
  warnings: v.array(v.string()),
  plan: v.exactOptional(LanePlan),
  /** Present when the run deletes or keeps versions. */
  history: v.exactOptional(LaneHistory),
  /** Present at a repository; what is verified there are its files: packs, index, snapshot. */
  snapshot: v.exactOptional(SnapshotReport),
});
export type LaneReport = v.InferOutput<typeof LaneReport>;

/** What a report has in any case, of a lane that has done nothing. */
export function nothingDone(): Omit<LaneReport, OfSomeReports> {
  return {
    filesTotal: 0,
    filesCopied: 0,
    bytesCopied: 0,
    filesUnchanged: 0,
    filesVerified: 0,
    bytesVerified: 0,
    verification: "none",
    failures: [],
    failureCount: 0,
    rewritten: [],
    warnings: [],
  };
}

type OfSomeReports =
  | "destination"
  | "state"
  | "error"
  | "oldestVerifiedAtMs"
  | "recordedOnly"
  | "plan"
  | "history"
  | "snapshot";
