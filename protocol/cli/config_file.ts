/** The configuration file. Rule: one strict schema made from the option table; a typo names its key and the file. */
import * as v from "valibot";
import { BackupError } from "../base/errors.ts";
import { parseJsonc } from "./jsonc.ts";
import { nearest } from "./nearest.ts";
import { OPTION_KEYS, type OptionKey, optionOf } from "./options.ts";

const LASTING_KEYS = OPTION_KEYS.filter((key) => optionOf(key).lasting);

/** Every setting that may stand in a file; all are optional, nothing else is allowed. */
const ConfigFile = v.pipe(
  v.unknown(),
  v.check((raw) => !Array.isArray(raw), "must be an object in braces"),
  v.strictObject(
    Object.fromEntries(LASTING_KEYS.map((key) => [key, v.optional(optionOf(key).schema)])),
    "must be an object in braces",
  ),
);

/** The settings of a file: parsed, and as they stand there. */
export type ConfigValues = Partial<Record<OptionKey, { value: unknown; raw: unknown }>>;

/** Reads the text of the file at `path`. @throws {BackupError} `config` naming file and key. */
export function parseConfig(text: string, path: string): ConfigValues {
  const raw = parseText(text, path);
  const result = v.safeParse(ConfigFile, raw);
  if (!result.success) throw explain(result.issues[0], path);
  const values: ConfigValues = {};
  for (const key of LASTING_KEYS) {
    const value = (result.output as Record<string, unknown>)[key];
    if (value !== undefined) values[key] = { value, raw: (raw as Record<string, unknown>)[key] };
  }
  return values;
}

function parseText(text: string, path: string): unknown {
  try {
    return parseJsonc(text);
  } catch (error) {
    throw new BackupError("config", `${path}: not valid JSON: ${(error as Error).message}`, {
      path,
    });
  }
}

function explain(issue: v.BaseIssue<unknown>, path: string): BackupError {
  const key = issue.path?.[0]?.key;
  if (key === undefined) return new BackupError("config", `${path}: ${issue.message}`, { path });
  const name = JSON.stringify(key);
  if (issue.type !== "strict_object") {
    return new BackupError("config", `${path}: ${name} ${issue.message}`, { path });
  }
  const meant = nearest(String(key), LASTING_KEYS);
  return new BackupError("config", `${path}: unknown key ${name}`, {
    path,
    hint: meant === undefined
      ? "`backup-agent config show` lists all keys"
      : `Did you mean "${meant}"?`,
  });
}
