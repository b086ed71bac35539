/** The kernels' sources as the compiler and the test of its output see them. Rule: names and texts, in the order of names. */
import { createHash } from "node:crypto";

const FOLDER = new URL("../../agents/kernels/assembly/", import.meta.url);

/** Text by file name. */
export function kernelSources(): Map<string, string> {
  const names = [...Deno.readDirSync(FOLDER)].map(({ name }) => name).sort();
  return new Map(names.map((name) => [name, Deno.readTextFileSync(new URL(name, FOLDER))]));
}

export function kernelSourceHash(): string {
  const hash = createHash("sha256");
  for (const [name, text] of kernelSources()) hash.update(`${name}\0${text}\0`);
  return hash.digest("hex");
}
