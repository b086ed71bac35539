/**
 * The secrets of a backup, by name. Rule: the job gets the names and the worker in this process where they are; a secret
 * itself is read by whoever uses it.
 */
import { passphraseSource, type SecretSource } from "../../protocol/cli/secret_source.ts";
import type { CommandCall } from "../../protocol/cli/command.ts";
import { valuesForRepositories } from "../../protocol/cli/for_repository.ts";
import {
  REPOSITORY_PREFIX,
  type RepositoryAddress,
} from "../../protocol/cli/repository_address.ts";
import { askPassword, passwordPlaces } from "../../protocol/cli/repository_password.ts";
import { settingPath } from "../../protocol/cli/settings.ts";
import type { KeyNames } from "../../protocol/mesh/job.ts";
import { repositoriesOf } from "./read_repositories.ts";

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
  const repositories = repositoriesOf(settings, at);
  if (repositories.length === 0) return { names, secrets };
  Object.assign(names, await repositoryNames(call, repositories, secrets));
  return { names, secrets };
}

const REPOSITORY_PASSWORD = "repository-password";

/** Names for what opens the repositories; where it is goes into `secrets`. */
async function repositoryNames(
  { settings, surroundings: at, terminal }: Parameters<typeof readKeySources>[0],
  repositories: readonly RepositoryAddress[],
  secrets: Map<string, SecretSource>,
): Promise<KeyNames> {
  const places = passwordPlaces(settings, at, repositories);
  const hints = valuesForRepositories(settings, "keyHint", at, repositories);
  const own = repositories.flatMap((address, k): NonNullable<KeyNames["repositories"]> => {
    const source = places.own(address);
    const keyHint = hints.find(({ path }) => path === address.path)?.value;
    if (source === undefined && keyHint === undefined) return [];
    const password = `${REPOSITORY_PASSWORD}-${k + 1}`;
    if (source !== undefined) secrets.set(password, source);
    return [{
      repository: REPOSITORY_PREFIX + address.path,
      ...(source === undefined ? {} : { password }),
      ...(keyHint === undefined ? {} : { keyHint }),
    }];
  });
  const names: KeyNames = own.length === 0 ? {} : { repositories: own };
  const keyHint = hints.find(({ path }) => path === undefined)?.value;
  if (keyHint !== undefined) names.repositoryKeyHint = keyHint;
  const without = repositories.filter((address) => places.own(address) === undefined);
  if (without.length === 0) return names;
  secrets.set(
    REPOSITORY_PASSWORD,
    places.shared ?? { typed: await askForAll(terminal, without) },
  );
  return { ...names, repositoryPassword: REPOSITORY_PASSWORD };
}

/** A slip of the finger in the password of a new one would lock everybody out, so that is asked for twice. */
async function askForAll(
  terminal: CommandCall["terminal"],
  repositories: readonly RepositoryAddress[],
): Promise<string> {
  const isNew = repositories.some(({ path }) => !isThere(`${path}/config`));
  const names = repositories.map(({ key }) => key).join(", ");
  return await askPassword(terminal, names, isNew);
}

function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
