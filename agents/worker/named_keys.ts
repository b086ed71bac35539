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

/** @throws {BackupError} `config` for a name that is not known here, `usage` for a secret that cannot be read */
export type ReadNamedKeys = (names: KeyNames) => Promise<{
  keys: GivenKeys;
  /** Of the repository at a path; undefined when the job names none for it. */
  repository: (path: string) => Credentials | undefined;
  warnings: string[];
}>;

export function namedKeysOf(secrets: ReadonlyMap<string, SecretSource>): ReadNamedKeys {
  return async (names) => {
    const read = await readKeys(keySourcesOf(secrets, names));
    const passwords = new Map<string, string>();
    const passwordOf = async (name: string): Promise<string> => {
      const password = passwords.get(name) ?? await readPassword(sourceIn(secrets, name));
      passwords.set(name, password);
      return password;
    };
    const { repositoryPassword, repositoryKeyHint, repositories = [] } = names;
    const shared = repositoryPassword && credentials(
      await passwordOf(repositoryPassword),
      repositoryKeyHint,
    );
    const own = new Map<string, Credentials>();
    for (const { repository, password = repositoryPassword, keyHint } of repositories) {
      if (password === undefined) continue;
      const { path } = parseRepositoryAddress(repository, "/");
      own.set(path, credentials(await passwordOf(password), keyHint ?? repositoryKeyHint));
    }
    return { ...read, repository: (path) => own.get(path) ?? (shared || undefined) };
  };
}

function credentials(password: string, keyHint: string | undefined): Credentials {
  return keyHint === undefined ? { password } : { password, keyHint };
}

/** Where the secrets are that are named. @throws {BackupError} `config` for a name that is not known here */
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
  throw new BackupError("config", `This agent knows no secret named ${name}`, {
    hint: "Name it in the configuration of the agent",
  });
}
