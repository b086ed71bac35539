/** Where the secret keys are, from `--identity`. Rule: commands know the paths only; the engine reads the files. */
import type { CommandCall } from "../../protocol/cli/command.ts";
import { settingPath } from "../../protocol/cli/settings.ts";

/** Absolute. @throws {BackupError} `usage` */
export function identityFiles({ settings, surroundings }: CommandCall): string[] {
  const given = settings.get("identity");
  return [...new Set(given.value.map((typed) => settingPath(typed, given, surroundings)))];
}
