/**
 * The secrets that open encrypted copies, from where they are kept. Rule: each is read once a command, before anything is
 * written; no error, warning or path that leaves here has anything of one in it.
 */
import { Buffer } from "node:buffer";
import { BackupError } from "../../../protocol/base/errors.ts";
import { outputOfCommand } from "../../../protocol/cli/command_output.ts";
import type { SecretSource } from "../../../protocol/cli/secret_source.ts";
import { readIdentities } from "./restore/read_identities.ts";
import { readSecretFile } from "./restore/secret_file.ts";

export interface KeySources {
  /** Absolute. */
  identityFiles?: readonly string[];
  passphrase?: SecretSource | undefined;
}

/** What is given to threads, by message and nowhere else. */
export interface GivenKeys {
  passphrase?: string;
  /** Secret keys as age writes them. */
  identities: string[];
}

/** @throws {BackupError} `usage` for what cannot be read or is no secret */
export async function readKeys(
  sources: KeySources,
): Promise<{ keys: GivenKeys; warnings: string[] }> {
  const read = await readIdentities(sources.identityFiles ?? []);
  const identities = read.identities.map((identity) => identity.secretText());
  if (sources.passphrase === undefined) return { keys: { identities }, warnings: read.warnings };
  const { text, warnings } = await readPassphrase(sources.passphrase);
  return { keys: { identities, passphrase: text }, warnings: [...read.warnings, ...warnings] };
}

async function readPassphrase(
  source: SecretSource,
): Promise<{ text: string; warnings: string[] }> {
  if ("file" in source) {
    const what = `the passphrase file ${source.file}`;
    const { bytes, isOpenToOthers } = await readSecretFile(source.file, what);
    const warnings = isOpenToOthers ? [`Others may read ${what}: chmod 600 keeps them out`] : [];
    return { text: passphraseIn(bytes, what), warnings };
  }
  if ("command" in source) {
    return {
      text: passphraseIn(await outputOfCommand(source.command, "passphrase command"), COMMAND),
      warnings: [],
    };
  }
  if ("typed" in source) {
    return { text: passphraseIn(Buffer.from(source.typed), "what was typed"), warnings: [] };
  }
  const bytes = Buffer.from(Deno.env.get(source.env) ?? "");
  return { text: passphraseIn(bytes, `the variable ${source.env}`), warnings: [] };
}

/** One line, without its end: what a person could type where stock age asks for it. */
function passphraseIn(bytes: Uint8Array, what: string): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw usage(`The passphrase in ${what} is not UTF-8 text`);
  }
  const line = text.replace(/\r?\n$/, "");
  if (line === "") throw usage(`There is no passphrase in ${what}`);
  if (/[\n\r\0]/.test(line)) throw usage(`There is more than one line in ${what}`);
  return line;
}

const COMMAND = "what the passphrase command prints";

function usage(message: string): BackupError {
  return new BackupError("usage", message);
}
