/** Options of the commands on repositories; rows of the one table in `options.ts`. Rule: names and defaults are restic's. */
import * as v from "valibot";
import { option } from "./option.ts";
import { listOf, switchValue, textValue } from "./value_schema.ts";

const optionalText: v.GenericSchema<unknown, string | undefined> = v.optional(textValue);

export const REPOSITORY_OPTIONS = {
  passwordFile: option<string | undefined>({
    flag: "password-file",
    placeholder: "FILE",
    envAlias: "RESTIC_PASSWORD_FILE",
    schema: optionalText,
    defaultValue: undefined,
    help: "File with the repository's password; or set RESTIC_PASSWORD",
  }),
  passwordCommand: option<string | undefined>({
    flag: "password-command",
    placeholder: "COMMAND",
    envAlias: "RESTIC_PASSWORD_COMMAND",
    schema: optionalText,
    defaultValue: undefined,
    help: "Shell command that prints the repository's password",
  }),
  keyHint: option<string | undefined>({
    flag: "key-hint",
    placeholder: "ID",
    envAlias: "RESTIC_KEY_HINT",
    schema: optionalText,
    defaultValue: undefined,
    help: "Key to try the password on first",
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
  host: option<string[]>({
    flag: "host",
    placeholder: "HOST",
    repeatable: true,
    envAlias: "RESTIC_HOST",
    schema: listOf(textValue),
    defaultValue: [],
    help: "Only snapshots of this host; for a backup the name to note instead of this machine's",
  }),
  tag: option<string[]>({
    flag: "tag",
    placeholder: "TAG[,TAG]",
    repeatable: true,
    schema: listOf(textValue),
    defaultValue: [],
    help: "Only snapshots that have all these tags; for a backup the tags to give",
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
  noLock: option<boolean>({
    flag: "no-lock",
    lasting: false,
    schema: switchValue,
    defaultValue: false,
    help: "Do not lock the repository, for one that cannot be written",
  }),
} as const;
