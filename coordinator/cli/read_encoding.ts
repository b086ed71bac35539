/**
 * How copies are stored, from options and files of keys. Rule: only public keys enter a job; whoever gives a secret one by
 * mistake is told so, and it goes nowhere, not even into the message.
 */
import { decodeBech32 } from "../../protocol/base/bech32.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { readFailure } from "../../protocol/cli/read_failure.ts";
import { settingPath, type Settings } from "../../protocol/cli/settings.ts";
import type { Surroundings } from "../../protocol/cli/surroundings.ts";
import type { Capability } from "../../protocol/mesh/capability.ts";
import type { Encoding } from "../../protocol/mesh/job.ts";

const KEY_BYTES = 32;
const SHOWN_CHARACTERS = 8;
const KEYGEN_HINT = "age-keygen -o KEY makes a pair of keys; keep KEY where the copies are not";

/** What is done to files before they are stored. */
export interface Encodings {
  compress: boolean;
  encrypt: boolean;
  /** Files go to whoever has it, with or without recipients. */
  hasPassphrase?: boolean;
  /** Recipients that are of no use here are meant for something else. */
  mayIgnoreRecipients?: boolean;
}

/**
 * Undefined when files are stored as they are. `wanted`: instead of what the options --compress and --encrypt say.
 * @throws {BackupError} `usage`
 */
export function readEncoding(
  settings: Settings,
  at: Surroundings,
  wanted?: Encodings,
): Encoding | undefined {
  const compress = wanted?.compress ?? settings.get("compress").value;
  const encrypt = wanted?.encrypt ?? settings.get("encrypt").value;
  const single = settings.get("recipient");
  const files = settings.get("recipientsFile");
  if (!encrypt) {
    const given = [single, files].find(({ value, source }) =>
      value.length > 0 && source === "flag"
    );
    // Kept in a file or variable they may be meant for another call.
    if (given !== undefined && wanted?.mayIgnoreRecipients !== true) {
      throw usage("Recipients are given, but --encrypt is not", "Add --encrypt");
    }
    return compress ? { codec: "zst", recipients: [] } : undefined;
  }
  const recipients = [
    ...single.value.map((key) => publicKey(key, "--recipient")),
    ...files.value.flatMap((file) => readKeys(file, settingPath(file, files, at), at)),
  ];
  if (recipients.length === 0 && wanted?.hasPassphrase !== true) {
    throw usage(
      "--encrypt needs to know for whom",
      `Add --passphrase-file FILE, or --recipient age1…; ${KEYGEN_HINT}`,
    );
  }
  return { codec: compress ? "zst.age" : "age", recipients: [...new Set(recipients)] };
}

/** What an agent must be able to do. */
export function encodingCapabilities(encoding: Encoding | undefined): Capability[] {
  if (encoding === undefined) return [];
  if (encoding.codec === "zst") return ["compress"];
  return encoding.codec === "age" ? ["encrypt"] : ["compress", "encrypt"];
}

function readKeys(name: string, path: string, at: Surroundings): string[] {
  let text: string;
  try {
    text = at.readTextFile(path);
  } catch (error) {
    const message = `Cannot read the recipients file ${name}: ${readFailure(error)}`;
    throw new BackupError("usage", message, { path, cause: error });
  }
  const keys = text.split("\n")
    .map((line, index) => ({ line: line.trim(), origin: `${name}:${index + 1}` }))
    .filter(({ line }) => line !== "" && !line.startsWith("#"));
  if (keys.length === 0) throw usage(`There is no key in ${name}`, KEYGEN_HINT);
  return keys.map(({ line, origin }) => publicKey(line, origin));
}

function publicKey(text: string, origin: string): string {
  if (/^age-secret-key-/i.test(text)) {
    throw usage(
      `${origin}: this is a secret key, which a backup must not know`,
      "Give its public key, which age-keygen -y prints",
    );
  }
  const found = decodeBech32(text);
  if (found?.prefix === "age" && found.bytes.length === KEY_BYTES && text.startsWith("age1")) {
    return text;
  }
  const shown = text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
  throw usage(
    `${origin}: ${shown} is not a public key of age`,
    `It begins with age1; ${KEYGEN_HINT}`,
  );
}

function usage(message: string, hint: string): BackupError {
  return new BackupError("usage", message, { hint });
}
