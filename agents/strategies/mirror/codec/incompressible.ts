/** Tells data that does not shrink, cheaply. Rule: a wrong answer costs space or time, never bytes. */
import { ZstdCompressor } from "./zstd_compressor.ts";

/** Below this, compressing costs no more than guessing. */
const WORTH_GUESSING_BYTES = 64 << 10;
const SAMPLES = 8;
const SAMPLE_BYTES = 4 << 10;
/** What saves less than two percent is stored as it is. */
const WORTH_IT = 0.98;

/** Shared by all files of a thread: they hold no state between two answers. */
const fast = new ZstdCompressor(1);
const samples = new Uint8Array(SAMPLES * SAMPLE_BYTES);

/** True when samples from all over `bytes` do not shrink: already compressed, encrypted or random. */
export function isIncompressible(bytes: Uint8Array): boolean {
  if (bytes.length < WORTH_GUESSING_BYTES) return false;
  const stride = Math.floor((bytes.length - SAMPLE_BYTES) / (SAMPLES - 1));
  for (let i = 0; i < SAMPLES; i++) {
    samples.set(bytes.subarray(i * stride, i * stride + SAMPLE_BYTES), i * SAMPLE_BYTES);
  }
  return fast.frame(samples).length > samples.length * WORTH_IT;
}
