/** A whole age v1 file: header, nonce, sealed chunks. Rule: every file has its own key, drawn when it begins. */
import { Buffer } from "node:buffer";
import { hkdfSync } from "node:crypto";
import { BackupError } from "../../../../protocol/base/errors.ts";
import { randomBytes } from "../../../../protocol/base/random_bytes.ts";
import { formatHeader, parseHeader, requireMac, type Stanza } from "./age_header.ts";
import { KEY_BYTES } from "./age_keys.ts";
import { FILE_KEY_BYTES, type Unwrap } from "./age_stanzas.ts";
import { StreamOpener, StreamSealer } from "./age_stream.ts";
import { ByteGatherer } from "./byte_gatherer.ts";
import type { ByteTransform } from "./byte_transform.ts";

const NONCE_BYTES = 16;

/** Wraps the file key for everyone who may read the file; at least one stanza. */
export type Wrap = (fileKey: Uint8Array) => Stanza[];

export class AgeEncoder implements ByteTransform {
  #start: Uint8Array | undefined;
  readonly #payload: StreamSealer;

  constructor(wrap: Wrap) {
    const fileKey = randomBytes(FILE_KEY_BYTES);
    const nonce = randomBytes(NONCE_BYTES);
    this.#start = Buffer.concat([formatHeader(wrap(fileKey), fileKey), nonce]);
    this.#payload = new StreamSealer(payloadKey(fileKey, nonce));
  }

  *push(piece: Uint8Array): Generator<Uint8Array, void, undefined> {
    yield* this.#takeStart();
    yield* this.#payload.push(piece);
  }

  *end(): Generator<Uint8Array, void, undefined> {
    yield* this.#takeStart();
    yield* this.#payload.end();
  }

  *#takeStart(): Generator<Uint8Array, void, undefined> {
    const start = this.#start;
    this.#start = undefined;
    if (start !== undefined) yield start;
  }
}

export class AgeDecoder implements ByteTransform {
  readonly #unwrap: Unwrap;
  /** Header and nonce, until they are whole. */
  readonly #start = new ByteGatherer();
  #payload: StreamOpener | undefined;

  constructor(unwrap: Unwrap) {
    this.#unwrap = unwrap;
  }

  /** @throws {BackupError} `wrong_key` when the file is not for us, `damaged`, `unsupported` */
  *push(piece: Uint8Array): Generator<Uint8Array, void, undefined> {
    if (this.#payload !== undefined) {
      yield* this.#payload.push(piece);
      return;
    }
    this.#start.add(piece);
    const header = parseHeader(this.#start.bytes);
    if (header === undefined) return;
    const payloadAt = header.sizeBytes + NONCE_BYTES;
    if (this.#start.length < payloadAt) return;
    const fileKey = this.#unwrap(header.stanzas);
    if (fileKey === undefined) throw wrongKey(header.stanzas);
    requireMac(header, fileKey);
    const nonce = this.#start.bytes.slice(header.sizeBytes, payloadAt);
    this.#payload = new StreamOpener(payloadKey(fileKey, nonce));
    yield* this.#payload.push(this.#start.bytes.subarray(payloadAt));
    this.#start.drop(this.#start.length);
  }

  *end(): Generator<Uint8Array, void, undefined> {
    if (this.#payload === undefined) {
      throw new BackupError("damaged", "The encrypted file is cut off within its header");
    }
    yield* this.#payload.end();
  }
}

function payloadKey(fileKey: Uint8Array, nonce: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", fileKey, nonce, "payload", KEY_BYTES));
}

function wrongKey(stanzas: readonly Stanza[]): BackupError {
  const isPassphrase = stanzas.some(({ type }) => type === "scrypt");
  const what = isPassphrase ? "The passphrase does not open the file" : "No key opens the file";
  return new BackupError("wrong_key", `${what}; should it be the right one, the file is damaged`, {
    hint: isPassphrase
      ? "Give the passphrase it was encrypted with"
      : "Give the identity of one of its recipients",
  });
}
