/**
 * The kernels in WASM, for one thread. Rule: a scanner has a memory of its own, since its tables lie there; what is
 * given is copied into it piece by piece, which costs less than a tenth of the work.
 */
import { type BoundaryScanner, type Loops, POLY1305_TAG_BYTES, WINDOW_BYTES } from "./kernels.ts";
import { kernelsWasm } from "./kernels_wasm.ts";
import { makeRabinTables, outAfterShift } from "./rabin_tables.ts";
import { DATA_BYTES_MAX, MEMORY_LAYOUT } from "./wasm_memory.ts";

/** A search ends at most one span too late; a span must be long against the 64 bytes it begins with. */
const SPAN_BYTES = 32 << 10;
const QUAD_BYTES = 64;
/** Below this the powers of r cost more than they save. */
const QUADS_FROM_BYTES = 512;

interface Exports {
  memory: WebAssembly.Memory;
  firstBoundary(length: number): number;
  begin(): void;
  quads(length: number): void;
  finish(length: number): void;
}

/** @throws {WebAssembly.CompileError} where WASM or its SIMD is missing */
export function createWasmLoops(): Loops {
  const module = new WebAssembly.Module(kernelsWasm());
  const instantiate = () => {
    const exports = new WebAssembly.Instance(module, {}).exports as unknown as Exports;
    return { exports, bytes: new Uint8Array(exports.memory.buffer) };
  };
  const { exports, bytes: memory } = instantiate();
  const { KEY, TAG, DATA } = MEMORY_LAYOUT;

  return {
    name: "wasm",
    createScanner(polynomial) {
      const own = instantiate();
      return wasmScanner(own.exports, own.bytes, polynomial);
    },
    poly1305(key, message, tag) {
      memory.set(key.subarray(0, 32), KEY);
      exports.begin();
      let at = 0;
      if (message.length >= QUADS_FROM_BYTES) {
        const wholeBytes = message.length - message.length % QUAD_BYTES;
        while (at < wholeBytes) {
          const count = Math.min(DATA_BYTES_MAX, wholeBytes - at);
          memory.set(message.subarray(at, at + count), DATA);
          exports.quads(count);
          at += count;
        }
      }
      memory.set(at === 0 ? message : message.subarray(at), DATA);
      exports.finish(message.length - at);
      for (let i = 0; i < POLY1305_TAG_BYTES; i++) tag[i] = memory[TAG + i]!;
    },
  };
}

function wasmScanner(exports: Exports, memory: Uint8Array, polynomial: bigint): BoundaryScanner {
  const tables = makeRabinTables(polynomial);
  const at = (offset: number) => new BigUint64Array(exports.memory.buffer, offset, 256);
  at(MEMORY_LAYOUT.MOD_TABLE).set(tables.mod);
  at(MEMORY_LAYOUT.OUT_TABLE).set(outAfterShift(tables, polynomial));

  return {
    findFirst(bytes, from, to) {
      for (let at = from; at < to; at += SPAN_BYTES) {
        const end = Math.min(to, at + SPAN_BYTES);
        memory.set(bytes.subarray(at - WINDOW_BYTES, end), MEMORY_LAYOUT.DATA);
        const found = exports.firstBoundary(end - at);
        if (found > 0) return at + found;
      }
      return -1;
    },
  };
}
