/**
 * X25519 keys as age writes them: `age1…` is public, `AGE-SECRET-KEY-1…` is secret. Rule: no message, no JSON and no
 * inspection of these objects shows a secret; only `secretText` does.
 */
import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from "node:crypto";
import { decodeBech32, encodeBech32 } from "../../../../protocol/base/bech32.ts";
import { BackupError } from "../../../../protocol/base/errors.ts";
import { randomBytes } from "../../../../protocol/base/random_bytes.ts";

export const KEY_BYTES = 32;
const PUBLIC_PREFIX = "age";
const SECRET_PREFIX = "age-secret-key-";
/** What stands before a raw X25519 key in DER (RFC 8410). */
const PKCS8_START = Buffer.from("302e020100300506032b656e04220420", "hex");
const SPKI_START = Buffer.from("302a300506032b656e032100", "hex");
/** Files of keys are read whole; nobody has so many. */
const KEYS_LIMIT = 1000;

/** Whom files are encrypted to. */
export class Recipient {
  readonly raw: Uint8Array;
  readonly publicKey: KeyObject;

  constructor(raw: Uint8Array) {
    this.raw = raw;
    this.publicKey = publicKeyOf(raw);
  }

  /** `age1…` */
  get text(): string {
    return encodeBech32(PUBLIC_PREFIX, this.raw);
  }
}

/** Who can decrypt. */
export class Identity {
  readonly recipient: Recipient;
  readonly #raw: Uint8Array;
  readonly #privateKey: KeyObject;

  constructor(raw: Uint8Array) {
    this.#raw = raw.slice();
    this.#privateKey = privateKeyOf(raw);
    this.recipient = new Recipient(publicOf(this.#privateKey));
  }

  /** `AGE-SECRET-KEY-1…` */
  secretText(): string {
    return encodeBech32(SECRET_PREFIX, this.#raw).toUpperCase();
  }

  /** The secret shared with the owner of `publicBytes`; undefined for a point that would give everyone the same. */
  agree(publicBytes: Uint8Array): Uint8Array | undefined {
    return agree(this.#privateKey, publicKeyOf(publicBytes));
  }
}

export function generateIdentity(): Identity {
  return new Identity(randomBytes(KEY_BYTES));
}

/** A key for one agreement. Undefined as for `Identity.agree`. */
export function agreeOnce(
  recipient: Recipient,
): { share: Uint8Array; secret: Uint8Array } | undefined {
  const privateKey = privateKeyOf(randomBytes(KEY_BYTES));
  const secret = agree(privateKey, recipient.publicKey);
  return secret === undefined ? undefined : { share: publicOf(privateKey), secret };
}

/** @throws {BackupError} `usage` */
export function parseRecipient(text: string): Recipient {
  const found = decodeBech32(text);
  if (found?.prefix === SECRET_PREFIX) {
    throw new BackupError("usage", "A secret key stands where a public one must", {
      hint: "Give the public key, age1…, which age-keygen -y prints",
    });
  }
  if (found?.prefix !== PUBLIC_PREFIX || found.bytes.length !== KEY_BYTES) {
    throw new BackupError("usage", `Not a public key of age: ${shortened(text)}`, {
      hint: "It looks like age1… and has 62 characters; age-keygen makes one",
    });
  }
  const recipient = new Recipient(found.bytes);
  if (agreeOnce(recipient) === undefined) {
    throw new BackupError("usage", `Nobody can have the secret key of ${shortened(text)}`);
  }
  return recipient;
}

/** @throws {BackupError} `usage`; the message does not repeat the text */
export function parseIdentity(text: string): Identity {
  const found = decodeBech32(text);
  if (found?.prefix !== SECRET_PREFIX || found.bytes.length !== KEY_BYTES || text !== upper(text)) {
    throw new BackupError("usage", "Not a secret key of age", {
      hint: "It looks like AGE-SECRET-KEY-1… and has 74 characters; age-keygen makes one",
    });
  }
  return new Identity(found.bytes);
}

/** One key a line; empty lines and lines that begin with # are none. @throws {BackupError} `usage`, also without any */
export function parseRecipients(text: string): Recipient[] {
  return parseLines(text, parseRecipient);
}

/** As `parseRecipients`, for what `age-keygen` writes. */
export function parseIdentities(text: string): Identity[] {
  return parseLines(text, parseIdentity);
}

function parseLines<T>(text: string, parse: (line: string) => T): T[] {
  const keys: T[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const key = line.trim();
    if (key === "" || key.startsWith("#")) continue;
    if (keys.length === KEYS_LIMIT) throw new BackupError("usage", `More than ${KEYS_LIMIT} keys`);
    try {
      keys.push(parse(key));
    } catch (thrown) {
      if (!(thrown instanceof BackupError)) throw thrown;
      throw new BackupError("usage", `Line ${index + 1}: ${thrown.message}`, { hint: thrown.hint });
    }
  }
  if (keys.length === 0) throw new BackupError("usage", "There is no key in it");
  return keys;
}

function publicKeyOf(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI_START, raw]), format: "der", type: "spki" });
}

function privateKeyOf(raw: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_START, raw]), format: "der", type: "pkcs8" });
}

function publicOf(privateKey: KeyObject): Uint8Array {
  const der = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  return new Uint8Array(der.subarray(SPKI_START.length));
}

function agree(privateKey: KeyObject, publicKey: KeyObject): Uint8Array | undefined {
  let secret: Uint8Array;
  try {
    secret = diffieHellman({ privateKey, publicKey });
  } catch {
    // A point of low order is refused below us.
    return undefined;
  }
  return secret.every((byte) => byte === 0) ? undefined : secret;
}

function upper(text: string): string {
  return text.toUpperCase();
}

/** Enough to recognise it; it may be a secret in a wrong place. */
function shortened(text: string): string {
  return text.length > 12 ? `${text.slice(0, 8)}…` : text;
}
