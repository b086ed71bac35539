/** What `versions` needs of the engine. Rule: the command prints; looking at a destination is the strategy's work. */
import type { Clock } from "../../protocol/base/clock.ts";
import type { CommandCall } from "../../protocol/cli/command.ts";
import type { KeySources } from "./key_sources.ts";

export interface KeptVersion {
  /** When it was replaced or deleted: the name of its dated folder. In a repository: of the newest snapshot that has it. */
  time: string;
  type: string;
  sizeBytes: number;
  /** Nanoseconds since the epoch, in decimal. */
  mtimeNs?: string;
  sha256?: string;
  verifiedAtMs?: number;
  /** Where it lies, below the destination; in a repository `SNAPSHOT:/path`. */
  storedAt: string;
  /** Of a repository: snapshots that have it, and the first of them. */
  snapshots?: { count: number; firstTime: string };
}

export interface FoundVersions {
  /** `NAME/path`. */
  path: string;
  /** Of the path itself, newest first. */
  versions: KeptVersion[];
  /** Files below it that have versions; `belowCount` counts all. */
  below: { path: string; versions: number; newest: string }[];
  belowCount: number;
}

/**
 * The versions that snapshots have: all of them, also today's. Told what cannot be read, and answers whether all could be.
 * @throws {BackupError} `usage` when no snapshot has the path
 */
export type FindInSnapshots = (
  call: CommandCall,
  asked: { repository: string; asked: string; absolute: string },
) => Promise<{ found: FoundVersions; isWhole: boolean }>;

export interface RestoredVersion {
  path: string;
  sizeBytes: number;
  /** Of a file. */
  sha256?: string;
  /** Owner or mode could not be set. */
  isPlain: boolean;
  /** Extended attributes or ACLs that it had could not be set. */
  lacksAttributes: boolean;
  /** About the key files. */
  warnings: string[];
}

interface Where {
  /** Absolute path of the destination. */
  destination: string;
  /** As typed, and as an absolute path. */
  asked: string;
  absolute: string;
  keys: KeySources;
  timeoutMs: number;
  signal: AbortSignal;
  clock: Clock;
}

export interface VersionsPort {
  /** @throws {BackupError} `destination_missing` without a marker, `usage` when the path is in no copy there */
  find(where: Where): Promise<FoundVersions>;
  /** @throws {BackupError} `not_found`, `damaged`, `wrong_key`, `rejected` when the target is there already */
  restore(where: Where & { time: string; target: string }): Promise<RestoredVersion>;
}
