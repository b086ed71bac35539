/**
 * AES and Poly1305 by the system's OpenSSL, which uses the processor's own instructions: many times faster than anything
 * within the runtime. Rule: it must give the twins' results before it is used, and nothing depends on its being there.
 */
import {
  AES_BLOCK_BYTES,
  type Ciphers,
  POLY1305_KEY_BYTES,
  POLY1305_TAG_BYTES,
} from "./kernels.ts";
import { createPortableCiphers } from "./portable_ciphers.ts";

const LIBRARY = "libcrypto.so.3";
const SYMBOLS = {
  EVP_CIPHER_CTX_new: { parameters: [], result: "pointer" },
  EVP_aes_128_ctr: { parameters: [], result: "pointer" },
  EVP_aes_256_ctr: { parameters: [], result: "pointer" },
  EVP_EncryptInit_ex: {
    parameters: ["pointer", "pointer", "pointer", "buffer", "buffer"],
    result: "i32",
  },
  EVP_EncryptUpdate: {
    parameters: ["pointer", "buffer", "buffer", "buffer", "i32"],
    result: "i32",
  },
  EVP_MAC_fetch: { parameters: ["pointer", "buffer", "pointer"], result: "pointer" },
  EVP_MAC_CTX_new: { parameters: ["pointer"], result: "pointer" },
  EVP_MAC_init: { parameters: ["pointer", "buffer", "usize", "pointer"], result: "i32" },
  EVP_MAC_update: { parameters: ["pointer", "buffer", "usize"], result: "i32" },
  EVP_MAC_final: { parameters: ["pointer", "buffer", "buffer", "usize"], result: "i32" },
} as const;

/** Its lengths have 31 bits. */
const PIECE_BYTES = 1 << 30;
const AES_128_KEY_BYTES = 16;
const ZEROS = new Uint8Array(AES_BLOCK_BYTES);

/** One per thread. @throws where it is missing, too old, or wrong */
export function openLibcrypto(): Ciphers {
  const c = Deno.dlopen(LIBRARY, SYMBOLS).symbols;
  const contextOf = (cipher: Deno.PointerValue): Deno.PointerValue => {
    const context = c.EVP_CIPHER_CTX_new();
    done(c.EVP_EncryptInit_ex(context, cipher, null, null, null));
    return context;
  };
  const aes128 = contextOf(c.EVP_aes_128_ctr());
  const aes256 = contextOf(c.EVP_aes_256_ctr());
  const mac = c.EVP_MAC_CTX_new(c.EVP_MAC_fetch(null, cText("POLY1305"), null));
  if (mac === null) throw new TypeError(`${LIBRARY} has no Poly1305`);
  const wrote = new Uint8Array(8);
  const macKeyBytes = BigInt(POLY1305_KEY_BYTES);
  const tagBytes = BigInt(POLY1305_TAG_BYTES);

  const ciphers: Ciphers = {
    aesCtr(key, counter, from, into) {
      if (into.length < from.length || counter.length !== AES_BLOCK_BYTES) throw new RangeError();
      const context = key.length === AES_128_KEY_BYTES ? aes128 : aes256;
      if (key.length !== AES_128_KEY_BYTES && key.length !== 32) throw new RangeError();
      done(c.EVP_EncryptInit_ex(context, null, null, view(key), view(counter)));
      for (let at = 0; at < from.length; at += PIECE_BYTES) {
        const piece = from.subarray(at, at + PIECE_BYTES);
        done(
          c.EVP_EncryptUpdate(context, view(into.subarray(at)), wrote, view(piece), piece.length),
        );
      }
    },
    // The key stream of a counter is its encrypted block.
    aesBlock: (key, from, into) => ciphers.aesCtr(key, from, ZEROS, into),
    poly1305(key, message, tag) {
      if (key.length < POLY1305_KEY_BYTES || tag.length < POLY1305_TAG_BYTES) {
        throw new RangeError();
      }
      done(c.EVP_MAC_init(mac, view(key), macKeyBytes, null));
      if (message.length > 0) done(c.EVP_MAC_update(mac, view(message), BigInt(message.length)));
      done(c.EVP_MAC_final(mac, view(tag), wrote, tagBytes));
    },
  };
  requireEqual(ciphers, createPortableCiphers());
  return ciphers;
}

/** Counters that wrap, lengths around blocks, a key that must be clamped. @throws {TypeError} */
function requireEqual(ours: Ciphers, twin: Ciphers): void {
  const bytes = Uint8Array.from({ length: 1001 }, (_, i) => i * 151 + 7);
  const counter = new Uint8Array(AES_BLOCK_BYTES).fill(0xff);
  const out = [ours, twin].map((ciphers) => {
    const into = new Uint8Array(2 * bytes.length + POLY1305_TAG_BYTES + AES_BLOCK_BYTES);
    ciphers.aesCtr(bytes.subarray(0, 32), counter, bytes, into);
    ciphers.aesCtr(bytes.subarray(0, 16), counter, bytes, into.subarray(bytes.length));
    ciphers.poly1305(bytes.subarray(100, 132), bytes, into.subarray(2 * bytes.length));
    ciphers.aesBlock(bytes.subarray(0, 16), counter, into.subarray(-AES_BLOCK_BYTES));
    return into;
  });
  if (out[0]!.some((byte, i) => byte !== out[1]![i])) {
    throw new TypeError(`${LIBRARY} does not encrypt as it should`);
  }
}

function done(result: number): void {
  if (result !== 1) throw new TypeError(`${LIBRARY} failed`);
}

function cText(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}

/** Shared memory is as good for a call that is over when it returns. */
function view(bytes: Uint8Array): BufferSource {
  return bytes as BufferSource;
}
