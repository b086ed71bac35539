/**
 * How a file key is wrapped: for an X25519 recipient, or by a passphrase with scrypt. Rule: a stanza that an identity
 * cannot open is somebody else's; whether the file is damaged is for the header's MAC to say.
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, hkdfSync, scryptSync } from "node:crypto";
import { BackupError } from "../../../../protocol/base/errors.ts";
import { randomBytes } from "../../../../protocol/base/random_bytes.ts";
import { base64, fromBase64, type Stanza } from "./age_header.ts";
import { agreeOnce, type Identity, KEY_BYTES, type Recipient } from "./age_keys.ts";

export const FILE_KEY_BYTES = 16;
export const CIPHER = "chacha20-poly1305";
export const TAG_BYTES = 16;
const X25519_INFO = "age-encryption.org/v1/X25519";
const SCRYPT_LABEL = "age-encryption.org/v1/scrypt";
const SCRYPT_SALT_BYTES = 16;
const SCRYPT_BLOCK = 8;
/** 2^18 rounds: some 256 MiB and a second, as stock age takes. */
export const WORK_FACTOR_LOG2 = 18;
/** A hostile file must not cost more than 1 GiB. */
const WORK_FACTOR_LIMIT_LOG2 = 20;
/** Of a key that is used for one message only. */
const ZERO_NONCE = new Uint8Array(12);

/** Finds the file key; undefined when none of the stanzas is for it. */
export type Unwrap = (stanzas: readonly Stanza[]) => Uint8Array | undefined;

/** @throws {BackupError} `usage` for a public key to which nobody could have the secret one */
export function wrapForRecipient(fileKey: Uint8Array, recipient: Recipient): Stanza {
  const once = agreeOnce(recipient);
  if (once === undefined) {
    throw new BackupError("usage", `Cannot encrypt to ${recipient.text}: it is a weak key`);
  }
  const key = x25519Key(once.secret, once.share, recipient.raw);
  return { type: "X25519", args: [base64(once.share)], body: seal(key, fileKey) };
}

export function unwrapWithIdentities(identities: readonly Identity[]): Unwrap {
  return (stanzas) => {
    for (const stanza of stanzas) {
      if (stanza.type !== "X25519") continue;
      const share = stanza.args.length === 1 ? fromBase64(stanza.args[0]!) : undefined;
      if (share?.length !== KEY_BYTES || stanza.body.length !== FILE_KEY_BYTES + TAG_BYTES) {
        throw new BackupError("damaged", "The encrypted file is damaged: a recipient's line");
      }
      for (const identity of identities) {
        const secret = identity.agree(share);
        if (secret === undefined) continue;
        const key = x25519Key(secret, share, identity.recipient.raw);
        const fileKey = open(key, stanza.body);
        if (fileKey !== undefined) return fileKey;
      }
    }
    return undefined;
  };
}

/** `workFactorLog2` doubles time and memory with each step. */
export function wrapWithPassphrase(
  fileKey: Uint8Array,
  passphrase: string,
  workFactorLog2: number,
): Stanza {
  const salt = randomBytes(SCRYPT_SALT_BYTES);
  const key = scryptKey(passphrase, salt, workFactorLog2);
  return {
    type: "scrypt",
    args: [base64(salt), String(workFactorLog2)],
    body: seal(key, fileKey),
  };
}

/** @throws {BackupError} through the result: `unsupported` when trying would take more than 1 GiB of memory */
export function unwrapWithPassphrase(passphrase: string): Unwrap {
  return (stanzas) => {
    const stanza = stanzas.find(({ type }) => type === "scrypt");
    if (stanza === undefined) return undefined;
    const salt = fromBase64(stanza.args[0] ?? "");
    const factor = /^[1-9][0-9]?$/.test(stanza.args[1] ?? "") ? Number(stanza.args[1]) : undefined;
    const isWhole = stanzas.length === 1 && stanza.args.length === 2 &&
      salt?.length === SCRYPT_SALT_BYTES && stanza.body.length === FILE_KEY_BYTES + TAG_BYTES;
    if (!isWhole || factor === undefined) {
      throw new BackupError("damaged", "The encrypted file is damaged: its passphrase's line");
    }
    if (factor > WORK_FACTOR_LIMIT_LOG2) {
      const message = `The encrypted file asks for 2^${factor} rounds of scrypt, the most is 2^`;
      throw new BackupError("unsupported", `${message}${WORK_FACTOR_LIMIT_LOG2}`);
    }
    return open(scryptKey(passphrase, salt, factor), stanza.body);
  };
}

function x25519Key(secret: Uint8Array, share: Uint8Array, recipient: Uint8Array): Uint8Array {
  const salt = Buffer.concat([share, recipient]);
  return new Uint8Array(hkdfSync("sha256", secret, salt, X25519_INFO, KEY_BYTES));
}

function scryptKey(passphrase: string, salt: Uint8Array, workFactorLog2: number): Uint8Array {
  const rounds = 2 ** workFactorLog2;
  return scryptSync(passphrase, Buffer.concat([Buffer.from(SCRYPT_LABEL), salt]), KEY_BYTES, {
    N: rounds,
    r: SCRYPT_BLOCK,
    p: 1,
    maxmem: 256 * SCRYPT_BLOCK * rounds,
  });
}

function seal(key: Uint8Array, fileKey: Uint8Array): Uint8Array {
  const cipher = createCipheriv(CIPHER, key, ZERO_NONCE, { authTagLength: TAG_BYTES });
  const sealed = cipher.update(fileKey);
  cipher.final();
  return Buffer.concat([sealed, cipher.getAuthTag()]);
}

function open(key: Uint8Array, body: Uint8Array): Uint8Array | undefined {
  const cipher = createDecipheriv(CIPHER, key, ZERO_NONCE, { authTagLength: TAG_BYTES });
  cipher.setAuthTag(body.subarray(FILE_KEY_BYTES));
  const fileKey = cipher.update(body.subarray(0, FILE_KEY_BYTES));
  try {
    cipher.final();
  } catch {
    return undefined;
  }
  return fileKey;
}
