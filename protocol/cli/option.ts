/** One command-line option as data: parser, environment, file, help and `config show` read the same row. */
import type * as v from "valibot";

export interface Option<T = unknown> {
  /** Without the leading dashes. */
  readonly flag: string;
  readonly short?: string;
  /** What stands for the value in the help; absent for a switch. */
  readonly placeholder?: string;
  /** It may stand alone, which means `bare`; a word is its value only when it is one of the choices. */
  readonly words?: { readonly bare: string; readonly choices: readonly string[] };
  /** Given once per value; its setting is a list. */
  readonly repeatable: boolean;
  /** Also read from the environment and the configuration file; false for what belongs to one call only. */
  readonly lasting: boolean;
  /** A switch that is on by default: the help shows `--no-FLAG`. */
  readonly shownNegated: boolean;
  /** A further variable, older or foreign, that is read when our own is not set. */
  readonly envAlias?: string;
  /** Of a list: that variable is one value, whatever it holds; our own has a value a line. */
  readonly aliasHoldsOne?: boolean;
  readonly schema: v.GenericSchema<unknown, T>;
  readonly defaultValue: T;
  /** The default as a person would type it; absent when there is none to show. */
  readonly defaultText?: string;
  readonly help: string;
}

type OptionFacts<T> =
  & Pick<Option<T>, "flag" | "schema" | "defaultValue" | "help">
  & Partial<Option<T>>;

/** A row of the table; not repeatable, lasting and shown as it is unless it says otherwise. */
export function option<T>(facts: OptionFacts<T>): Option<T> {
  return { repeatable: false, lasting: true, shownNegated: false, ...facts };
}

/** The environment variable of an option: `BACKUP_AGENT_` and the flag in capitals. */
export function envName(of: Option): string {
  return `BACKUP_AGENT_${of.flag.toUpperCase().replaceAll("-", "_")}`;
}

export function isSwitch(of: Option): boolean {
  return of.placeholder === undefined;
}
