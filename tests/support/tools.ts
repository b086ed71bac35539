/**
 * Which tests can run on this machine. Rule: a test that lacks a tool or a right says so in its own name and is
 * skipped; under CI=true lacking anything is a failure that names it.
 */
import { accessSync, constants } from "node:fs";

/** Set by scripts/test.ts: the tools it could not install, joined by commas. */
export const MISSING_TOOLS_VARIABLE = "BACKUP_AGENT_TEST_MISSING";

const IN_CI = Deno.env.get("CI") === "true";

/** What `Deno.test` takes: `Deno.test({ ...needs("restores with stock restic", "restic"), fn() {…} })`. */
export interface Needs {
  name: string;
  ignore: boolean;
}

/** Not programs but facts about the machine; a test that lacks one is skipped in CI too. */
const FACTS: Record<string, () => boolean> = {
  linux: () => Deno.build.os === "linux",
  root: () => Deno.uid() === 0,
};

/**
 * The name and `ignore` of a test that uses the given programs. `root` stands for being the superuser, `linux` for
 * the operating system.
 */
export function needs(name: string, ...tools: string[]): Needs {
  const facts = tools.filter((tool) => FACTS[tool]?.() === false);
  const programs = tools.filter((tool) => !(tool in FACTS) && findProgram(tool) === undefined);
  const missing = [...facts, ...programs];
  if (missing.length === 0) return { name, ignore: false };
  // In CI a test without its program runs and fails: skipping would hide that nothing was tested.
  return {
    name: `${name} (missing: ${missing.join(", ")})`,
    ignore: facts.length > 0 || !IN_CI,
  };
}

/** The full path of a program on PATH (or in the usual folders of the superuser), or undefined. */
export function findProgram(name: string): string | undefined {
  const declaredMissing = Deno.env.get(MISSING_TOOLS_VARIABLE)?.split(",") ?? [];
  if (declaredMissing.includes(name)) return undefined;
  const folders = (Deno.env.get("PATH") ?? "").split(":").filter((folder) => folder !== "");
  for (const folder of [...folders, "/usr/sbin", "/sbin"]) {
    try {
      accessSync(`${folder}/${name}`, constants.X_OK);
      return `${folder}/${name}`;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}
