/** Options of the commands on repositories; rows of the one table in `options.ts`. Rule: names and defaults are restic's. */
import * as v from "valibot";
import { option } from "./option.ts";
import {
  choiceValue,
  integerBetween,
  listOf,
  parsed,
  sizeValue,
  snapshotTimeValue,
  switchValue,
  textValue,
} from "./value_schema.ts";

const optionalText: v.GenericSchema<unknown, string | undefined> = v.optional(textValue);

const VERSIONS: Readonly<Record<string, 1 | 2>> = { 1: 1, 2: 2, stable: 2, latest: 2 };

/** -1 is all. */
const countValue = parsed(
  "must be a number, or unlimited",
  (raw) => {
    if (raw === "unlimited" || raw === "-1" || raw === -1) return -1;
    const count = typeof raw === "string" && /^\d{1,9}$/.test(raw) ? Number(raw) : raw;
    return Number.isInteger(count) && (count as number) >= 0 ? count as number : undefined;
  },
);

function keepCount(what: string, help: string) {
  return option<number>({
    flag: `keep-${what}`,
    placeholder: "N",
    schema: countValue,
    defaultValue: 0,
    help,
  });
}

function keepWithin(suffix: string, help: string) {
  return option<string | undefined>({
    flag: `keep-within${suffix}`,
    placeholder: "DURATION",
    schema: v.optional(
      parsed(
        "must be a duration such as 1y5m7d2h",
        (raw) =>
          typeof raw === "string" && /^(?=\d)(\d+y)?(\d+m)?(\d+d)?(\d+h)?$/.test(raw)
            ? raw
            : undefined,
      ),
    ),
    defaultValue: undefined,
    help,
  });
}

export const REPOSITORY_OPTIONS = {
  passwordFile: option<string[]>({
    flag: "password-file",
    placeholder: "FILE",
    repeatable: true,
    envAlias: "RESTIC_PASSWORD_FILE",
    aliasHoldsOne: true,
    schema: listOf(textValue),
    defaultValue: [],
    help:
      "File with the password of the repositories, or restic:PATH=FILE for one; or set RESTIC_PASSWORD",
  }),
  passwordCommand: option<string[]>({
    flag: "password-command",
    placeholder: "COMMAND",
    repeatable: true,
    envAlias: "RESTIC_PASSWORD_COMMAND",
    aliasHoldsOne: true,
    schema: listOf(textValue),
    defaultValue: [],
    help: "Shell command that prints the password, or restic:PATH=COMMAND for one repository",
  }),
  keyHint: option<string[]>({
    flag: "key-hint",
    placeholder: "ID",
    repeatable: true,
    envAlias: "RESTIC_KEY_HINT",
    aliasHoldsOne: true,
    schema: listOf(textValue),
    defaultValue: [],
    help: "Key to try the password on first, or restic:PATH=ID for one repository",
  }),
  fromPasswordFile: option<string | undefined>({
    flag: "from-password-file",
    placeholder: "FILE",
    envAlias: "RESTIC_FROM_PASSWORD_FILE",
    schema: optionalText,
    defaultValue: undefined,
    help: "The same for a second repository with another password",
  }),
  fromPasswordCommand: option<string | undefined>({
    flag: "from-password-command",
    placeholder: "COMMAND",
    envAlias: "RESTIC_FROM_PASSWORD_COMMAND",
    schema: optionalText,
    defaultValue: undefined,
    help: "The same for a second repository with another password",
  }),
  newPasswordFile: option<string | undefined>({
    flag: "new-password-file",
    placeholder: "FILE",
    lasting: false,
    schema: optionalText,
    defaultValue: undefined,
    help: "File with the new password; without it a person is asked",
  }),
  user: option<string | undefined>({
    flag: "user",
    placeholder: "NAME",
    lasting: false,
    schema: optionalText,
    defaultValue: undefined,
    help: "User name to note in the new key",
  }),
  /** The flag of a role means another host; no command takes both, and this one has no variable of its own. */
  snapshotHost: option<string[]>({
    flag: "host",
    placeholder: "HOST",
    repeatable: true,
    lasting: false,
    schema: listOf(textValue),
    defaultValue: [],
    help: "Only snapshots of this host",
  }),
  tag: option<string[]>({
    flag: "tag",
    placeholder: "TAG[,TAG]",
    repeatable: true,
    schema: listOf(textValue),
    defaultValue: [],
    help: "Only snapshots that have all these tags",
  }),
  time: option<string | undefined>({
    flag: "time",
    placeholder: "TIME",
    lasting: false,
    schema: v.optional(snapshotTimeValue),
    defaultValue: undefined,
    defaultText: "now",
    help: "Time to note in the snapshot, as in '2026-11-01 22:08:41'",
  }),
  compression: option<"auto" | "off" | "max">({
    flag: "compression",
    placeholder: "MODE",
    envAlias: "RESTIC_COMPRESSION",
    schema: choiceValue(["auto", "off", "max"]),
    defaultValue: "auto",
    defaultText: "auto",
    help: "How a repository compresses: auto, off or max",
  }),
  path: option<string[]>({
    flag: "path",
    placeholder: "PATH",
    repeatable: true,
    lasting: false,
    schema: listOf(textValue),
    defaultValue: [],
    help: "Only snapshots of this path",
  }),
  snapshot: option<string | undefined>({
    flag: "snapshot",
    placeholder: "ID",
    lasting: false,
    schema: optionalText,
    defaultValue: undefined,
    defaultText: "latest",
    help: "Snapshot by the beginning of its id, or latest; ID:/folder is only that folder of it",
  }),
  include: option<string[]>({
    flag: "include",
    placeholder: "PATTERN",
    repeatable: true,
    lasting: false,
    schema: listOf(textValue),
    defaultValue: [],
    help: "Only what matches, in gitignore grammar, and all below it",
  }),
  sparse: option<boolean>({
    flag: "sparse",
    lasting: false,
    schema: switchValue,
    defaultValue: false,
    help: "Zeros become holes",
  }),
  readData: option<boolean>({
    flag: "read-data",
    lasting: false,
    schema: switchValue,
    defaultValue: false,
    help: "Read every pack and check every blob in it",
  }),
  readDataSubset: option<string | undefined>({
    flag: "read-data-subset",
    placeholder: "PART",
    lasting: false,
    schema: optionalText,
    defaultValue: undefined,
    help: "Read only n/t (the n-th of t parts), x% or a size such as 500M, chosen by chance",
  }),
  latest: option<number | undefined>({
    flag: "latest",
    placeholder: "N",
    lasting: false,
    schema: v.optional(integerBetween(1, 1_000_000)),
    defaultValue: undefined,
    help: "Only the newest N of each host and paths",
  }),
  keepLast: keepCount("last", "Keep the newest N snapshots; a number or unlimited, here and below"),
  keepHourly: keepCount("hourly", "Keep the newest of N hours"),
  keepDaily: keepCount("daily", "Keep the newest of N days"),
  keepWeekly: keepCount("weekly", "Keep the newest of N weeks"),
  keepMonthly: keepCount("monthly", "Keep the newest of N months"),
  keepYearly: keepCount("yearly", "Keep the newest of N years"),
  keepWithin: keepWithin("", "Keep all within DURATION, such as 1y5m7d2h, before the newest"),
  keepWithinHourly: keepWithin("-hourly", "Keep the newest of every hour within DURATION"),
  keepWithinDaily: keepWithin("-daily", "Keep the newest of every day within DURATION"),
  keepWithinWeekly: keepWithin("-weekly", "Keep the newest of every week within DURATION"),
  keepWithinMonthly: keepWithin("-monthly", "Keep the newest of every month within DURATION"),
  keepWithinYearly: keepWithin("-yearly", "Keep the newest of every year within DURATION"),
  keepTag: option<string[]>({
    flag: "keep-tag",
    placeholder: "TAG[,TAG]",
    repeatable: true,
    schema: listOf(textValue),
    defaultValue: [],
    help: "Keep what has all these tags",
  }),
  groupBy: option<string>({
    flag: "group-by",
    placeholder: "WHAT",
    schema: parsed(
      "must be host, paths and tags, or some of them with commas between",
      (raw) =>
        typeof raw === "string" && /^((host|paths?|tags?)(,(host|paths?|tags?))*)?$/.test(raw)
          ? raw
          : undefined,
    ),
    defaultValue: "host,paths",
    defaultText: "host,paths",
    help: "What snapshots that are judged together have in common; '' for nothing",
  }),
  prune: option<boolean>({
    flag: "prune",
    schema: switchValue,
    defaultValue: false,
    help: "Also remove the data that no snapshot needs any more",
  }),
  maxUnused: option<string>({
    flag: "max-unused",
    placeholder: "LIMIT",
    schema: parsed(
      "must be a percentage, a size such as 500M, or unlimited",
      (raw) =>
        typeof raw === "string" && /^(unlimited|\d+(\.\d+)?%|\d+(\.\d+)?\s*[kmgt]?i?b?)$/i.test(raw)
          ? raw
          : undefined,
    ),
    defaultValue: "5%",
    defaultText: "5%",
    help: "Unused data that may stay, so that less is written anew",
  }),
  maxRepackSize: option<number | undefined>({
    flag: "max-repack-size",
    placeholder: "SIZE",
    schema: v.optional(sizeValue(0, "0")),
    defaultValue: undefined,
    help: "Write no more than this anew in one run",
  }),
  removeAll: option<boolean>({
    flag: "remove-all",
    lasting: false,
    schema: switchValue,
    defaultValue: false,
    help: "Remove all locks, also those that somebody may hold",
  }),
  unsafeAllowRemoveAll: option<boolean>({
    flag: "unsafe-allow-remove-all",
    lasting: false,
    schema: switchValue,
    defaultValue: false,
    help: "Go on where the rules would keep no snapshot of a host and paths",
  }),
  repositoryVersion: option<1 | 2>({
    flag: "repository-version",
    placeholder: "N",
    lasting: false,
    schema: parsed("must be 1, 2, stable or latest", (raw) => VERSIONS[String(raw)]),
    defaultValue: 2,
    defaultText: "2",
    help: "Version of the format; 1 for restic before 0.14, without compression",
  }),
  noLock: option<boolean>({
    flag: "no-lock",
    lasting: false,
    schema: switchValue,
    defaultValue: false,
    help: "Do not lock the repository, for one that cannot be written",
  }),
} as const;
