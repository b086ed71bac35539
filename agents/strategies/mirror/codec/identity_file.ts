/**
 * One identity behind a passphrase, as stock `age -p` makes it of what `age-keygen` writes: `age -d -i identity.age`
 * takes it. Rule: files are encrypted to the identity, so the slow passphrase is paid once, not once a file.
 */
import { Buffer } from "node:buffer";
import { BackupError } from "../../../../protocol/base/errors.ts";
import { AgeDecoder, AgeEncoder } from "./age_file.ts";
import { type Identity, parseIdentities } from "./age_keys.ts";
import { unwrapWithPassphrase, WORK_FACTOR_LOG2, wrapWithPassphrase } from "./age_stanzas.ts";
import type { ByteTransform } from "./byte_transform.ts";

/** Many keys with their comments. */
const IDENTITY_LIMIT_BYTES = 64 << 10;

export interface SealOptions {
  /** Rounds of scrypt as a power of two; each step doubles time and memory. Default: a second, 256 MiB. */
  workFactorLog2?: number;
}

/** @throws {BackupError} `usage` for an empty passphrase */
export function sealIdentity(
  identity: Identity,
  passphrase: string,
  options: SealOptions = {},
): Uint8Array {
  if (passphrase === "") throw new BackupError("usage", "The passphrase is empty");
  const { workFactorLog2 = WORK_FACTOR_LOG2 } = options;
  const text = `# public key: ${identity.recipient.text}\n${identity.secretText()}\n`;
  const wrap = (fileKey: Uint8Array) => [wrapWithPassphrase(fileKey, passphrase, workFactorLog2)];
  return transformed(new AgeEncoder(wrap), Buffer.from(text));
}

/**
 * The identities in a file that `sealIdentity` or `age -p` made.
 * @throws {BackupError} `wrong_key`, `damaged`, `unsupported`; `usage` when what is in it are no keys
 */
export function openIdentities(sealed: Uint8Array, passphrase: string): Identity[] {
  if (sealed.length > 2 * IDENTITY_LIMIT_BYTES) {
    throw new BackupError("damaged", "The file is too large to be an identity");
  }
  const decoder = new AgeDecoder(unwrapWithPassphrase(passphrase));
  return parseIdentities(Buffer.from(transformed(decoder, sealed)).toString("utf8"));
}

function transformed(transform: ByteTransform, bytes: Uint8Array): Uint8Array {
  const pieces: Uint8Array[] = [];
  // Each stands only until the next is asked for.
  for (const piece of transform.push(bytes)) pieces.push(new Uint8Array(piece));
  for (const piece of transform.end()) pieces.push(new Uint8Array(piece));
  return Buffer.concat(pieces);
}
