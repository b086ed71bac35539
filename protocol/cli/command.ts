/** One command as data plus one call. Rule: dispatcher, parser and help read the same object. */
import type { Clock } from "../base/clock.ts";
import type { ExitCode } from "./exit_codes.ts";
import type { SignalPort } from "./interrupt.ts";
import type { OptionKey } from "./options.ts";
import type { Settings } from "./settings.ts";
import type { Surroundings } from "./surroundings.ts";
import type { Terminal } from "./terminal.ts";

export interface Command {
  readonly name: string;
  /** One sentence without a full stop. */
  readonly summary: string;
  /** The words after the program's name, one form each. */
  readonly synopsis: readonly string[];
  /** Further paragraphs of the help. */
  readonly about: readonly string[];
  readonly options: readonly OptionKey[];
  /** Options that count here only when they are typed: what is set for other commands is not meant. */
  readonly typedOnly?: readonly OptionKey[];
  /** Where an option does something narrower here than in the table of all. */
  readonly optionHelp?: Partial<Record<OptionKey, string>>;
  readonly examples: readonly { says: string; words: string }[];
  readonly exitCodes: readonly ExitCode[];
  /** Where a code means something else here than in the table of all. */
  readonly exitMeanings?: Partial<Record<ExitCode, string>>;
  /** Does the work, prints, and returns the exit code. Throws BackupError for what it cannot start or finish. */
  run(call: CommandCall): Promise<number>;
}

/** What a command gets: its words and the world. */
export interface CommandCall extends World {
  positionals: readonly string[];
  settings: Settings;
}

export interface World {
  surroundings: Surroundings;
  terminal: Terminal;
  signals: SignalPort;
  clock: Clock;
}
