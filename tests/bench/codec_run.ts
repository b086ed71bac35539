/**
 * Encodes files on threads and forgets the result: what `codec_bench.ts` measures as ours. Rule: the files are read and
 * encoded as a destination's threads do it, a slot at a time and synchronously; only the writing is missing.
 *
 * Words: CODEC THREADS FILE…
 */
import type { Work } from "./codec_thread.ts";

const [codec, threads, ...files] = Deno.args;
const work: Work = {
  codec: codec as Work["codec"],
  files,
  next: new SharedArrayBuffer(4),
};
const encoded = Array.from({ length: Number(threads) }, async () => {
  const worker = new Worker(import.meta.resolve("./codec_thread.ts"), { type: "module" });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  worker.onmessage = ({ data }: MessageEvent<number>) => resolve(data);
  worker.onerror = reject;
  worker.postMessage(work);
  const storedBytes = await promise;
  worker.terminate();
  return storedBytes;
});
console.log((await Promise.all(encoded)).reduce((sum, bytes) => sum + bytes, 0));
