/**
 * Where a secret is. Rule: options, files and jobs hold only a place, never the secret; it is read where it is used, by
 * the process whose own configuration it is.
 */
import { BackupError } from "../base/errors.ts";
import { type Setting, settingPath, type Settings } from "./settings.ts";
import type { Surroundings } from "./surroundings.ts";

export type SecretSource =
  /** Absolute path. */
  | { file: string }
  /** For `sh -c`; what it prints is the secret. */
  | { command: string }
  /** Name of an environment variable. */
  | { env: string }
  /** What a person typed when asked: it lives as long as the process and is in no job, file or message. */
  | { typed: string };

/** It has no flag of its own: what is typed there is in the list of processes for all to see. */
export const PASSPHRASE_VARIABLE = "BACKUP_AGENT_PASSPHRASE";

/**
 * From `--passphrase-file`, `--passphrase-command`, their variables and settings, or `PASSPHRASE_VARIABLE`; what is given
 * on the command line wins over the environment, and that over the configuration file. Undefined when none is.
 * @throws {BackupError} `usage` when two are given in the same place
 */
export function passphraseSource(settings: Settings, at: Surroundings): SecretSource | undefined {
  const file = settings.get("passphraseFile");
  const command = settings.get("passphraseCommand");
  const given: { source: Setting<unknown>["source"]; origin: string; from: SecretSource }[] = [];
  if (file.value !== undefined) {
    given.push({ ...file, from: { file: settingPath(file.value, file, at) } });
  }
  if (command.value !== undefined) given.push({ ...command, from: { command: command.value } });
  if (at.env(PASSPHRASE_VARIABLE) !== undefined) {
    const from = { env: PASSPHRASE_VARIABLE };
    given.push({ source: "environment", origin: PASSPHRASE_VARIABLE, from });
  }
  for (const source of ["flag", "environment", "file"] as const) {
    const [first, second] = given.filter((one) => one.source === source);
    if (first === undefined) continue;
    if (second === undefined) return first.from;
    const names = source === "file"
      ? "passphraseFile and passphraseCommand are both set"
      : `${first.origin} and ${second.origin} are both given`;
    throw new BackupError("usage", `${names}, and there is one passphrase`, {
      hint: "Give the passphrase in one way",
    });
  }
  return undefined;
}

/** What `--secret` can be named: letters, digits and dashes, so that a job can say it. */
const SECRET_NAME = /^[a-z][a-z0-9-]{0,63}$/;

/** The secrets that jobs may name, from `--secret NAME=WHERE`. @throws {BackupError} `usage` */
export function namedSecrets(settings: Settings, at: Surroundings): Map<string, SecretSource> {
  const given = settings.get("secret");
  const secrets = new Map<string, SecretSource>();
  for (const { name, text } of given.value) {
    if (!SECRET_NAME.test(name) || secrets.has(name)) {
      throw new BackupError(
        "usage",
        secrets.has(name) ? `The secret ${name} is given twice` : `${name} cannot name a secret`,
        { hint: "Use small letters, digits and dashes, and each name once" },
      );
    }
    const [, kind, where = ""] = /^(file|env|command):(.+)$/s.exec(text) ?? [];
    switch (kind) {
      case "file":
        secrets.set(name, { file: settingPath(where, given, at) });
        break;
      case "env":
        secrets.set(name, { env: where });
        break;
      case "command":
        secrets.set(name, { command: where });
        break;
      default:
        // Not shown: somebody may have typed the secret itself.
        throw new BackupError("usage", `--secret ${name}=… does not say where the secret is`, {
          hint: "Such as file:/etc/backup.key, env:BACKUP_KEY or command:'pass show backup'",
        });
    }
  }
  return secrets;
}
