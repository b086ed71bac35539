/** The official way to one executable: `deno compile`. Rule: it never waits long for a base that is not to be had. */
import { existsSync } from "node:fs";

const REACHABLE_WITHIN_MS = 3_000;
const COMPILE_WITHIN_MS = 10 * 60_000;
const RELEASE_ORIGIN = "https://dl.deno.land";

/**
 * Compiles a bundled program to `outFile` with the given `--allow-…` flags. Returns undefined when it worked, else one
 * line that says why not; then nothing is left at `outFile`.
 */
export async function compileProgram(
  bundle: string,
  outFile: string,
  permissions: readonly string[],
): Promise<string | undefined> {
  if (Deno.env.get("DENORT_BIN") === undefined && !existsSync(cachedBase())) {
    const obstacle = await unreachable(RELEASE_ORIGIN);
    if (obstacle !== undefined) return obstacle;
  }
  const result = await new Deno.Command(Deno.execPath(), {
    args: [
      ...[
        "compile",
        "--quiet",
        "--no-config",
        "--no-lock",
        "--no-prompt",
        "--no-remote",
        "--no-npm",
      ],
      ...permissions,
      ...["--output", outFile, bundle],
    ],
    env: { RUST_BACKTRACE: "0" },
    stdout: "null",
    stderr: "piped",
    signal: AbortSignal.timeout(COMPILE_WITHIN_MS),
  }).output();
  if (result.success) return undefined;
  const lines = new TextDecoder().decode(result.stderr).split("\n");
  return lines.findLast((line) => /^\s+\d+: |^error/.test(line))?.trim() ?? "it failed";
}

/** Where deno keeps the base once downloaded; whoever puts the file there by hand can compile offline. */
function cachedBase(): string {
  const denoDir = Deno.env.get("DENO_DIR") ??
    `${Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`}/deno`;
  return `${denoDir}/dl/release/v${Deno.version.deno}/denort-${Deno.build.target}.zip`;
}

async function unreachable(origin: string): Promise<string | undefined> {
  try {
    const response = await fetch(origin, {
      method: "HEAD",
      signal: AbortSignal.timeout(REACHABLE_WITHIN_MS),
    });
    await response.body?.cancel();
    return undefined;
  } catch {
    return `${origin} cannot be reached (set DENORT_BIN or save the base as ${cachedBase()})`;
  }
}
