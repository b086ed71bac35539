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
  roles: Readonly<Record<string, Command>>;
  /** What no words at all start; the help when there is nothing. */
  start?: Command;
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
  const role = roleOf(words, program);
  if (role !== undefined) return runCommand(role.command, role.words, world, wanted);
  const [first, ...rest] = words;
  if (first === undefined) {
    if (program.start !== undefined) return runCommand(program.start, [], world, wanted);
    world.terminal.out(programHelp(program));
    return 2;
  }
  if (first === "--help" || first === "-h" || first === "help") return help(rest, program, world);
  if (first === "--version" || first === "version") {
    world.terminal.out(`backup-agent ${program.version}\n`);
    return 0;
  }
  return runCommand(findCommand(first, program), rest, world, wanted);
}

function runCommand(
  command: Command,
  words: readonly string[],
  world: World,
  wanted: { json: boolean; verbose: boolean },
): Promise<number> | number {
  const parsed = parseArguments(words, command.options);
  if (parsed.help) {
    world.terminal.out(commandHelp(command));
    return 0;
  }
  const { options, typedOnly } = command;
  const settings = resolveSettings(options, parsed, world.surroundings, typedOnly);
  wanted.json = settings.get("json").value;
  wanted.verbose = settings.get("verbose").value;
  return command.run({ ...world, positionals: parsed.positionals, settings });
}

/** The role that flags alone ask for, `--role NAME` anywhere among them, with the other words. */
function roleOf(
  words: readonly string[],
  program: Program,
): { command: Command; words: string[] } | undefined {
  if (words[0]?.startsWith("-") !== true) return undefined;
  const at = words.findIndex((word) => word === "--role" || word.startsWith("--role="));
  if (at < 0) return undefined;
  const isJoined = words[at] !== "--role";
  const name = isJoined ? words[at]!.slice("--role=".length) : words[at + 1];
  const command = name !== undefined && Object.hasOwn(program.roles, name)
    ? program.roles[name]
    : undefined;
  const known = Object.keys(program.roles);
  if (command === undefined) {
    throw new BackupError("usage", `Unknown role ${JSON.stringify(name ?? "")}`, {
      hint: `Roles: ${known.join(", ")}`,
    });
  }
  return { command, words: [...words.slice(0, at), ...words.slice(at + (isJoined ? 1 : 2))] };
}

function help(words: readonly string[], program: Program, world: World): number {
  const name = words.find((word) => !word.startsWith("-"));
  world.terminal.out(
    name === undefined || name === "help"
      ? programHelp(program)
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
