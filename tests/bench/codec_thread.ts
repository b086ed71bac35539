/** A thread of `codec_run.ts`. A file of its own: a worker's entry is its main module too, and must start no workers. */
/// <reference no-default-lib="true" />
/// <reference lib="deno.worker" />
import { generateIdentity } from "../../agents/strategies/mirror/codec/age_keys.ts";
import { type Codec, createEncoder } from "../../agents/strategies/mirror/codec/codec.ts";

const SLOT_BYTES = 2 << 20;

/** What a thread is told; `next` is the number of the file that nobody has begun. */
export interface Work {
  codec: Codec;
  files: string[];
  next: SharedArrayBuffer;
}

self.onmessage = ({ data }: MessageEvent<Work>) => self.postMessage(encode(data));

function encode({ codec, files, next }: Work): number {
  const recipients = [generateIdentity().recipient];
  const slot = new Uint8Array(SLOT_BYTES);
  const counter = new Int32Array(next);
  let storedBytes = 0;
  for (;;) {
    const path = files[Atomics.add(counter, 0, 1)];
    if (path === undefined) return storedBytes;
    using file = Deno.openSync(path);
    const encoder = createEncoder({ codec, recipients });
    let count: number | null;
    while ((count = file.readSync(slot)) !== null) {
      for (const bytes of encoder.push(slot.subarray(0, count))) storedBytes += bytes.length;
    }
    for (const bytes of encoder.end()) storedBytes += bytes.length;
  }
}
