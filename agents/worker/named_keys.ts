/**
 * The secrets of a run, which a job names and this process has. Rule: where a secret is comes from this process's own
 * configuration, never from whoever sent the job.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import { parseRepositoryAddress } from "../../protocol/cli/repository_address.ts";
import { readPassword } from "../../protocol/cli/repository_password.ts";
import type { SecretSource } from "../../protocol/cli/secret_source.ts";
import type { KeyNames } from "../../protocol/mesh/job.ts";
import type { Credentials } from "../repository/mod.ts";
import { type GivenKeys, type KeySources, readKeys } from "../strategies/mirror/read_keys.ts";

/**
 * Of copies all at once. @throws {BackupError} `wrong_key` for a name that is not known here, `usage` for a secret that cannot be
 * read
 */
export type ReadNamedKeys = (names: KeyNames) => Promise<{
  keys: GivenKeys;
  /**
   * Of the repository at a path; undefined when the job names none for it. @throws {BackupError} for it alone, as above: others
   * do not wait for its password
   */
  repository: (path: string) => Credentials | undefined;
  warnings: string[];
}>;

export function namedKeysOf(secrets: ReadonlyMap<string, SecretSource>): ReadNamedKeys {
  return async (names) => {
    const read = await readKeys(keySourcesOf(secrets, names));
    const passwords = new Map<string, string | BackupError>();
    const { repositoryPassword, repositoryKeyHint, repositories = [] } = names;
    for (const name of [repositoryPassword, ...repositories.map(({ password }) => password)]) {
      if (name === undefined || passwords.has(name)) continue;
      passwords.set(name, await passwordOf(secrets, name));
    }
    const own = new Map(
      repositories.map((one) => [parseRepositoryAddress(one.repository, "/").path, one]),
    );
    return {
      ...read,
      repository(path) {
        const { password = repositoryPassword, keyHint = repositoryKeyHint } = own.get(path) ?? {};
        if (password === undefined) return undefined;
        const found = passwords.get(password)!;
        if (found instanceof BackupError) throw found;
        return credentials(found, keyHint);
      },
    };
  };
}

async function passwordOf(
  secrets: ReadonlyMap<string, SecretSource>,
  name: string,
): Promise<string | BackupError> {
  try {
    return await readPassword(sourceIn(secrets, name));
  } catch (thrown) {
    if (thrown instanceof BackupError) return thrown;
    throw thrown;
  }
}

function credentials(password: string, keyHint: string | undefined): Credentials {
  return keyHint === undefined ? { password } : { password, keyHint };
}

/** Where the secrets are that are named. @throws {BackupError} `wrong_key` for a name that is not known here */
export function keySourcesOf(
  secrets: ReadonlyMap<string, SecretSource>,
  { passphrase, identities = [] }: KeyNames,
): KeySources {
  const sourceOf = (name: string) => sourceIn(secrets, name);
  const fileOf = (name: string): string => {
    const source = sourceOf(name);
    if ("file" in source) return source.file;
    throw new BackupError("config", `The secret ${name} is to be a file of secret keys`);
  };
  return {
    passphrase: passphrase === undefined ? undefined : sourceOf(passphrase),
    identityFiles: identities.map(fileOf),
  };
}

function sourceIn(secrets: ReadonlyMap<string, SecretSource>, name: string): SecretSource {
  const found = secrets.get(name);
  if (found !== undefined) return found;
  throw new BackupError("wrong_key", `This agent knows no secret named ${name}`, {
    hint: `Start the agent with --secret ${name}=file:PATH, or name another one`,
  });
}
