/** Runs a few lines of TypeScript in a process of their own, whose permissions and rights are the test's to choose. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Outcome, runProgram } from "./run_program.ts";
import { findProgram } from "./tools.ts";

const CONFIG = fileURLToPath(new URL("../../deno.json", import.meta.url));

export interface ScriptOptions {
  /** Deno's permissions; default all. */
  permissions?: string[];
  env?: Record<string, string>;
  /** Without the superuser's rights over other people's files; needs setpriv when we are root. */
  unprivileged?: boolean;
}

/** Runs `source` to its end; it imports our modules by absolute URL. Nothing is type-checked. */
export async function runScript(source: string, options: ScriptOptions = {}): Promise<Outcome> {
  const folder = Deno.makeTempDirSync({ prefix: "script-" });
  const script = join(folder, "main.ts");
  Deno.writeTextFileSync(script, source);
  const command = [
    ...(options.unprivileged && Deno.uid() === 0 ? withoutRights() : []),
    Deno.execPath(),
    ...["run", "--quiet", "--no-prompt", "--no-check", "--config", CONFIG],
    ...(options.permissions ?? ["-A"]),
    script,
  ];
  try {
    return await runProgram(command[0]!, command.slice(1), {
      env: { DENO_DIR: join(folder, "deno"), DENO_NO_UPDATE_CHECK: "1", ...options.env },
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Still user 0, and so able to read the checkout, but bound by file modes like everybody else. */
function withoutRights(): string[] {
  const setpriv = findProgram("setpriv");
  if (setpriv === undefined) throw new Error("setpriv is not installed");
  return [setpriv, "--bounding-set=-all", "--inh-caps=-all"];
}
