/** What commands on copies do when a repository is named. Rule: `restic:` decides; each use refuses the options of the other. */
import { BackupError } from "../../protocol/base/errors.ts";
import type { CommandCall } from "../../protocol/cli/command.ts";
import type { OptionKey } from "../../protocol/cli/options.ts";
import { refuseFlags } from "../../protocol/cli/refuse_flags.ts";
import { isRepositoryAddress } from "../../protocol/cli/repository_address.ts";
import { PASSWORD_OPTIONS } from "../../protocol/cli/repository_password.ts";
import { KEY_OPTIONS } from "./key_sources.ts";

export type RepositoryVerb = (call: CommandCall) => Promise<number>;

/** Options of all commands that look into snapshots. */
export const SNAPSHOT_OPTIONS = [
  "snapshot",
  "snapshotHost",
  "tag",
  "path",
  ...PASSWORD_OPTIONS,
  "noLock",
] as const satisfies readonly OptionKey[];

export interface Uses {
  /** The words that name places. */
  places: readonly string[];
  /** Options that only copies have, and only repositories. */
  copies: readonly OptionKey[];
  repositories: readonly OptionKey[];
}

/** True when the command is for a repository. @throws {BackupError} `usage` for options of the other use */
export function isForRepository(call: CommandCall, uses: Uses): boolean {
  const isFor = uses.places.some(isRepositoryAddress);
  if (isFor) refuseFlags(call, [...KEY_OPTIONS, ...uses.copies], "not for repositories");
  else refuseFlags(call, uses.repositories, "for repositories only: restic:PATH");
  return isFor;
}

/** For commands that have nothing to do with repositories. @throws {BackupError} `usage` */
export function refuseRepository(word: string | undefined, hint: string): void {
  if (word === undefined || !isRepositoryAddress(word)) return;
  throw new BackupError("usage", `${word} is a repository, and this is for copies`, { hint });
}
