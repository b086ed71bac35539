/**
 * The password of a repository: where it is, and reading it. Rule: restic's options and variables mean what they mean there, and no
 * error or warning that leaves here has anything of it in it.
 */
import { BackupError } from "../base/errors.ts";
import type { CommandCall } from "./command.ts";
import { outputOfCommand } from "./command_output.ts";
import { valuesForRepositories } from "./for_repository.ts";
import type { OptionKey } from "./options.ts";
import { readFailure } from "./read_failure.ts";
import type { RepositoryAddress } from "./repository_address.ts";
import type { SecretSource } from "./secret_source.ts";
import { type Setting, settingPath, type Settings } from "./settings.ts";
import type { Surroundings } from "./surroundings.ts";

/** Options of every command that opens a repository. */
export const PASSWORD_OPTIONS = [
  "passwordFile",
  "passwordCommand",
  "keyHint",
] as const satisfies readonly OptionKey[];

/** Of those that open a second one with another password. */
export const FROM_PASSWORD_OPTIONS = [
  "fromPasswordFile",
  "fromPasswordCommand",
] as const satisfies readonly OptionKey[];

/** Whose password. `from` is the second repository, `RESTIC_FROM_…`. */
export type PasswordOf = "repository" | "from";

/** A generated one is long, a novel is not a password. */
const PASSWORD_MAX_BYTES = 64 << 10;

/** Where passwords are, for the repositories of one command. */
export interface PasswordPlaces {
  /** Of this one alone. */
  own(address: RepositoryAddress): SecretSource | undefined;
  /** Of all that have none of their own. */
  readonly shared: SecretSource | undefined;
  /** Of a second repository. */
  readonly from: SecretSource | undefined;
}

/**
 * From the options, then their variables, then the configuration file; RESTIC_PASSWORD last, as in restic. `named` are all
 * repositories of the command. @throws {BackupError} `usage` when a file and a command are given in the same place, or for
 * one that is not named
 */
export function passwordPlaces(
  settings: Settings,
  at: Surroundings,
  named: readonly RepositoryAddress[],
): PasswordPlaces {
  const files = valuesForRepositories(settings, "passwordFile", at, named);
  const commands = valuesForRepositories(settings, "passwordCommand", at, named);
  const of = (path: string | undefined) =>
    strongest(
      files.filter((one) => one.path === path).map(({ value, setting }) => ({ ...setting, value })),
      commands.filter((one) => one.path === path).map((one) => ({
        ...one.setting,
        value: one.value,
      })),
      at,
    );
  const own = new Map(named.map(({ path }) => [path, of(path)]));
  return {
    own: ({ path }) => own.get(path),
    shared: of(undefined) ?? variable(at, "RESTIC_PASSWORD"),
    from: strongest(
      [settings.get("fromPasswordFile")].filter(isGiven),
      [settings.get("fromPasswordCommand")].filter(isGiven),
      at,
    ) ?? variable(at, "RESTIC_FROM_PASSWORD"),
  };
}

function strongest(
  files: readonly Setting<string>[],
  commands: readonly Setting<string>[],
  at: Surroundings,
): SecretSource | undefined {
  for (const source of ["flag", "environment", "file"] as const) {
    const file = files.find((one) => one.source === source);
    const command = commands.find((one) => one.source === source);
    if (file !== undefined && command !== undefined) {
      throw new BackupError(
        "usage",
        `A password file and a password command are both given (${file.origin}, ${command.origin})`,
        { hint: "Give the password in one way" },
      );
    }
    if (file !== undefined) return { file: settingPath(file.value, file, at) };
    if (command !== undefined) return { command: command.value };
  }
  return undefined;
}

function isGiven(setting: Setting<string | undefined>): setting is Setting<string> {
  return setting.value !== undefined;
}

function variable(at: Surroundings, name: string): SecretSource | undefined {
  return at.env(name) === undefined ? undefined : { env: name };
}

/** For a person who has to find a wrong one. */
export function describePassword(source: SecretSource): string {
  if ("typed" in source) return "what was typed";
  if ("env" in source) return `the variable ${source.env}`;
  return "command" in source ? "the password command" : `the password file ${source.file}`;
}

/** @throws {BackupError} `usage` for what cannot be read, `wrong_key` when there is none in it */
export async function readPassword(
  source: SecretSource,
  env: Surroundings["env"] = (name) => Deno.env.get(name),
): Promise<string> {
  if ("typed" in source) return required(source.typed, "what was typed");
  // A variable is taken as it is; of files and commands the white space around is not part of it.
  if ("env" in source) return required(env(source.env) ?? "", `the variable ${source.env}`);
  if ("command" in source) {
    const what = "what the password command prints";
    return required(
      trimmed(textOf(await outputOfCommand(source.command, "password command"), what)),
      what,
    );
  }
  const what = `the password file ${source.file}`;
  return required(trimmed(textOf(await bytesOf(source.file, what), what)), what);
}

/** Asks a person. @throws {BackupError} `wrong_key` when nobody can be asked */
export async function askPassword(
  terminal: CommandCall["terminal"],
  name: string,
  isNew = false,
): Promise<string> {
  const what = isNew ? `New password for ${name}` : `Password for ${name}`;
  const password = await terminal.askSecret(`${what}: `);
  if (password === undefined) {
    throw new BackupError("wrong_key", `No password is given for ${name}`, {
      hint: "Give --password-file or --password-command, or set RESTIC_PASSWORD",
    });
  }
  required(password, "what was typed");
  if (isNew && await terminal.askSecret("The same again: ") !== password) {
    throw new BackupError("usage", "The two passwords are not the same");
  }
  return password;
}

function required(password: string, what: string): string {
  if (password !== "") return password;
  throw new BackupError("wrong_key", `There is no password in ${what}`);
}

/** What Go's TrimSpace takes away. */
function trimmed(text: string): string {
  const space = "[\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+";
  return text.replace(new RegExp(`^${space}`), "").replace(new RegExp(`${space}$`), "");
}

/** UTF-8, or UTF-16 when it says so in its first bytes, as some editors write. */
function textOf(bytes: Uint8Array, what: string): string {
  const label = bytes[0] === 0xff && bytes[1] === 0xfe
    ? "utf-16le"
    : bytes[0] === 0xfe && bytes[1] === 0xff
    ? "utf-16be"
    : "utf-8";
  try {
    return new TextDecoder(label, { fatal: true }).decode(bytes);
  } catch {
    throw new BackupError("usage", `The password in ${what} is not UTF-8 text`);
  }
}

/** Read once from begin to end, so that a pipe will do. */
async function bytesOf(path: string, what: string): Promise<Uint8Array> {
  try {
    using file = await Deno.open(path);
    const bytes = new Uint8Array(PASSWORD_MAX_BYTES + 1);
    let length = 0;
    while (length < bytes.length) {
      const got = await file.read(bytes.subarray(length));
      if (got === null) return bytes.subarray(0, length);
      length += got;
    }
  } catch (cause) {
    throw new BackupError("usage", `Cannot read ${what}: ${readFailure(cause)}`, { path, cause });
  }
  throw new BackupError("usage", `${what} is too long for a password`, { path });
}
