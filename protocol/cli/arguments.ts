/** The words of a command line as flags and positionals. Rule: an unknown flag is an error that names the nearest one. */
import { parseArgs } from "node:util";
import { BackupError } from "../base/errors.ts";
import { nearest } from "./nearest.ts";
import { isSwitch } from "./option.ts";
import { COMMON_FLAGS, type OptionKey, optionOf } from "./options.ts";

export interface ParsedArguments {
  /** Texts as given; a switch has `true` or `false`. A flag that is not repeatable keeps its last value. */
  flags: Map<OptionKey, (string | boolean)[]>;
  positionals: string[];
  configPath: string | undefined;
  help: boolean;
}

/** Reads the words after the command's name; `--` ends the options. @throws {BackupError} `usage`. */
export function parseArguments(
  words: readonly string[],
  keys: readonly OptionKey[],
): ParsedArguments {
  const byFlag = new Map<string, OptionKey>(keys.map((key) => [optionOf(key).flag, key]));
  const parsed: ParsedArguments = {
    flags: new Map(),
    positionals: [],
    configPath: undefined,
    help: false,
  };
  const { tokens } = parseArgs({
    args: [...words],
    options: parserOptions(keys),
    strict: false,
    tokens: true,
  });
  let taken: unknown;
  for (const [i, token] of tokens.entries()) {
    if (token === taken) continue;
    if (token.kind === "positional") parsed.positionals.push(token.value);
    if (token.kind !== "option") continue;
    const { name, rawName, value } = token;
    if (name === COMMON_FLAGS.help.flag) {
      refuseValue(rawName, value);
      parsed.help = true;
      continue;
    }
    if (name === COMMON_FLAGS.config.flag) {
      parsed.configPath = needValue(rawName, value, token.inlineValue);
      continue;
    }
    const negated = !byFlag.has(name) && name.startsWith("no-");
    const key = byFlag.get(negated ? name.slice(3) : name);
    if (key === undefined || (negated && !isSwitch(optionOf(key)))) {
      throw unknownFlag(rawName, keys);
    }
    const { words } = optionOf(key);
    if (words !== undefined) {
      const next = tokens[i + 1];
      if (
        value === undefined && next?.kind === "positional" && words.choices.includes(next.value)
      ) {
        taken = next;
        parsed.flags.set(key, [next.value]);
      } else parsed.flags.set(key, [value ?? words.bare]);
    } else if (isSwitch(optionOf(key))) {
      refuseValue(rawName, value);
      parsed.flags.set(key, [!negated]);
    } else {
      const given = needValue(rawName, value, token.inlineValue);
      const earlier = optionOf(key).repeatable ? parsed.flags.get(key) ?? [] : [];
      parsed.flags.set(key, [...earlier, given]);
    }
  }
  return parsed;
}

type ParserOptions = Record<string, { type: "string" | "boolean"; short?: string }>;

function parserOptions(keys: readonly OptionKey[]): ParserOptions {
  const options: ParserOptions = {
    config: { type: "string" },
    help: { type: "boolean", short: COMMON_FLAGS.help.short },
  };
  for (const row of keys.map(optionOf)) {
    options[row.flag] = {
      type: isSwitch(row) || row.words !== undefined ? "boolean" : "string",
      ...(row.short === undefined ? {} : { short: row.short }),
    };
  }
  return options;
}

function needValue(
  rawName: string,
  value: string | undefined,
  inline: boolean | undefined,
): string {
  // `--to --limit 8MB` is a forgotten value far more often than a folder named `--limit`.
  const forgotten = value === undefined || (!inline && value.startsWith("-") && value.length > 1);
  if (!forgotten) return value;
  throw new BackupError("usage", `${rawName} needs a value`, {
    hint: `A value that starts with a dash is given as ${rawName}=VALUE`,
  });
}

function refuseValue(rawName: string, value: string | undefined): void {
  if (value === undefined) return;
  throw new BackupError("usage", `${rawName} takes no value`, {
    hint: `Give ${rawName} alone, or --no-${rawName.replace(/^-+/, "")}`,
  });
}

function unknownFlag(rawName: string, keys: readonly OptionKey[]): BackupError {
  const flags = keys.map(optionOf).flatMap((row) =>
    isSwitch(row) ? [`--${row.flag}`, `--no-${row.flag}`] : [`--${row.flag}`]
  );
  const meant = nearest(rawName, [...flags, "--config", "--help"]);
  return new BackupError("usage", `Unknown option ${rawName}`, {
    hint: meant === undefined ? "--help lists all options" : `Did you mean ${meant}?`,
  });
}
