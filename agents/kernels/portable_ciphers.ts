/**
 * AES and Poly1305 with what every runtime has. Rule: the oracle for whatever is faster. Making a cipher costs more than
 * encrypting a small blob, so one that stands at the counter that is asked for goes on.
 */
import { type Cipheriv, createCipheriv } from "node:crypto";
import { addToCounter } from "./counter.ts";
import { AES_BLOCK_BYTES, type Ciphers } from "./kernels.ts";
import { poly1305Twin } from "./poly1305_twin.ts";

/** Keys whose ciphers are kept: those of one repository. */
const STREAMS_MAX = 4;

interface Stream {
  key: Uint8Array;
  counter: Uint8Array;
  cipher: Cipheriv;
}

export function createPortableCiphers(poly1305: Ciphers["poly1305"] = poly1305Twin): Ciphers {
  const streams: Stream[] = [];
  let block: { key: Uint8Array; cipher: Cipheriv } | undefined;

  const streamAt = (key: Uint8Array, counter: Uint8Array): Stream => {
    const at = streams.findIndex((stream) => isEqual(stream.key, key));
    const kept = at < 0 ? undefined : streams.splice(at, 1)[0]!;
    if (kept !== undefined && isEqual(kept.counter, counter)) return kept;
    const cipher = createCipheriv(`aes-${key.length * 8}-ctr`, key, counter);
    return { key: key.slice(), counter: counter.slice(), cipher };
  };

  return {
    aesCtr(key, counter, from, into) {
      const stream = streamAt(key, counter);
      if (from.length > 0) into.set(stream.cipher.update(from));
      const rest = from.length % AES_BLOCK_BYTES;
      if (rest > 0) stream.cipher.update(new Uint8Array(AES_BLOCK_BYTES - rest));
      addToCounter(stream.counter, Math.ceil(from.length / AES_BLOCK_BYTES));
      streams.push(stream);
      if (streams.length > STREAMS_MAX) streams.shift();
    },
    aesBlock(key, from, into) {
      if (block === undefined || !isEqual(block.key, key)) {
        const cipher = createCipheriv(`aes-${key.length * 8}-ecb`, key, null);
        block = { key: key.slice(), cipher: cipher.setAutoPadding(false) };
      }
      into.set(block.cipher.update(from));
    },
    poly1305,
  };
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
