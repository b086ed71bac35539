/**
 * The secret keys of a restore, from the files that hold them. Rule: no error, warning or path that leaves here has
 * anything of a key in it; keys go to the restore's threads by message, and nowhere else.
 */
import { Buffer } from "node:buffer";
import { BackupError } from "../../../../protocol/base/errors.ts";
import { type Identity, parseIdentities } from "../codec/age_keys.ts";
import { readSecretFile, SECRET_FILE_LIMIT_BYTES } from "./secret_file.ts";

const ENCRYPTED_STARTS = ["age-encryption.org/", "-----BEGIN AGE ENCRYPTED FILE-----"];

export interface Identities {
  identities: Identity[];
  /** A sentence for each file that others may read. */
  warnings: string[];
}

/**
 * Each of `paths` is absolute, and a file as `age-keygen -o` writes it, or a pipe with the same; symlinks are followed.
 * @throws {BackupError} `usage` for what cannot be read or holds no key
 */
export async function readIdentities(paths: readonly string[]): Promise<Identities> {
  const read: Identities = { identities: [], warnings: [] };
  for (const path of paths) {
    if (/age-secret-key-/i.test(path)) {
      throw usage("A secret key stands where the path of its file must", {
        hint: "Write the key to a file that only you can read, and name that file",
      });
    }
    const { bytes, isOpenToOthers } = await readSecretFile(path, `the identity file ${path}`);
    read.identities.push(...identitiesIn(bytes, path));
    if (isOpenToOthers) {
      read.warnings.push(`Others may read the identity file ${path}: chmod 600 keeps them out`);
    }
  }
  return read;
}

function identitiesIn(bytes: Uint8Array, path: string): Identity[] {
  if (bytes.length > SECRET_FILE_LIMIT_BYTES) {
    throw usage(`${path} is too large to be an identity file`, { path });
  }
  const text = Buffer.from(bytes).toString("utf8");
  if (ENCRYPTED_STARTS.some((start) => text.startsWith(start))) {
    throw usage(`The identity file ${path} is itself encrypted, which is not supported yet`, {
      path,
      hint: `Let age open it, and give what comes out: --identity <(age -d FILE)`,
    });
  }
  try {
    return parseIdentities(text);
  } catch (thrown) {
    if (!(thrown instanceof BackupError)) throw thrown;
    const { message, hint } = thrown;
    throw usage(`Not an identity file: ${path}: ${message}`, { path, hint });
  }
}

function usage(
  message: string,
  facts: { path?: string; hint?: string | undefined; cause?: unknown },
): BackupError {
  const { path, hint, cause } = facts;
  return new BackupError("usage", message, {
    ...(path === undefined ? {} : { path }),
    ...(hint === undefined ? {} : { hint }),
    ...(cause === undefined ? {} : { cause }),
  });
}
