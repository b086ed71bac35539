/** The lines of a `.backupignore` or `--exclude-file`. Rule: every pattern keeps the file and line it came from. */
import type { ExcludeRule } from "../../protocol/mesh/job.ts";

export const IGNORE_FILE_NAME = ".backupignore";

/** The file's patterns in order, without blank lines and comments; origin is `path:line`, counted from 1. */
export function parseIgnoreFile(text: string, path: string): ExcludeRule[] {
  const rules: ExcludeRule[] = [];
  const lines = text.replace(/^\uFEFF/, "").split("\n");
  for (const [at, line] of lines.entries()) {
    const pattern = trimTrailingSpaces(line.endsWith("\r") ? line.slice(0, -1) : line);
    if (pattern === "" || pattern.startsWith("#")) continue;
    rules.push({ pattern, origin: `${path}:${at + 1}` });
  }
  return rules;
}

/** Spaces at the end of a pattern do not count, unless a backslash keeps the first of them. */
export function trimTrailingSpaces(text: string): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === " ") end--;
  let backslashes = 0;
  while (backslashes < end && text[end - 1 - backslashes] === "\\") backslashes++;
  return text.slice(0, backslashes % 2 === 1 && end < text.length ? end + 1 : end);
}
