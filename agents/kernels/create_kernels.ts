/** Picks the kernels. Rule: WASM where it works, the TypeScript twin everywhere else; `name` says which. */
import type { Kernels } from "./kernels.ts";
import { poly1305Twin } from "./poly1305_twin.ts";
import { createTwinScanner } from "./rabin_twin.ts";
import { createWasmKernels } from "./wasm_kernels.ts";

/** One per thread. */
export function createKernels(): Kernels {
  try {
    return createWasmKernels();
  } catch (error) {
    // Started with --jitless there is no WebAssembly, and old processors have no SIMD.
    if (error instanceof ReferenceError || error instanceof WebAssembly.CompileError) {
      return createTwinKernels();
    }
    throw error;
  }
}

export function createTwinKernels(): Kernels {
  return { name: "twin", createScanner: createTwinScanner, poly1305: poly1305Twin };
}
