/**
 * A folder of one test's own, and the program run in it as a user would, from its source. Rule: state, sources and
 * destinations all lie below this folder, and it is gone when the test ends.
 */
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Outcome, type RunningProgram, runProgram, startProgram } from "./run_program.ts";

const ENTRY = fileURLToPath(new URL("../../mod.ts", import.meta.url));
const CONFIG = fileURLToPath(new URL("../../deno.json", import.meta.url));

export interface Call {
  /** Further environment variables. */
  env?: Record<string, string>;
  /** A program and its arguments that start ours, such as `setpriv --…`. */
  before?: string[];
  deadlineMs?: number;
  cwd?: string;
}

export type JsonLine = { message_type: string } & Record<string, unknown>;

export interface JsonOutcome extends Outcome {
  lines: JsonLine[];
  /** The one `summary` line. @throws when there is none */
  summary: JsonLine;
  /** All `error` lines. */
  errors: JsonLine[];
}

export interface Scene extends AsyncDisposable {
  folder: string;
  /** An empty folder named `source`. */
  source: string;
  /** Paths of folders that do not exist yet. */
  one: string;
  two: string;
  stateDir: string;
  /** The program with these very words, in the scene's folder. */
  run(words: readonly string[], call?: Call): Promise<Outcome>;
  start(words: readonly string[], call?: Call): RunningProgram;
  /** `backup WORDS` with the scene's state directory. */
  backup(words: readonly string[], call?: Call): Promise<Outcome>;
  startBackup(words: readonly string[], call?: Call): RunningProgram;
  /** `backup WORDS --json`. */
  backupJson(words: readonly string[], call?: Call): Promise<JsonOutcome>;
}

/** `parent`: where the folder is made; by default the temporary folder. */
export function createScene(parent?: string): Scene {
  const folder = Deno.makeTempDirSync({
    prefix: "main-job-",
    ...(parent === undefined ? {} : { dir: parent }),
  });
  const source = `${folder}/source`;
  const stateDir = `${folder}/state`;
  mkdirSync(source);
  const start = (words: readonly string[], call: Call = {}): RunningProgram => {
    const command = [
      ...(call.before ?? []),
      Deno.execPath(),
      ...["run", "--quiet", "--no-prompt", "-A", "--config", CONFIG, ENTRY],
      ...words,
    ];
    return startProgram(command[0]!, command.slice(1), {
      cwd: call.cwd ?? folder,
      env: { ...environment(folder), ...call.env },
      ...(call.deadlineMs === undefined ? {} : { deadlineMs: call.deadlineMs }),
    });
  };
  const run = async (words: readonly string[], call?: Call): Promise<Outcome> => {
    await using running = start(words, call);
    return await running.outcome;
  };
  const backupWords = (words: readonly string[]) => ["backup", "--state-dir", stateDir, ...words];
  return {
    folder,
    source,
    stateDir,
    one: `${folder}/one`,
    two: `${folder}/two`,
    run,
    start,
    backup: (words, call) => run(backupWords(words), call),
    startBackup: (words, call) => start(backupWords(words), call),
    async backupJson(words, call) {
      const outcome = await run([...backupWords(words), "--json"], call);
      const lines = parseLines(outcome.out);
      const summary = lines.find((line) => line.message_type === "summary");
      return {
        ...outcome,
        lines,
        errors: lines.filter((line) => line.message_type === "error"),
        get summary(): JsonLine {
          if (summary === undefined) throw new Error(`no summary in ${JSON.stringify(outcome)}`);
          return summary;
        },
      };
    },
    async [Symbol.asyncDispose]() {
      // `rm` reaches paths that are longer than one system call can name.
      const { code, err } = await runProgram("/bin/rm", ["-rf", "--one-file-system", folder]);
      if (code !== 0) throw new Error(`cannot delete ${folder}: ${err}`);
    },
  };
}

/** Every line of standard output as JSON. @throws {SyntaxError} when one is not */
export function parseLines(out: string): JsonLine[] {
  return out.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as JsonLine);
}

/** `destinations[n]` of a summary, by its name. */
export function destinationOf(summary: JsonLine, destination: string): Record<string, unknown> {
  const all = summary["destinations"] as Record<string, unknown>[];
  const found = all.find((one) => one["destination"] === destination);
  if (found === undefined) throw new Error(`${destination} is not in ${JSON.stringify(summary)}`);
  return found;
}

/** What a program started from source needs, and a home that is not the user's. */
function environment(home: string): Record<string, string> {
  const denoDir = Deno.env.get("DENO_DIR") ??
    `${Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`}/deno`;
  return {
    HOME: home,
    DENO_DIR: denoDir,
    PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin",
    DENO_NO_UPDATE_CHECK: "1",
  };
}
