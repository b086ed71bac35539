/** The value of every option and where it came from. Rule: flag > environment > file > default, checked by one schema. */
import { dirname, join } from "node:path";
import * as v from "valibot";
import { BackupError } from "../base/errors.ts";
import type { ParsedArguments } from "./arguments.ts";
import { type ConfigValues, parseConfig } from "./config_file.ts";
import { envName, type Option } from "./option.ts";
import { COMMON_FLAGS, type OptionKey, optionOf, type OptionValue } from "./options.ts";
import { readFailure } from "./read_failure.ts";
import { absolutePath, defaultConfigPath, type Surroundings, typedPath } from "./surroundings.ts";

export type SettingSource = "flag" | "environment" | "file" | "default";

export interface Setting<T> {
  value: T;
  source: SettingSource;
  /** The flag, the variable or the file. */
  origin: string;
  /** As it was given: text, or JSON of the file; the default's text for a default. */
  raw: unknown;
  /** Absolute folder that a relative path in the value belongs to. */
  folder: string;
}

export interface Settings {
  /** The setting of one option. A key the command does not take has its default. */
  get<K extends OptionKey>(key: K): Setting<OptionValue<K>>;
  /** Every place in which the option is given, the strongest first; `get` is the first of them. */
  layers<K extends OptionKey>(key: K): Setting<OptionValue<K>>[];
  /** The file that was read; undefined when there is none. */
  configPath: string | undefined;
}

/**
 * Joins all four sources for the given keys; those of `typedOnly` have no environment and no file.
 * @throws {BackupError} `usage` or `config` naming flag, variable or file
 */
export function resolveSettings(
  keys: readonly OptionKey[],
  parsed: Pick<ParsedArguments, "flags" | "configPath">,
  at: Surroundings,
  typedOnly: readonly OptionKey[] = [],
): Settings {
  const file = readConfig(parsed.configPath, at);
  const settings = new Map<OptionKey, Setting<unknown>>();
  for (const key of keys) {
    const row = optionOf(key);
    const typed = fromFlag(row, parsed.flags.get(key), at);
    const set = typedOnly.includes(key)
      ? undefined
      : fromEnvironment(row, at) ?? fromFile(file, key);
    settings.set(key, typed ?? set ?? fromDefault(row, at));
  }
  function layersOf(key: OptionKey): Setting<unknown>[] {
    const row = optionOf(key);
    if (!settings.has(key)) return [];
    const lasting = typedOnly.includes(key)
      ? []
      : [...variablesOf(row).map((name) => fromVariable(row, name, at)), fromFile(file, key)];
    return [fromFlag(row, parsed.flags.get(key), at), ...lasting]
      .filter((setting) => setting !== undefined);
  }
  return {
    get: <K extends OptionKey>(key: K) =>
      (settings.get(key) ?? fromDefault(optionOf(key), at)) as Setting<OptionValue<K>>,
    layers: <K extends OptionKey>(key: K) => layersOf(key) as Setting<OptionValue<K>>[],
    configPath: file?.path,
  };
}

/**
 * The absolute path that a value names; in a file, `~/` stands for the home folder, as no shell has seen it.
 * @throws {BackupError} `usage` for a `~` anywhere else
 */
export function settingPath(
  text: string,
  setting: Pick<Setting<unknown>, "source" | "folder">,
  at: Surroundings,
): string {
  if (setting.source !== "file") return typedPath(text, setting.folder);
  const home = text.startsWith("~/") ? at.home() : undefined;
  return absolutePath(home === undefined ? text : join(home, text.slice(2)), setting.folder);
}

function fromFlag(
  row: Option,
  given: readonly (string | boolean)[] | undefined,
  at: Surroundings,
): Setting<unknown> | undefined {
  if (given === undefined) return undefined;
  const raw = row.repeatable ? given : given[0];
  const origin = `--${row.flag}`;
  return {
    value: check(row, raw, origin, "usage"),
    source: "flag",
    origin,
    raw,
    folder: at.folder,
  };
}

function fromEnvironment(row: Option, at: Surroundings): Setting<unknown> | undefined {
  for (const name of variablesOf(row)) {
    const set = fromVariable(row, name, at);
    if (set !== undefined) return set;
  }
  return undefined;
}

function variablesOf(row: Option): string[] {
  if (!row.lasting) return [];
  return row.envAlias === undefined ? [envName(row)] : [envName(row), row.envAlias];
}

function fromVariable(row: Option, origin: string, at: Surroundings): Setting<unknown> | undefined {
  const text = at.env(origin);
  if (text === undefined) return undefined;
  const isList = row.repeatable && !(row.aliasHoldsOne === true && origin === row.envAlias);
  const raw = isList ? text.split("\n").filter((line) => line !== "") : text;
  const value = check(row, raw, origin, "config");
  return { value, source: "environment", origin, raw, folder: at.folder };
}

function fromFile(
  file: { path: string; values: ConfigValues } | undefined,
  key: OptionKey,
): Setting<unknown> | undefined {
  const found = file?.values[key];
  if (file === undefined || found === undefined) return undefined;
  return { ...found, source: "file", origin: file.path, folder: dirname(file.path) };
}

function fromDefault(row: Option, at: Surroundings): Setting<unknown> {
  const raw = row.defaultText ?? row.defaultValue;
  return { value: row.defaultValue, source: "default", origin: "default", raw, folder: at.folder };
}

function check(row: Option, raw: unknown, origin: string, code: "usage" | "config"): unknown {
  const result = v.safeParse(row.schema, raw);
  if (result.success) return result.output;
  const issue = result.issues[0];
  const wrong = issue.path?.[0]?.value ?? raw;
  const shown = wrong === "" ? "" : `, not ${JSON.stringify(wrong)}`;
  throw new BackupError(code, `${origin} ${issue.message}${shown}`);
}

function readConfig(
  flagPath: string | undefined,
  at: Surroundings,
): { path: string; values: ConfigValues } | undefined {
  const named = flagPath ?? at.env(COMMON_FLAGS.config.env);
  const path = named === undefined ? defaultConfigPath(at) : typedPath(named, at.folder);
  if (path === undefined) return undefined;
  let text: string;
  try {
    text = at.readTextFile(path);
  } catch (error) {
    if (named === undefined && error instanceof Deno.errors.NotFound) return undefined;
    throw new BackupError("config", `Cannot read ${path}: ${readFailure(error)}`, {
      path,
      cause: error,
    });
  }
  return { path, values: parseConfig(text, path) };
}
