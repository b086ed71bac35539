/**
 * Compiles agents/kernels/assembly to agents/kernels/kernels_wasm.ts. Rule: the output is committed together with the hash
 * of its sources, so that a checkout needs no compiler and a test sees when the two have parted.
 */
import asc from "assemblyscript/asc";
import { kernelSourceHash, kernelSources } from "../tests/support/kernel_sources.ts";

const OUTPUT = "agents/kernels/kernels_wasm.ts";
const LINE_CHARACTERS = 76;

if (import.meta.main) {
  const wasm = await compileKernels();
  Deno.writeTextFileSync(OUTPUT, kernelModule(wasm, kernelSourceHash()));
  console.log(`${OUTPUT}: ${wasm.length} bytes of WASM`);
}

/** The compiled module. @throws {Error} with the compiler's words */
export async function compileKernels(): Promise<Uint8Array> {
  const sources = kernelSources();
  let wasm: Uint8Array | undefined;
  const result = await asc.main(
    [
      "kernels.ts",
      ...["--runtime", "stub", "--enable", "simd", "--initialMemory", "2", "--maximumMemory", "2"],
      // Nothing of the compiler's may lie where the tables and the data are.
      ...["--memoryBase", "131072", "-O3", "--noAssert", "--outFile", "kernels.wasm"],
    ],
    {
      readFile: (name: string) => sources.get(name) ?? null,
      writeFile: (_name: string, contents: string | Uint8Array) => {
        if (typeof contents !== "string") wasm = contents;
      },
      listFiles: () => [],
    },
  );
  if (result.error !== null || wasm === undefined) {
    throw new Error(`asc failed: ${result.error?.message}\n${result.stderr.toString()}`);
  }
  return wasm;
}

function kernelModule(wasm: Uint8Array, sourceHash: string): string {
  const lines = wasm.toBase64().match(new RegExp(`.{1,${LINE_CHARACTERS}}`, "g")) ?? [];
  return `/** The compiled kernels. Rule: made by scripts/build_kernels.ts from assembly/, never by hand. */

/** SHA-256 over the names and texts of the sources. */
export const KERNELS_SOURCE_SHA256 =
  "${sourceHash}";

const BASE64 = \`
${lines.join("\n")}
\`;

export function kernelsWasm(): Uint8Array<ArrayBuffer> {
  return Uint8Array.fromBase64(BASE64);
}
`;
}
