/** Joins the program's modules into one file. Rule: what runs from the bundle is what runs from the source. */

/** Bundles `entry` to `outFile` with text and WASM imports inlined. @throws {Error} with the bundler's own words. */
export async function bundleProgram(entry: string, outFile: string, cwd: string): Promise<void> {
  const result = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform", "deno", "--output", outFile, entry],
    cwd,
    stdout: "piped",
    stderr: "piped",
  }).output();
  if (!result.success) {
    throw new Error(`Cannot bundle ${entry}:\n${new TextDecoder().decode(result.stderr).trim()}`);
  }
}
