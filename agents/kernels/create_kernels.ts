/** Picks the kernels. Rule: the fastest that works here, and always something that works. */
import process from "node:process";
import type { Ciphers, Kernels, Loops, Zstd } from "./kernels.ts";
import { openLibcrypto } from "./libcrypto.ts";
import { openLibzstd } from "./libzstd.ts";
import { poly1305Twin } from "./poly1305_twin.ts";
import { createPortableCiphers } from "./portable_ciphers.ts";
import { portableZstd } from "./portable_zstd.ts";
import { createTwinScanner } from "./rabin_twin.ts";
import { createWasmLoops } from "./wasm_kernels.ts";

/** What does without libc does without the system's other libraries too. */
const PLATFORM_VARIABLE = "BACKUP_AGENT_PLATFORM";

/** One per thread. */
export function createKernels(): Kernels {
  const loops = createLoops();
  const usesLibraries = process.env[PLATFORM_VARIABLE] !== "portable";
  const ciphers = (usesLibraries && attempt(openLibcrypto)) ||
    createPortableCiphers(loops.poly1305);
  const zstd = (usesLibraries && attempt(openLibzstd)) || portableZstd;
  return joined(loops, ciphers, zstd);
}

/** Without anything of the system's, and with WASM. */
export function createPortableKernels(): Kernels {
  const loops = createLoops();
  return joined(loops, createPortableCiphers(loops.poly1305), portableZstd);
}

export function createTwinKernels(): Kernels {
  return joined(twinLoops, createPortableCiphers(), portableZstd);
}

const twinLoops: Loops = {
  name: "twin",
  createScanner: createTwinScanner,
  poly1305: poly1305Twin,
};

function createLoops(): Loops {
  try {
    return createWasmLoops();
  } catch (error) {
    // Started with --jitless there is no WebAssembly, and old processors have no SIMD.
    if (error instanceof ReferenceError || error instanceof WebAssembly.CompileError) {
      return twinLoops;
    }
    throw error;
  }
}

function joined(loops: Loops, ciphers: Ciphers, zstd: Zstd): Kernels {
  return {
    name: loops.name,
    createScanner: loops.createScanner,
    aesBlock: ciphers.aesBlock,
    aesCtr: ciphers.aesCtr,
    poly1305: ciphers.poly1305,
    compress: zstd.compress,
    decompress: zstd.decompress,
  };
}

/** Another system, no such library, no permission to load one: all the same to us. */
function attempt<T>(open: () => T): T | undefined {
  try {
    return open();
  } catch {
    return undefined;
  }
}
