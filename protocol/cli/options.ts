/**
 * Every option of every command, by its key in the configuration file. Rule: one table; a command only lists the keys it
 * takes, so one name never means two things.
 */
import { type Option, option } from "./option.ts";
import {
  choiceValue,
  durationValue,
  integerBetween,
  listOf,
  percentValue,
  type PriorityRule,
  priorityValue,
  rateLimitValue,
  sizeValue,
  switchValue,
  textValue,
} from "./value_schema.ts";
import type { RateLimit } from "./quantity.ts";
import * as v from "valibot";
import { CLIENT_OPTIONS } from "./client_options.ts";
import { REPOSITORY_OPTIONS } from "./repository_options.ts";
import { ROLE_OPTIONS } from "./role_options.ts";

const DEFAULT_TIMEOUT_MS = 60_000;
const DEFAULT_BUFFER_BYTES = 32 << 20;
const MIN_BUFFER_BYTES = 16 << 20;

/** When a restore replaces what stands in its way; restic's words. */
export const OVERWRITE_RULES = ["always", "if-changed", "if-newer", "never"] as const;
export type OverwriteRule = (typeof OVERWRITE_RULES)[number];

const optionalText: v.GenericSchema<unknown, string | undefined> = v.optional(textValue);

export const OPTIONS = {
  to: option<string[]>({
    flag: "to",
    placeholder: "DEST",
    repeatable: true,
    envAlias: "BACKUP_DEST",
    schema: listOf(textValue),
    defaultValue: [],
    help:
      "Folder for copies, or restic:PATH for a repository; repeat for more, all are filled at once",
  }),
  from: option<string[]>({
    flag: "from",
    placeholder: "DEST",
    repeatable: true,
    lasting: false,
    schema: listOf(textValue),
    defaultValue: [],
    help: "Destination to read from; repeat for more, which give what is damaged or missing there",
  }),
  target: option<string | undefined>({
    flag: "target",
    placeholder: "DIR",
    lasting: false,
    schema: optionalText,
    defaultValue: undefined,
    help:
      "Folder to restore into, as DIR/NAME for each copy; for one version also a new file's name",
  }),
  overwrite: option<OverwriteRule | undefined>({
    flag: "overwrite",
    placeholder: "WHEN",
    words: { bare: "always", choices: OVERWRITE_RULES },
    lasting: false,
    schema: v.optional(choiceValue(OVERWRITE_RULES)),
    defaultValue: undefined,
    help: "Replace what stands there and differs: always, if-changed, if-newer or never",
  }),
  withGone: option<boolean>({
    flag: "with-gone",
    lasting: false,
    schema: switchValue,
    defaultValue: false,
    help: "Also what the source had lost and the destination kept",
  }),
  recursive: option<boolean>({
    flag: "recursive",
    short: "R",
    lasting: false,
    schema: switchValue,
    defaultValue: false,
    help: "Everything below, not only what is directly in it",
  }),
  ignoreCase: option<boolean>({
    flag: "ignore-case",
    short: "i",
    lasting: false,
    schema: switchValue,
    defaultValue: false,
    help: "Capital and small letters are the same",
  }),
  sample: option<number>({
    flag: "sample",
    placeholder: "N%",
    schema: percentValue,
    defaultValue: 5,
    defaultText: "5%",
    help: "So many of a hundred files, chosen by chance; at least one of each copy",
  }),
  scratch: option<string | undefined>({
    flag: "scratch",
    placeholder: "DIR",
    schema: optionalText,
    defaultValue: undefined,
    defaultText: "$TMPDIR or /tmp",
    help: "Where the sample is restored to and removed again",
  }),
  as: option<string | undefined>({
    flag: "as",
    placeholder: "NAME",
    lasting: false,
    schema: optionalText,
    defaultValue: undefined,
    help: "Name of the copy at the destinations instead of the source's own; with one SOURCE only",
  }),
  limit: option<RateLimit[]>({
    flag: "limit",
    placeholder: "[DEST=]RATE",
    repeatable: true,
    schema: listOf(rateLimitValue),
    defaultValue: [],
    help: "Bytes per second written and read back, such as 8MB, for DEST or for each destination",
  }),
  exclude: option<string[]>({
    flag: "exclude",
    placeholder: "PATTERN",
    repeatable: true,
    schema: listOf(textValue),
    defaultValue: [],
    help: "Leave out what matches, in gitignore grammar; nothing is left out by default",
  }),
  excludeFile: option<string[]>({
    flag: "exclude-file",
    placeholder: "FILE",
    repeatable: true,
    schema: listOf(textValue),
    defaultValue: [],
    help: "File of such patterns, one a line",
  }),
  excludeCaches: option<boolean>({
    flag: "exclude-caches",
    schema: switchValue,
    defaultValue: false,
    help: "Leave out the content of folders marked by a CACHEDIR.TAG",
  }),
  ignoreFiles: option<boolean>({
    flag: "ignore-files",
    shownNegated: true,
    schema: switchValue,
    defaultValue: true,
    help: "Copy also what .backupignore files in the source leave out",
  }),
  oneFileSystem: option<boolean>({
    flag: "one-file-system",
    schema: switchValue,
    defaultValue: false,
    help: "Do not enter folders where another file system is mounted",
  }),
  priority: option<PriorityRule[]>({
    flag: "priority",
    placeholder: "PATTERN=LEVEL",
    repeatable: true,
    schema: listOf(priorityValue),
    defaultValue: [],
    help:
      "Copy matching files earlier or later: low, normal, high, critical; the last match counts",
  }),
  order: option<"priority" | "fifo">({
    flag: "order",
    placeholder: "ORDER",
    schema: choiceValue(["priority", "fifo"]),
    defaultValue: "priority",
    defaultText: "priority",
    help: "priority: levels, then small files first; fifo: as found",
  }),
  verify: option<"new" | "all">({
    flag: "verify",
    placeholder: "WHAT",
    words: { bare: "all", choices: ["new", "all"] },
    schema: choiceValue(["new", "all"]),
    defaultValue: "new",
    defaultText: "new",
    help: "new: read back what was copied; all: unchanged files too",
  }),
  compress: option<boolean>({
    flag: "compress",
    schema: switchValue,
    defaultValue: false,
    help: "Store files as NAME.zst, which stock zstd -d reads",
  }),
  encrypt: option<boolean>({
    flag: "encrypt",
    schema: switchValue,
    defaultValue: false,
    help: "Store files as NAME.age, for a passphrase or recipients; names stay readable",
  }),
  recipient: option<string[]>({
    flag: "recipient",
    placeholder: "KEY",
    repeatable: true,
    schema: listOf(textValue),
    defaultValue: [],
    help: "Public key (age1...) of who may read encrypted copies; age-keygen makes one",
  }),
  recipientsFile: option<string[]>({
    flag: "recipients-file",
    placeholder: "FILE",
    repeatable: true,
    schema: listOf(textValue),
    defaultValue: [],
    help: "File of such keys, one a line",
  }),
  reencrypt: option<boolean>({
    flag: "reencrypt",
    lasting: false,
    schema: switchValue,
    defaultValue: false,
    help: "Encrypt again what is still encrypted for earlier recipients",
  }),
  identity: option<string[]>({
    flag: "identity",
    placeholder: "FILE",
    repeatable: true,
    schema: listOf(textValue),
    defaultValue: [],
    help: "File with the secret key of encrypted copies, as age-keygen -o writes it",
  }),
  passphraseFile: option<string | undefined>({
    flag: "passphrase-file",
    placeholder: "FILE",
    schema: optionalText,
    defaultValue: undefined,
    help: "File with the passphrase of encrypted copies; or set BACKUP_AGENT_PASSPHRASE",
  }),
  passphraseCommand: option<string | undefined>({
    flag: "passphrase-command",
    placeholder: "COMMAND",
    schema: optionalText,
    defaultValue: undefined,
    help: "Shell command that prints the passphrase, such as that of a password manager",
  }),
  mhl: option<boolean>({
    flag: "mhl",
    schema: switchValue,
    defaultValue: false,
    help: "Add an ASC MHL manifest, with XXH64 of every file, to each copy",
  }),
  delete: option<boolean>({
    flag: "delete",
    schema: switchValue,
    defaultValue: false,
    help: "Remove from each copy, once it is verified, what its source does not have any more",
  }),
  deleteAnyway: option<boolean>({
    flag: "delete-anyway",
    lasting: false,
    schema: switchValue,
    defaultValue: false,
    help: "Delete also when the source is empty or more than half of a copy would go",
  }),
  keepVersions: option<number>({
    flag: "keep-versions",
    placeholder: "N",
    schema: integerBetween(0, 10_000),
    defaultValue: 0,
    defaultText: "0",
    help: "Keep N earlier versions of files that are replaced or deleted; 0 adds and removes none",
  }),
  at: option<string | undefined>({
    flag: "at",
    placeholder: "DEST",
    lasting: false,
    schema: optionalText,
    defaultValue: undefined,
    help: "Destination to look at",
  }),
  restore: option<string | undefined>({
    flag: "restore",
    placeholder: "TIME",
    lasting: false,
    schema: optionalText,
    defaultValue: undefined,
    help: "Write the version of TIME, or the latest one, to --target",
  }),
  workers: option<number>({
    flag: "workers",
    placeholder: "N",
    schema: integerBetween(1, 8),
    defaultValue: 8,
    defaultText: "8",
    help: "Most threads serving one destination, 1 to 8; fewer run when more do not pay",
  }),
  attempts: option<number>({
    flag: "attempts",
    placeholder: "N",
    schema: integerBetween(1, 10),
    defaultValue: 3,
    defaultText: "3",
    help: "Attempts in all for one file at one destination, 1 to 10",
  }),
  timeout: option<number>({
    flag: "timeout",
    placeholder: "DURATION",
    schema: durationValue(100, "100ms"),
    defaultValue: DEFAULT_TIMEOUT_MS,
    defaultText: "60s",
    help: "Give up a disk operation that takes longer",
  }),
  buffer: option<number>({
    flag: "buffer",
    placeholder: "SIZE",
    schema: sizeValue(MIN_BUFFER_BYTES, "16MiB"),
    defaultValue: DEFAULT_BUFFER_BYTES,
    defaultText: "32MiB",
    help: "Memory for data on its way, shared by all destinations",
  }),
  wait: option<number>({
    flag: "wait",
    placeholder: "DURATION",
    schema: durationValue(0, "0"),
    defaultValue: 0,
    defaultText: "0",
    help: "Wait so long for a destination that another run is using",
  }),
  init: option<boolean>({
    flag: "init",
    lasting: false,
    schema: switchValue,
    defaultValue: false,
    help: "Take a known destination whose marker is gone as a new one",
  }),
  dryRun: option<boolean>({
    flag: "dry-run",
    short: "n",
    lasting: false,
    schema: switchValue,
    defaultValue: false,
    help: "Show what would be copied, with sizes; write nothing",
  }),
  repairFrom: option<string[]>({
    flag: "repair-from",
    placeholder: "OTHER",
    repeatable: true,
    lasting: false,
    schema: listOf(textValue),
    defaultValue: [],
    help: "Put right what is damaged or missing from this other destination; repeat for more",
  }),
  json: option<boolean>({
    flag: "json",
    schema: switchValue,
    defaultValue: false,
    help: "JSON lines on stdout instead of text",
  }),
  quiet: option<boolean>({
    flag: "quiet",
    short: "q",
    schema: switchValue,
    defaultValue: false,
    help: "Print errors only",
  }),
  verbose: option<boolean>({
    flag: "verbose",
    short: "v",
    schema: switchValue,
    defaultValue: false,
    help: "Print more detail",
  }),
  stateDir: option<string | undefined>({
    flag: "state-dir",
    placeholder: "DIR",
    schema: optionalText,
    defaultValue: undefined,
    defaultText: "$XDG_STATE_HOME/backup-agent",
    help: "Where runs and known destinations are remembered",
  }),
  ...REPOSITORY_OPTIONS,
  ...CLIENT_OPTIONS,
  ...ROLE_OPTIONS,
} as const satisfies Record<string, Option>;

export type OptionKey = keyof typeof OPTIONS;
export type OptionValue<K extends OptionKey> = (typeof OPTIONS)[K]["defaultValue"];
export const OPTION_KEYS = Object.keys(OPTIONS) as OptionKey[];

/** The row of a key, as a general option. */
export function optionOf(key: OptionKey): Option {
  return OPTIONS[key];
}

/** Flags every command takes; they choose what is read or printed and are no settings. */
export const COMMON_FLAGS = {
  config: {
    flag: "config",
    placeholder: "FILE",
    env: "BACKUP_AGENT_CONFIG",
    help: "Configuration file (JSON, comments allowed)",
    defaultText: "$XDG_CONFIG_HOME/backup-agent/config.json",
  },
  help: { flag: "help", short: "h", help: "Show this help" },
} as const;
