/** What `verify` needs of the engine. Rule: the command prints; reading a destination back is the strategy's work. */
import type { Clock } from "../../protocol/base/clock.ts";
import type { Log } from "../../protocol/base/log.ts";
import type { KeySources } from "./key_sources.ts";
import type { FileFailure } from "../../protocol/mesh/job.ts";

export interface VerifyProgress {
  filesDone: number;
  filesTotal: number;
  bytesDone: number;
  bytesTotal: number;
  currentFile: string;
}

export interface RepairedEntry {
  path: string;
  /** What was wrong with it. */
  what: string;
  /** The destination its content came from; absent when what is recorded was enough. */
  from?: string;
  /** Below `.backup-agent/`: where what stood under its name is now. */
  displacedTo?: string;
}

export interface VerifyOutcome {
  filesVerified: number;
  bytesVerified: number;
  verification: "disk" | "cache" | "mixed" | "none";
  /** Bytes differ from what was recorded when they were written. */
  damaged: FileFailure[];
  /** Recorded, but not there. */
  missing: FileFailure[];
  /** There, but not recorded: nothing is known about them. */
  extra: string[];
  unreadable: FileFailure[];
  /** What a repair put right; absent when none was asked for. */
  repaired?: RepairedEntry[];
  /** What a person should know of the repair, a sentence each. */
  warnings?: string[];
  /** Entries that the destination cannot hold: recorded for a restore, and nothing stands there. */
  recordedOnly: number;
  /** When this verification ended; absent when no file was sound. */
  lastVerifiedAtMs?: number;
}

/**
 * Reads back what is recorded at a destination, or only the copies named, and repairs it when others are named. The
 * outcome then lists as damaged, missing or unreadable what still is.
 * @throws {BackupError} `destination_missing` when there is no marker.
 */
export type VerifyDestination = (options: {
  path: string;
  names: readonly string[];
  /** Other destinations, absolute, to repair from; none: nothing is repaired. */
  repairFrom: readonly string[];
  /** They open encrypted lists; without, SHA256SUMS says what to check. */
  keys: KeySources;
  /** How long one disk operation may take. */
  timeoutMs: number;
  /** How long a destination that another run uses is waited for. */
  waitMs: number;
  onProgress: (progress: VerifyProgress) => void;
  signal: AbortSignal;
  clock: Clock;
  log: Log;
}) => Promise<VerifyOutcome>;

/** Everything recorded is there and equal. */
export function isSound(outcome: VerifyOutcome): boolean {
  return outcome.damaged.length + outcome.missing.length + outcome.unreadable.length === 0;
}
