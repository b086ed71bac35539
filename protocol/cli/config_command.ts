/** `config show`: every setting with its value and the place it comes from. */
import { BackupError } from "../base/errors.ts";
import type { Command, CommandCall } from "./command.ts";
import { jsonLine } from "./error_line.ts";
import { OPTION_KEYS, type OptionKey, optionOf } from "./options.ts";
import type { Setting } from "./settings.ts";
import { visibleText } from "./visible_text.ts";

const SHOWN_KEYS: readonly OptionKey[] = OPTION_KEYS.filter((key) => optionOf(key).lasting);

export const configCommand: Command = {
  name: "config",
  summary: "Show every setting, its value and where it comes from",
  synopsis: ["config show [OPTIONS]"],
  about: [
    "A flag wins over an environment variable, that over the configuration file, that over the default. " +
    "A list given in one place replaces the list of the next. The file is JSON, with comments if you like; " +
    'its keys are those shown here, for example { "to": ["/mnt/ssd"], "workers": 4 }. In it, relative paths start at the ' +
    "file's folder and ~/ is your home.",
  ],
  options: SHOWN_KEYS,
  examples: [
    { says: "what a backup started here would use", words: "config show" },
    { says: "for a script", words: "config show --json" },
  ],
  exitCodes: [0, 2],
  run: (call) => Promise.resolve(showConfig(call)),
};

function showConfig({ positionals, settings, terminal }: CommandCall): number {
  if (positionals.length !== 1 || positionals[0] !== "show") {
    throw new BackupError("usage", "config needs the word show", {
      hint: "Try: backup-agent config show",
    });
  }
  const rows = SHOWN_KEYS.map((key) => ({ key, setting: settings.get(key) as Setting<unknown> }));
  if (settings.get("json").value) {
    const shown = rows.map(({ key, setting: { value, source, origin, raw } }) => [
      key,
      { value: value ?? null, source, origin, given: raw ?? null },
    ]);
    terminal.out(
      jsonLine({ config_file: settings.configPath ?? null, settings: Object.fromEntries(shown) }),
    );
    return 0;
  }
  terminal.out(`configuration file: ${settings.configPath ?? "none"}\n`);
  const keyColumns = Math.max(...SHOWN_KEYS.map((key) => key.length));
  const values = rows.map(({ setting }) => visibleText(asText(setting.raw)));
  const valueColumns = Math.min(40, Math.max(...values.map((value) => value.length)));
  for (const [i, { key, setting }] of rows.entries()) {
    const origin = setting.source === "default" ? "" : ` ${setting.origin}`;
    terminal.out(
      `${key.padEnd(keyColumns)}  ${values[i]!.padEnd(valueColumns)}  ${setting.source}${
        visibleText(origin)
      }\n`,
    );
  }
  return 0;
}

function asText(raw: unknown): string {
  if (raw === undefined) return "-";
  if (Array.isArray(raw)) return raw.length === 0 ? "-" : raw.map(asText).join(", ");
  return typeof raw === "string" ? raw : JSON.stringify(raw);
}
