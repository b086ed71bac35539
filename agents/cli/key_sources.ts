/** Where the secrets are that open encrypted copies. Rule: commands know the places only; the engine reads them. */
import type { CommandCall } from "../../protocol/cli/command.ts";
import type { OptionKey } from "../../protocol/cli/options.ts";
import { passphraseSource, type SecretSource } from "../../protocol/cli/secret_source.ts";
import { settingPath } from "../../protocol/cli/settings.ts";

/** Options of every command that reads copies. */
export const KEY_OPTIONS = [
  "identity",
  "passphraseFile",
  "passphraseCommand",
] as const satisfies readonly OptionKey[];

export interface KeySources {
  /** Absolute. */
  identityFiles: readonly string[];
  passphrase?: SecretSource;
}

/** @throws {BackupError} `usage` */
export function keySources({ settings, surroundings }: CommandCall): KeySources {
  const given = settings.get("identity");
  const files = given.value.map((typed) => settingPath(typed, given, surroundings));
  const passphrase = passphraseSource(settings, surroundings);
  return {
    identityFiles: [...new Set(files)],
    ...(passphrase === undefined ? {} : { passphrase }),
  };
}
