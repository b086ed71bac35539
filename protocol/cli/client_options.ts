/** Options of the commands that talk to a coordinator; rows of the one table in `options.ts`. */
import * as v from "valibot";
import { option } from "./option.ts";
import { listOf, namedValue, switchValue, textValue } from "./value_schema.ts";

const optionalText: v.GenericSchema<unknown, string | undefined> = v.optional(textValue);

export const DEFAULT_COORDINATOR_URL = "http://127.0.0.1:8800";

/** `NAME=TEXT`, split. */
export interface NamedText {
  name: string;
  text: string;
}

export const CLIENT_OPTIONS = {
  coordinator: option<string>({
    flag: "coordinator",
    placeholder: "URL",
    schema: textValue,
    defaultValue: DEFAULT_COORDINATOR_URL,
    defaultText: DEFAULT_COORDINATOR_URL,
    help: "Where the coordinator is",
  }),
  tokenFile: option<string | undefined>({
    flag: "token-file",
    placeholder: "FILE",
    schema: optionalText,
    defaultValue: undefined,
    defaultText: "the one in the state folder",
    help: "File with the mesh token, for a mesh of several machines or users",
  }),
  tlsCa: option<string | undefined>({
    flag: "tls-ca",
    placeholder: "FILE",
    schema: optionalText,
    defaultValue: undefined,
    defaultText: "the system's",
    help: "Authority whose certificates others of the mesh serve with (PEM)",
  }),
  detach: option<boolean>({
    flag: "detach",
    lasting: false,
    schema: switchValue,
    defaultValue: false,
    help: "Print the run's id and return at once; the run goes on",
  }),
  follow: option<boolean>({
    flag: "follow",
    short: "f",
    lasting: false,
    schema: switchValue,
    defaultValue: false,
    help: "Show the run until it ends, and end with its exit code; Ctrl-C only stops looking",
  }),
  after: option<NamedText[]>({
    flag: "after",
    placeholder: "NAME=OTHER",
    repeatable: true,
    lasting: false,
    schema: listOf(namedValue),
    defaultValue: [],
    help: "Start the source NAME when OTHER has ended",
  }),
  sequential: option<string[]>({
    flag: "sequential",
    placeholder: "NAME",
    repeatable: true,
    lasting: false,
    schema: listOf(textValue),
    defaultValue: [],
    help: "Copy the source NAME on one agent, one file at a time",
  }),
  parallel: option<string[]>({
    flag: "parallel",
    placeholder: "NAME",
    repeatable: true,
    lasting: false,
    schema: listOf(textValue),
    defaultValue: [],
    help: "Only agents that copy several files at once take the source NAME",
  }),
  requires: option<NamedText[]>({
    flag: "requires",
    placeholder: "NAME=CAPABILITY[,...]",
    repeatable: true,
    lasting: false,
    schema: listOf(namedValue),
    defaultValue: [],
    help:
      "What an agent must offer for the source NAME; compress and encrypt also store it that way",
  }),
  passphraseName: option<string | undefined>({
    flag: "passphrase-name",
    placeholder: "NAME",
    schema: optionalText,
    defaultValue: undefined,
    help: "With --encrypt: the passphrase that the agents know as NAME, from their --secret",
  }),
  passwordName: option<string[]>({
    flag: "password-name",
    placeholder: "NAME",
    repeatable: true,
    schema: listOf(textValue),
    defaultValue: [],
    help:
      "Password of the repositories, by the NAME that the agents know it by, from their --secret; or restic:PATH=NAME for one",
  }),
  identityName: option<string[]>({
    flag: "identity-name",
    placeholder: "NAME",
    repeatable: true,
    schema: listOf(textValue),
    defaultValue: [],
    help: "Secret key, by the NAME that the agents know it by",
  }),
  destination: option<string | undefined>({
    flag: "destination",
    placeholder: "DEST",
    lasting: false,
    schema: optionalText,
    defaultValue: undefined,
    help: "Only this destination of the run",
  }),
  undo: option<boolean>({
    flag: "undo",
    lasting: false,
    schema: switchValue,
    defaultValue: false,
    help: "Give it work again",
  }),
} as const;
