/**
 * The machine code a packed executable starts with. Rule: the bytes used are the committed ones; the listing beside
 * them is their source, and a test assembles it again and compares.
 */
import { readFileSync } from "node:fs";

export type StubMachine = "x86_64" | "aarch64";

/** Where the stub puts the environment file and the program; the listings hold the same numbers. */
export const ENVIRONMENT_FD = 186;
export const PROGRAM_FD = 187;

export function readStub(machine: StubMachine): Uint8Array {
  return readFileSync(new URL(`stub_${machine}.bin`, import.meta.url));
}

const TOOL_PREFIXES: Record<StubMachine, string> = {
  x86_64: "x86_64-linux-gnu-",
  aarch64: "aarch64-linux-gnu-",
};

/** The `as` and `objcopy` that can assemble for a machine, or undefined when this system has none. */
export function assemblerFor(machine: StubMachine): { as: string; objcopy: string } | undefined {
  const prefixes = machine === Deno.build.arch ? ["", TOOL_PREFIXES[machine]] : [
    TOOL_PREFIXES[machine],
  ];
  for (const prefix of prefixes) {
    const tools = { as: `${prefix}as`, objcopy: `${prefix}objcopy` };
    if (Object.values(tools).every((tool) => runs(tool))) return tools;
  }
  return undefined;
}

/** Assembles the listing to bare bytes, using `workDir` for the files in between. */
export function assembleStub(
  machine: StubMachine,
  tools: { as: string; objcopy: string },
  workDir: string,
): Uint8Array {
  const listing = new URL(`stub_${machine}.s`, import.meta.url).pathname;
  run(tools.as, ["-o", `${workDir}/stub.o`, listing]);
  run(tools.objcopy, ["-O", "binary", "-j", ".text", `${workDir}/stub.o`, `${workDir}/stub.bin`]);
  return readFileSync(`${workDir}/stub.bin`);
}

function runs(tool: string): boolean {
  try {
    return new Deno.Command(tool, { args: ["--version"], stdout: "null", stderr: "null" })
      .outputSync().success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function run(tool: string, args: string[]): void {
  const result = new Deno.Command(tool, { args }).outputSync();
  if (!result.success) throw new Error(`${tool}: ${new TextDecoder().decode(result.stderr)}`);
}
