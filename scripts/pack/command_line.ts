/**
 * The command line and environment baked into the executable. Rule: the permissions are those of the `agent` task in
 * deno.json, so the executable may do exactly what the program may do when it is run from its source.
 */
import { ENVIRONMENT_FD, PROGRAM_FD } from "./stub.ts";

/**
 * Lines for `--env-file`. Without the first, deno asks a server for newer versions after it starts; without the
 * second it puts a `node` link to our own binary in front of PATH on machines that have no Node.
 */
export const BAKED_ENVIRONMENT = "DENO_NO_UPDATE_CHECK=1\nDENO_DISABLE_NODE_SHIM=1\n";

/** Nothing is looked up around the file or fetched: all code is in the bundle. */
const BAKED_FLAGS = [
  "--quiet",
  "--no-config",
  "--no-lock",
  "--no-prompt",
  "--no-remote",
  "--no-npm",
];

/** The permission and engine flags of a `deno run … mod.ts` task. @throws {TypeError} when the task is not of that kind. */
export function permissionFlags(task: string): string[] {
  const words = task.split(" ");
  const flags = words.filter((word) =>
    word === "-A" || word.startsWith("--allow-") || word.startsWith("--v8-flags=")
  );
  if (words[0] !== "deno" || words[1] !== "run" || flags.length === 0) {
    throw new TypeError(`Cannot take permissions from the task: ${task}`);
  }
  return flags;
}

/** argv of the packed deno, always odd in number, as the stub needs it. */
export function bakedCommandLine(permissions: readonly string[]): string[] {
  const head = ["deno", "run", ...BAKED_FLAGS, ...permissions];
  head.push(`--env-file=/proc/self/fd/${ENVIRONMENT_FD}`);
  const program = `/proc/self/fd/${PROGRAM_FD}`;
  // The two spellings of one flag differ by one word: that settles odd or even.
  return head.length % 2 === 1 ? [...head, "--ext=js", program] : [...head, "--ext", "js", program];
}
