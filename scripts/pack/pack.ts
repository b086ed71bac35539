/** The offline packer: this very deno plus a bundled program as one file. Rule: no network, no compiler, no temp files. */
import { readFileSync } from "node:fs";
import { BAKED_ENVIRONMENT, bakedCommandLine } from "./command_line.ts";
import { elfMachine, packElf } from "./elf.ts";
import { readStub } from "./stub.ts";

/**
 * The bytes of an executable that runs `program` with the given `--allow-…` flags. About 95 MB.
 * @throws {ElfLayoutError} when the running deno is no ELF file of the expected layout.
 */
export function packProgram(
  program: Uint8Array,
  permissions: readonly string[],
): Uint8Array<ArrayBuffer> {
  const host = readFileSync(Deno.execPath());
  return packElf(host, {
    stub: readStub(elfMachine(host)),
    commandLine: bakedCommandLine(permissions),
    environment: new TextEncoder().encode(BAKED_ENVIRONMENT),
    program,
  });
}
