/**
 * The payload of an age file: chunks of 64 KiB, each sealed with its number and whether it is the last. Rule: no byte of
 * a chunk is handed out before its tag is checked, and only a chunk that is sealed as the last one ends a file.
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv } from "node:crypto";
import { BackupError } from "../../../../protocol/base/errors.ts";
import { CIPHER, TAG_BYTES } from "./age_stanzas.ts";
import { ByteGatherer } from "./byte_gatherer.ts";
import type { ByteTransform } from "./byte_transform.ts";

const CHUNK_BYTES = 64 << 10;
const SEALED_BYTES = CHUNK_BYTES + TAG_BYTES;
/** More is not turned at once, so that output is bounded whatever the piece. */
const CHUNKS_AT_ONCE = 32;
const OPTIONS = { authTagLength: TAG_BYTES };

/** Seals chunks with `key`, which must never seal anything else. */
export class StreamSealer implements ByteTransform {
  readonly #key: Uint8Array;
  readonly #nonce = new ChunkNonce();
  readonly #chunks = new Chunks(CHUNK_BYTES);
  #into = Buffer.alloc(0);

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  *push(piece: Uint8Array): Generator<Uint8Array, void, undefined> {
    for (const run of this.#chunks.push(piece)) {
      const sealed = this.#room(run.length / CHUNK_BYTES * SEALED_BYTES);
      for (let from = 0, to = 0; from < run.length; from += CHUNK_BYTES, to += SEALED_BYTES) {
        this.#seal(run.subarray(from, from + CHUNK_BYTES), sealed, to, false);
      }
      yield sealed;
    }
  }

  *end(): Generator<Uint8Array, void, undefined> {
    const last = this.#chunks.rest;
    const sealed = this.#room(last.length + TAG_BYTES);
    this.#seal(last, sealed, 0, true);
    yield sealed;
  }

  /** The same memory each time: the kernel would have to zero new pages. */
  #room(sizeBytes: number): Buffer {
    if (this.#into.length < sizeBytes) this.#into = Buffer.allocUnsafeSlow(sizeBytes);
    return this.#into.subarray(0, sizeBytes);
  }

  #seal(chunk: Uint8Array, into: Uint8Array, at: number, isLast: boolean): void {
    const cipher = createCipheriv(CIPHER, this.#key, this.#nonce.next(isLast), OPTIONS);
    into.set(cipher.update(chunk), at);
    cipher.final();
    into.set(cipher.getAuthTag(), at + chunk.length);
  }
}

export class StreamOpener implements ByteTransform {
  readonly #key: Uint8Array;
  readonly #nonce = new ChunkNonce();
  readonly #chunks = new Chunks(SEALED_BYTES);
  #isFirst = true;

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** @throws {BackupError} `damaged` */
  *push(piece: Uint8Array): Generator<Uint8Array, void, undefined> {
    for (const run of this.#chunks.push(piece)) {
      const content = Buffer.allocUnsafeSlow(run.length / SEALED_BYTES * CHUNK_BYTES);
      for (let from = 0, to = 0; from < run.length; from += SEALED_BYTES, to += CHUNK_BYTES) {
        content.set(this.#open(run.subarray(from, from + SEALED_BYTES), false), to);
      }
      this.#isFirst = false;
      yield content;
    }
  }

  /** @throws {BackupError} `damaged`, also when the file was cut between two chunks */
  *end(): Generator<Uint8Array, void, undefined> {
    const last = this.#chunks.rest;
    if (last.length < TAG_BYTES) throw new BackupError("damaged", "The encrypted file is cut off");
    const content = this.#open(last, true);
    if (content.length > 0) yield content;
    else if (!this.#isFirst) {
      // Only an empty file may end so; otherwise there would be two ways to write the same.
      throw new BackupError("damaged", "The encrypted file is damaged: its last chunk is empty");
    }
  }

  #open(sealed: Uint8Array, isLast: boolean): Uint8Array {
    const cipher = createDecipheriv(CIPHER, this.#key, this.#nonce.next(isLast), OPTIONS);
    cipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
    const content = cipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
    try {
      cipher.final();
    } catch (cause) {
      const message = "The encrypted file is damaged, or cut off";
      throw new BackupError("damaged", message, { cause });
    }
    return content;
  }
}

/** Cuts pieces into runs of whole chunks. Rule: the last chunk stays behind, whole or not, until more comes. */
class Chunks {
  readonly #chunkBytes: number;
  readonly #held = new ByteGatherer();

  constructor(chunkBytes: number) {
    this.#chunkBytes = chunkBytes;
  }

  get rest(): Uint8Array {
    return this.#held.bytes;
  }

  *push(piece: Uint8Array): Generator<Uint8Array, void, undefined> {
    let at = 0;
    if (this.#held.length > 0) {
      at = Math.min(piece.length, this.#chunkBytes - this.#held.length);
      this.#held.add(piece.subarray(0, at));
      if (at === piece.length) return;
      yield this.#held.bytes;
      this.#held.drop(this.#held.length);
    }
    while (piece.length - at > this.#chunkBytes) {
      const chunks = Math.floor((piece.length - at - 1) / this.#chunkBytes);
      const end = at + Math.min(chunks, CHUNKS_AT_ONCE) * this.#chunkBytes;
      yield piece.subarray(at, end);
      at = end;
    }
    this.#held.add(piece.subarray(at));
  }
}

/** Eleven bytes of number, highest first, and one that says whether it is the last. */
class ChunkNonce {
  readonly #bytes = new Uint8Array(12);
  readonly #view = new DataView(this.#bytes.buffer);
  #number = 0;

  /** Valid until the next call. */
  next(isLast: boolean): Uint8Array {
    this.#view.setUint32(3, Math.floor(this.#number / 0x1_0000_0000));
    this.#view.setUint32(7, this.#number % 0x1_0000_0000);
    this.#bytes[11] = isLast ? 1 : 0;
    this.#number++;
    return this.#bytes;
  }
}
