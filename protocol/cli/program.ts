/** From the words of a command line to an exit code. Rule: every failure leaves here as one line on stderr. */
import { asBackupError, BackupError } from "../base/errors.ts";
import { parseArguments } from "./arguments.ts";
import type { Command, World } from "./command.ts";
import { errorLine, exitErrorMessage, jsonLine } from "./error_line.ts";
import { exitCodeOf } from "./exit_codes.ts";
import { commandHelp, programHelp } from "./help.ts";
import { nearest } from "./nearest.ts";
import { resolveSettings } from "./settings.ts";

/** The two tables of the program and its version. */
export interface Program {
  version: string;
  commands: readonly Command[];
  /** What `--role` can start, by name. */
  roles: Readonly<Record<string, (words: readonly string[], world: World) => Promise<number>>>;
}

/** Runs one command to its end and returns the exit code; never throws. */
export async function runProgram(
  words: readonly string[],
  program: Program,
  world: World,
): Promise<number> {
  const ends = words.indexOf("--");
  const ownWords = ends < 0 ? words : words.slice(0, ends);
  // What is known before the settings are; they may turn it on later.
  const wanted = { json: ownWords.includes("--json"), verbose: ownWords.includes("--verbose") };
  try {
    return await dispatch(words, program, world, wanted);
  } catch (thrown) {
    const error = asBackupError(thrown);
    if (wanted.json) world.terminal.err(jsonLine(exitErrorMessage(error)));
    else world.terminal.err(`${errorLine(error)}\n`);
    if (error.code === "internal" && wanted.verbose) {
      world.terminal.err(`${String((error.cause as Error | undefined)?.stack ?? error.stack)}\n`);
    }
    return exitCodeOf(error.code);
  }
}

function dispatch(
  words: readonly string[],
  program: Program,
  world: World,
  wanted: { json: boolean; verbose: boolean },
): Promise<number> | number {
  const [first, ...rest] = words;
  if (first === undefined) {
    world.terminal.out(programHelp(program.commands, program.version));
    return 2;
  }
  if (first === "--role" || first.startsWith("--role=")) return startRole(words, program, world);
  if (first === "--help" || first === "-h" || first === "help") return help(rest, program, world);
  if (first === "--version" || first === "version") {
    world.terminal.out(`backup-agent ${program.version}\n`);
    return 0;
  }
  const command = findCommand(first, program);
  const parsed = parseArguments(rest, command.options);
  if (parsed.help) {
    world.terminal.out(commandHelp(command));
    return 0;
  }
  const settings = resolveSettings(command.options, parsed, world.surroundings);
  wanted.json = settings.get("json").value;
  wanted.verbose = settings.get("verbose").value;
  return command.run({ ...world, positionals: parsed.positionals, settings });
}

function startRole(
  words: readonly string[],
  program: Program,
  world: World,
): Promise<number> {
  const name = words[0] === "--role" ? words[1] : words[0]!.slice("--role=".length);
  const role = name !== undefined && Object.hasOwn(program.roles, name)
    ? program.roles[name]
    : undefined;
  if (role !== undefined) return role(words, world);
  const known = Object.keys(program.roles);
  throw new BackupError("usage", `Unknown role ${JSON.stringify(name ?? "")}`, {
    hint: known.length > 0
      ? `Roles: ${known.join(", ")}`
      : "This version runs backups in one process: `backup-agent backup --help`; roles come with the mesh",
  });
}

function help(words: readonly string[], program: Program, world: World): number {
  const name = words.find((word) => !word.startsWith("-"));
  world.terminal.out(
    name === undefined || name === "help"
      ? programHelp(program.commands, program.version)
      : commandHelp(findCommand(name, program)),
  );
  return 0;
}

function findCommand(name: string, program: Program): Command {
  const found = program.commands.find((command) => command.name === name);
  if (found !== undefined) return found;
  const isFlag = name.startsWith("-");
  const names = [...program.commands.map((c) => c.name), "help", "version"];
  const meant = nearest(name, isFlag ? ["--help", "--version", "--role"] : names);
  const others = isFlag ? "Name a command first" : `Commands: ${names.join(", ")}`;
  throw new BackupError("usage", `Unknown ${isFlag ? "option" : "command"} ${name}`, {
    hint: meant === undefined ? others : `Did you mean ${meant}?`,
  });
}
