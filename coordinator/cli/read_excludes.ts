/** Exclude patterns from options and from files. Rule: each keeps where it came from, for the report. */
import { BackupError } from "../../protocol/base/errors.ts";
import type { ExcludeRule } from "../../protocol/mesh/job.ts";
import { readFailure } from "../../protocol/cli/read_failure.ts";
import { settingPath, type Settings } from "../../protocol/cli/settings.ts";
import type { Surroundings } from "../../protocol/cli/surroundings.ts";

/** Files first, then single patterns: of two that match, the later one counts. @throws {BackupError} `usage`. */
export function readExcludes(settings: Settings, at: Surroundings): ExcludeRule[] {
  const files = settings.get("excludeFile");
  const single = settings.get("exclude");
  return [
    ...files.value.flatMap((file) => readFile(file, settingPath(file, files, at), at)),
    ...single.value.map((pattern) => ({ pattern, origin: single.origin })),
  ];
}

function readFile(name: string, path: string, at: Surroundings): ExcludeRule[] {
  let text: string;
  try {
    text = at.readTextFile(path);
  } catch (error) {
    throw new BackupError(
      "usage",
      `Cannot read the exclude file ${name}: ${readFailure(error)}`,
      { path, cause: error },
    );
  }
  return parseExcludeLines(text, name);
}

/** The patterns of a file in gitignore grammar; blank lines and comments are none. */
export function parseExcludeLines(text: string, name: string): ExcludeRule[] {
  return text.replace(/^\ufeff/, "").split(/\r?\n/)
    .map((pattern, index) => ({ pattern, origin: `${name}:${index + 1}` }))
    .filter(({ pattern }) => pattern.trim() !== "" && !pattern.startsWith("#"));
}
