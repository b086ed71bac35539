/** Joins the program's modules into one file. Rule: what runs from the bundle is what runs from the source. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";

/** Packages of CommonJS ask for modules of the runtime by a function that a bundle, an ES module, does not have. */
const ASKS_FOR_REQUIRE = /Dynamic require of/;
const REQUIRE = `import { createRequire } from "node:module";
const require = createRequire(import.meta.url);`;

export interface BundleOptions {
  /** Without white space and long names. */
  isSmall?: boolean;
  /** But for those of functions and classes, which traces show. It costs time wherever a function is made. */
  keepsNames?: boolean;
}

/** Bundles `entry` to `outFile` with text and WASM imports inlined. @throws {Error} with the bundler's own words. */
export async function bundleProgram(
  entry: string,
  outFile: string,
  cwd: string,
  { isSmall = false, keepsNames = true }: BundleOptions = {},
): Promise<void> {
  const small = isSmall ? ["--minify", ...keepsNames ? ["--keep-names"] : []] : [];
  const result = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform", "deno", ...small, "--output", outFile, entry],
    cwd,
    stdout: "piped",
    stderr: "piped",
  }).output();
  if (!result.success) {
    throw new Error(`Cannot bundle ${entry}:\n${new TextDecoder().decode(result.stderr).trim()}`);
  }
  const program = readFileSync(outFile, "utf8");
  if (ASKS_FOR_REQUIRE.test(program)) writeFileSync(outFile, `${REQUIRE}\n${program}`);
}

/**
 * The same, with the program of its threads as a text at its beginning: every thread parses and keeps what it is started
 * from, and theirs is a seventh of the whole. Names of functions are not kept in it: that would be a property set each time one
 * is made, which took a thread that restores small files a quarter of its time.
 */
export async function bundleWithThreads(
  entry: string,
  threadsEntry: string,
  outFile: string,
  cwd: string,
): Promise<void> {
  const threadsFile = `${outFile}.threads`;
  try {
    await bundleProgram(threadsEntry, threadsFile, cwd, { isSmall: true, keepsNames: false });
    await bundleProgram(entry, outFile, cwd, { isSmall: true });
    const threads = JSON.stringify(readFileSync(threadsFile, "utf8"));
    const program = readFileSync(outFile, "utf8");
    writeFileSync(outFile, `const THREADS_PROGRAM = ${threads};\n${program}`);
  } finally {
    rmSync(threadsFile, { force: true });
  }
}
