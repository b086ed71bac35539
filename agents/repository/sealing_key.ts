/**
 * AES-256-CTR and Poly1305-AES as restic joins them: nonce ‖ ciphertext ‖ tag. Rule: nothing is decrypted before its tag
 * is right, and no nonce is used twice.
 *
 * A key of a thread draws one random nonce and goes on from there: each blob's counters begin where the last one's ended.
 */
import { Buffer } from "node:buffer";
import { type Cipheriv, createCipheriv, createDecipheriv, timingSafeEqual } from "node:crypto";
import { randomBytes } from "../../protocol/base/random_bytes.ts";
import { type Kernels, POLY1305_KEY_BYTES, POLY1305_TAG_BYTES } from "../kernels/mod.ts";

export const NONCE_BYTES = 16;
export const SEAL_OVERHEAD_BYTES = NONCE_BYTES + POLY1305_TAG_BYTES;
export const ENCRYPT_KEY_BYTES = 32;
export const MAC_KEY_BYTES = 16;
const BLOCK_BYTES = 16;

/** The three keys of a repository or a password; secret. */
export interface KeyMaterial {
  encrypt: Uint8Array;
  macK: Uint8Array;
  /** Clamped or not. */
  macR: Uint8Array;
}

export class SealingKey {
  readonly #kernels: Kernels;
  readonly #encrypt: Uint8Array;
  /** AES-128 of one block at a time. */
  readonly #macCipher: Cipheriv;
  readonly #macKey = new Uint8Array(POLY1305_KEY_BYTES);
  readonly #tag = new Uint8Array(POLY1305_TAG_BYTES);
  #stream: Cipheriv | undefined;
  /** Of the next blob. */
  readonly #nonce = new Uint8Array(NONCE_BYTES);

  /** @throws {RangeError} for keys of wrong length or all zeros */
  constructor(kernels: Kernels, material: KeyMaterial) {
    requireKey(material.encrypt, ENCRYPT_KEY_BYTES);
    requireKey(material.macK, MAC_KEY_BYTES);
    requireKey(material.macR, MAC_KEY_BYTES);
    this.#kernels = kernels;
    this.#encrypt = material.encrypt.slice();
    this.#macKey.set(material.macR);
    this.#macCipher = createCipheriv("aes-128-ecb", material.macK, null).setAutoPadding(false);
  }

  /** nonce ‖ ciphertext ‖ tag. */
  seal(plain: Uint8Array): Uint8Array {
    const sealed = new Uint8Array(plain.length + SEAL_OVERHEAD_BYTES);
    this.sealInto(plain, sealed);
    return sealed;
  }

  /** Fills the first `plain.length + SEAL_OVERHEAD_BYTES` bytes of `sealed`. */
  sealInto(plain: Uint8Array, sealed: Uint8Array): void {
    if (this.#stream === undefined) {
      this.#nonce.set(randomBytes(NONCE_BYTES));
      this.#stream = createCipheriv("aes-256-ctr", this.#encrypt, this.#nonce);
    }
    const end = NONCE_BYTES + plain.length;
    sealed.set(this.#nonce);
    if (plain.length > 0) sealed.set(this.#stream.update(plain), NONCE_BYTES);
    const rest = plain.length % BLOCK_BYTES;
    if (rest > 0) this.#stream.update(new Uint8Array(BLOCK_BYTES - rest));
    addToCounter(this.#nonce, Math.ceil(plain.length / BLOCK_BYTES) || this.#skipBlock());
    this.#authenticate(sealed, end);
    sealed.set(this.#tag, end);
  }

  /** As `seal`, with a nonce that the caller promises to use once. */
  sealWithNonce(plain: Uint8Array, nonce: Uint8Array): Uint8Array {
    const sealed = new Uint8Array(plain.length + SEAL_OVERHEAD_BYTES);
    sealed.set(nonce);
    const cipher = createCipheriv("aes-256-ctr", this.#encrypt, nonce);
    sealed.set(cipher.update(plain), NONCE_BYTES);
    this.tagInto(sealed);
    return sealed;
  }

  /** Writes the tag over the last bytes of `sealed`, whose nonce and ciphertext are there. */
  tagInto(sealed: Uint8Array): void {
    const end = sealed.length - POLY1305_TAG_BYTES;
    this.#authenticate(sealed, end);
    sealed.set(this.#tag, end);
  }

  /** The plain bytes; undefined when `sealed` is not whole or not of this key. */
  open(sealed: Uint8Array): Uint8Array | undefined {
    const end = sealed.length - POLY1305_TAG_BYTES;
    if (end < NONCE_BYTES) return undefined;
    const nonce = sealed.subarray(0, NONCE_BYTES);
    if (nonce.every((byte) => byte === 0)) return undefined;
    this.#authenticate(sealed, end);
    if (!timingSafeEqual(this.#tag, sealed.subarray(end))) return undefined;
    if (end === NONCE_BYTES) return new Uint8Array(0);
    const cipher = createDecipheriv("aes-256-ctr", this.#encrypt, nonce);
    return asBytes(cipher.update(sealed.subarray(NONCE_BYTES, end)));
  }

  /** The key for `crypto.subtle`, for whoever encrypts many bytes at once. */
  importForWeb(): Promise<CryptoKey> {
    return crypto.subtle.importKey("raw", this.#encrypt.slice(), "AES-CTR", false, ["encrypt"]);
  }

  /** Into `#tag`, of the bytes up to `end`. */
  #authenticate(sealed: Uint8Array, end: number): void {
    const nonce = sealed.subarray(0, NONCE_BYTES);
    this.#macKey.set(this.#macCipher.update(nonce), MAC_KEY_BYTES);
    this.#kernels.poly1305(this.#macKey, sealed.subarray(NONCE_BYTES, end), this.#tag);
  }

  /** An empty blob uses no counter, but its nonce is used. */
  #skipBlock(): number {
    this.#stream!.update(new Uint8Array(BLOCK_BYTES));
    return 1;
  }
}

/** Adds to a 128-bit big-endian number, which wraps. */
export function addToCounter(counter: Uint8Array, blocks: number): void {
  let carry = blocks;
  for (let i = counter.length - 1; i >= 0 && carry > 0; i--) {
    carry += counter[i]!;
    counter[i] = carry % 256;
    carry = Math.floor(carry / 256);
  }
}

function requireKey(key: Uint8Array, bytes: number): void {
  if (key.length !== bytes || key.every((byte) => byte === 0)) {
    throw new RangeError(`Not a key of ${bytes} bytes`);
  }
}

function asBytes(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}
