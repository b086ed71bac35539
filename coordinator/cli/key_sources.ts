/**
 * The secrets of a backup, by name. Rule: the job gets the names and the worker in this process where they are; a secret
 * itself is read by whoever uses it.
 */
import { passphraseSource, type SecretSource } from "../../protocol/cli/secret_source.ts";
import { settingPath, type Settings } from "../../protocol/cli/settings.ts";
import type { Surroundings } from "../../protocol/cli/surroundings.ts";
import type { KeyNames } from "../../protocol/mesh/job.ts";

/** @throws {BackupError} `usage` */
export function readKeySources(
  settings: Settings,
  at: Surroundings,
): { names: KeyNames; secrets: ReadonlyMap<string, SecretSource> } {
  const secrets = new Map<string, SecretSource>();
  const passphrase = passphraseSource(settings, at);
  if (passphrase !== undefined) secrets.set("passphrase", passphrase);
  const given = settings.get("identity");
  const files = new Set(given.value.map((typed) => settingPath(typed, given, at)));
  const identities = [...files].map((file, k) => {
    const name = `identity-${k + 1}`;
    secrets.set(name, { file });
    return name;
  });
  const names = {
    ...(passphrase === undefined ? {} : { passphrase: "passphrase" }),
    ...(identities.length === 0 ? {} : { identities }),
  };
  return { names, secrets };
}
