/**
 * `deno task build`: makes dist/backup-agent, one executable file. Rule: it says which way it was made, and a file
 * that cannot start with an empty environment is never left in dist/.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { bundleWithThreads } from "./pack/bundle.ts";
import { permissionFlags } from "./pack/command_line.ts";
import { compileProgram } from "./pack/compile.ts";
import { packProgram } from "./pack/pack.ts";

const START_WITHIN_MS = 30_000;

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = `${root}dist`;
const bundle = `${dist}/backup-agent.js`;
const made = `${dist}/backup-agent.new`;
const product = `${dist}/backup-agent`;

const config = JSON.parse(readFileSync(`${root}deno.json`, "utf8"));
const permissions = permissionFlags(config.tasks.agent);

Deno.exit(await build());

async function build(): Promise<number> {
  mkdirSync(dist, { recursive: true });
  try {
    await bundleWithThreads("mod.ts", "agents/roles/main.ts", bundle, root);
    const way = await make();
    renameSync(made, product);
    const bytes = readFileSync(product);
    console.log(`dist/backup-agent: ${way}`);
    console.log(`size   ${bytes.length} bytes (program ${readFileSync(bundle).length} bytes)`);
    console.log(`sha256 ${createHash("sha256").update(bytes).digest("hex")}`);
    return 0;
  } catch (error) {
    console.error(
      `Cannot build dist/backup-agent: ${error instanceof Error ? error.message : error}`,
    );
    return 1;
  } finally {
    rmSync(made, { force: true });
  }
}

async function make(): Promise<string> {
  let obstacle = await compileProgram(bundle, made, permissions);
  obstacle ??= await startFailure();
  if (obstacle === undefined) return "made by deno compile";
  console.log(`deno compile is not possible here: ${obstacle}`);
  if (Deno.build.os !== "linux") throw new Error("the offline packer makes Linux executables only");

  writeFileSync(made, packProgram(readFileSync(bundle), permissions), { mode: 0o755 });
  obstacle = await startFailure();
  if (obstacle !== undefined) throw new Error(obstacle);
  return `made by the offline packer out of deno ${Deno.version.deno}`;
}

/** Why the file just made does not start as our program, or undefined when it does. */
async function startFailure(): Promise<string | undefined> {
  const result = await new Deno.Command(made, {
    args: ["--version"],
    clearEnv: true,
    signal: AbortSignal.timeout(START_WITHIN_MS),
  }).output();
  const output = new TextDecoder().decode(result.stdout);
  if (result.success && output.startsWith("backup-agent")) return undefined;
  const complaint = new TextDecoder().decode(result.stderr).trim() || output.trim();
  return `the file made does not start (exit code ${result.code}): ${complaint}`;
}
