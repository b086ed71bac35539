/**
 * Options that are for all repositories of a command, or `restic:PATH=VALUE` for one of them. Rule: only what the command names
 * can be meant, so that a path may have `=` in it; what is for one wins over what is for all, wherever each is given.
 */
import { join } from "node:path";
import { BackupError } from "../base/errors.ts";
import { nearest } from "./nearest.ts";
import { type OptionKey, optionOf } from "./options.ts";
import {
  isRepositoryAddress,
  parseRepositoryAddress,
  REPOSITORY_PREFIX,
  type RepositoryAddress,
} from "./repository_address.ts";
import type { Setting, Settings } from "./settings.ts";
import type { Surroundings } from "./surroundings.ts";

/** Options with this grammar. */
export type ForRepositoryKey = "passwordFile" | "passwordCommand" | "passwordName" | "keyHint";

export interface ForRepository {
  /** Absolute path of the one that it is for; undefined: for all. */
  path: string | undefined;
  value: string;
  /** Where it is given. */
  setting: Setting<string[]>;
}

/**
 * Every value, the strongest place first, and in one place the later first. What is kept in a variable or a file and names
 * no repository of the command is for another call. @throws {BackupError} `usage`, `config`
 */
export function valuesForRepositories(
  settings: Settings,
  key: ForRepositoryKey,
  at: Surroundings,
  named: readonly RepositoryAddress[],
): ForRepository[] {
  return settings.layers(key).flatMap((setting) => {
    const found = setting.value.map((text): ForRepository | undefined => {
      if (!isRepositoryAddress(text)) return { path: undefined, value: text, setting };
      const split = splitAt(text, setting, at, named);
      if (split !== undefined) return { ...split, setting };
      if (setting.source === "flag") throw unmatched(key, text, named);
      return undefined;
    }).filter((one) => one !== undefined);
    const forAll = found.filter(({ path }) => path === undefined);
    if (forAll.length > 1 && setting.source !== "flag") {
      throw new BackupError("config", `${setting.origin} has more than one value for all`, {
        hint: `One value a line; for a single repository ${REPOSITORY_PREFIX}PATH=VALUE`,
      });
    }
    return found.reverse();
  });
}

/** What is for this repository: its own, else what is for all. */
export function valueForRepository(
  values: readonly ForRepository[],
  path: string,
): ForRepository | undefined {
  return values.find((one) => one.path === path) ?? values.find((one) => one.path === undefined);
}

/** The longest beginning that is one of the repositories. */
function splitAt(
  text: string,
  setting: Setting<unknown>,
  at: Surroundings,
  named: readonly RepositoryAddress[],
): { path: string; value: string } | undefined {
  for (let end = text.lastIndexOf("="); end > 0; end = text.lastIndexOf("=", end - 1)) {
    const path = pathOf(text.slice(0, end), setting, at);
    const value = text.slice(end + 1);
    if (value !== "" && named.some((one) => one.path === path)) return { path: path!, value };
  }
  return undefined;
}

function pathOf(text: string, setting: Setting<unknown>, at: Surroundings): string | undefined {
  const home = setting.source === "file" ? at.home() : undefined;
  const rest = text.slice(REPOSITORY_PREFIX.length);
  const inHome = home !== undefined && rest.startsWith("~/") ? join(home, rest.slice(2)) : rest;
  try {
    return parseRepositoryAddress(REPOSITORY_PREFIX + inHome, setting.folder).path;
  } catch (error) {
    if (error instanceof BackupError) return undefined;
    throw error;
  }
}

function unmatched(
  key: OptionKey,
  text: string,
  named: readonly RepositoryAddress[],
): BackupError {
  const { flag, placeholder = "VALUE" } = optionOf(key);
  const keys = named.map((one) => one.key);
  const own = keys.find((one) => text === one || text === `${one}=`);
  if (own !== undefined) {
    return new BackupError("usage", `--${flag} ${own} says no ${placeholder}`, {
      hint: `Write --${flag} ${own}=${placeholder}`,
    });
  }
  const address = text.slice(0, text.includes("=") ? text.indexOf("=") : undefined);
  const meant = nearest(address, keys) ?? keys.join(" or ");
  return new BackupError(
    "usage",
    `--${flag} names ${address}, which is no repository of this command`,
    {
      hint: keys.length === 0
        ? `What is really named so is ./${text}`
        : `Did you mean ${meant}? What is really named so is ./${text}`,
    },
  );
}
