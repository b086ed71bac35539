/** Options that a command takes in one of its uses only. Rule: what would be ignored is refused. */
import { BackupError } from "../base/errors.ts";
import type { CommandCall } from "./command.ts";
import { type OptionKey, optionOf } from "./options.ts";

/** `use` completes "--flag is …". @throws {BackupError} `usage` */
export function refuseFlags(
  { settings }: Pick<CommandCall, "settings">,
  keys: readonly OptionKey[],
  use: string,
): void {
  const typed = keys.find((key) => settings.get(key).source === "flag");
  if (typed !== undefined) throw new BackupError("usage", `--${optionOf(typed).flag} is ${use}`);
}
