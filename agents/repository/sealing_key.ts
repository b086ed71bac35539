/**
 * AES-256-CTR and Poly1305-AES as restic joins them: nonce ‖ ciphertext ‖ tag. Rule: nothing is decrypted before its tag
 * is right, and no nonce is used twice.
 *
 * A key of a thread draws one random nonce and goes on from there: each blob's counters begin where the last one's ended.
 */
import { timingSafeEqual } from "node:crypto";
import { randomBytes } from "../../protocol/base/random_bytes.ts";
import {
  addToCounter,
  AES_BLOCK_BYTES,
  type Kernels,
  POLY1305_KEY_BYTES,
  POLY1305_TAG_BYTES,
  type TakeRoom,
} from "../kernels/mod.ts";

export const NONCE_BYTES = 16;
export const SEAL_OVERHEAD_BYTES = NONCE_BYTES + POLY1305_TAG_BYTES;
export const ENCRYPT_KEY_BYTES = 32;
export const MAC_KEY_BYTES = 16;
/** Larger blobs are rare, and memory for them is not kept. */
const BRIEF_MAX_BYTES = 16 << 20;

/** The three keys of a repository or a password; secret. */
export interface KeyMaterial {
  encrypt: Uint8Array;
  macK: Uint8Array;
  /** Clamped or not. */
  macR: Uint8Array;
}

export class SealingKey {
  readonly kernels: Kernels;
  readonly #encrypt: Uint8Array;
  readonly #macK: Uint8Array;
  /** r, then what the nonce at hand becomes under `#macK`. */
  readonly #macKey = new Uint8Array(POLY1305_KEY_BYTES);
  readonly #tag = new Uint8Array(POLY1305_TAG_BYTES);
  /** Of `openBriefly`. */
  #brief = new Uint8Array(0);
  /** Of the next blob; drawn when there is one. */
  #nonce: Uint8Array | undefined;

  /** @throws {RangeError} for keys of wrong length or all zeros */
  constructor(kernels: Kernels, material: KeyMaterial) {
    requireKey(material.encrypt, ENCRYPT_KEY_BYTES);
    requireKey(material.macK, MAC_KEY_BYTES);
    requireKey(material.macR, MAC_KEY_BYTES);
    this.kernels = kernels;
    this.#encrypt = material.encrypt.slice();
    this.#macK = material.macK.slice();
    this.#macKey.set(material.macR);
  }

  /** nonce ‖ ciphertext ‖ tag. */
  seal(plain: Uint8Array): Uint8Array {
    const sealed = new Uint8Array(plain.length + SEAL_OVERHEAD_BYTES);
    this.sealInto(plain, sealed);
    return sealed;
  }

  /** Fills the first `plain.length + SEAL_OVERHEAD_BYTES` bytes of `sealed`. */
  sealInto(plain: Uint8Array, sealed: Uint8Array): void {
    this.#nonce ??= randomBytes(NONCE_BYTES).slice();
    sealed.set(this.#nonce);
    // An empty blob uses no counter, but its nonce is used.
    addToCounter(this.#nonce, Math.ceil(plain.length / AES_BLOCK_BYTES) || 1);
    this.#encryptInto(plain, sealed.subarray(0, plain.length + SEAL_OVERHEAD_BYTES));
  }

  /** As `seal`, with a nonce that the caller promises to use once. */
  sealWithNonce(plain: Uint8Array, nonce: Uint8Array): Uint8Array {
    const sealed = new Uint8Array(plain.length + SEAL_OVERHEAD_BYTES);
    sealed.set(nonce);
    this.#encryptInto(plain, sealed);
    return sealed;
  }

  /** The plain bytes, in `room`; undefined when `sealed` is not whole or not of this key. */
  open(
    sealed: Uint8Array,
    room: TakeRoom = (bytes) => new Uint8Array(bytes),
  ): Uint8Array | undefined {
    return this.#open(sealed, room);
  }

  /** As `open`, for what is only unpacked: a view that the next call writes over. */
  openBriefly(sealed: Uint8Array): Uint8Array | undefined {
    return this.#open(sealed, (bytes) => {
      if (bytes > BRIEF_MAX_BYTES) return new Uint8Array(bytes);
      if (this.#brief.length < bytes) this.#brief = new Uint8Array(Math.ceil(bytes * 1.25));
      return this.#brief.subarray(0, bytes);
    });
  }

  #open(sealed: Uint8Array, room: TakeRoom): Uint8Array | undefined {
    const end = sealed.length - POLY1305_TAG_BYTES;
    if (end < NONCE_BYTES) return undefined;
    const nonce = sealed.subarray(0, NONCE_BYTES);
    if (nonce.every((byte) => byte === 0)) return undefined;
    const bytes = sealed.subarray(NONCE_BYTES, end);
    this.#authenticate(nonce, bytes);
    if (!timingSafeEqual(this.#tag, sealed.subarray(end))) return undefined;
    const plain = room(bytes.length).subarray(0, bytes.length);
    this.kernels.aesCtr(this.#encrypt, nonce, bytes, plain);
    return plain;
  }

  /** The nonce is there, and there is room for the tag. */
  #encryptInto(plain: Uint8Array, sealed: Uint8Array): void {
    const nonce = sealed.subarray(0, NONCE_BYTES);
    const end = NONCE_BYTES + plain.length;
    const bytes = sealed.subarray(NONCE_BYTES, end);
    this.kernels.aesCtr(this.#encrypt, nonce, plain, bytes);
    this.#authenticate(nonce, bytes);
    sealed.set(this.#tag, end);
  }

  /** Into `#tag`. */
  #authenticate(nonce: Uint8Array, bytes: Uint8Array): void {
    this.kernels.aesBlock(this.#macK, nonce, this.#macKey.subarray(MAC_KEY_BYTES));
    this.kernels.poly1305(this.#macKey, bytes, this.#tag);
  }
}

function requireKey(key: Uint8Array, bytes: number): void {
  if (key.length !== bytes || key.every((byte) => byte === 0)) {
    throw new RangeError(`Not a key of ${bytes} bytes`);
  }
}
