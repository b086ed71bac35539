/**
 * The secrets of a backup, by name. Rule: the job gets the names and the worker in this process where they are; a secret
 * itself is read by whoever uses it.
 */
import { passphraseSource, type SecretSource } from "../../protocol/cli/secret_source.ts";
import type { CommandCall } from "../../protocol/cli/command.ts";
import {
  isRepositoryAddress,
  parseRepositoryAddress,
} from "../../protocol/cli/repository_address.ts";
import { askPassword, passwordSource } from "../../protocol/cli/repository_password.ts";
import { settingPath } from "../../protocol/cli/settings.ts";
import type { KeyNames } from "../../protocol/mesh/job.ts";
import { namesRepository } from "./read_repositories.ts";

/** Asks for a repository's password when none is given. @throws {BackupError} `usage`, `wrong_key` without any */
export async function readKeySources(
  call: Pick<CommandCall, "settings" | "surroundings" | "terminal">,
): Promise<{ names: KeyNames; secrets: ReadonlyMap<string, SecretSource> }> {
  const { settings, surroundings: at } = call;
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
  const names: KeyNames = {
    ...(passphrase === undefined ? {} : { passphrase: "passphrase" }),
    ...(identities.length === 0 ? {} : { identities }),
  };
  if (!namesRepository(settings)) return { names, secrets };
  secrets.set(REPOSITORY_PASSWORD, await repositoryPassword(call));
  names.repositoryPassword = REPOSITORY_PASSWORD;
  const hint = settings.get("keyHint").value;
  if (hint !== undefined) names.repositoryKeyHint = hint;
  return { names, secrets };
}

const REPOSITORY_PASSWORD = "repository-password";

async function repositoryPassword(
  { settings, surroundings, terminal }: Parameters<typeof readKeySources>[0],
): Promise<SecretSource> {
  const given = passwordSource(settings, surroundings);
  if (given !== undefined) return given;
  const to = settings.get("to");
  const base = settingPath(".", to, surroundings);
  const places = to.value.filter(isRepositoryAddress)
    .map((text) => parseRepositoryAddress(text, base));
  // A slip of the finger in the password of a new one would lock everybody out.
  const isNew = places.some(({ path }) => !isThere(`${path}/config`));
  const names = places.map(({ key }) => key).join(", ");
  return { typed: await askPassword(terminal, names, isNew) };
}

function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
