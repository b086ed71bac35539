/** Which priority a file has. Rule: gitignore patterns, the last one that matches wins, everything else is normal. */
import { BackupError } from "../../protocol/base/errors.ts";
import { PRIORITY_LEVELS, type PriorityLevel } from "../../protocol/mesh/job.ts";
import { IgnorePatterns, patternProblem } from "./ignore_patterns.ts";

export interface PriorityRule {
  readonly pattern: string;
  readonly level: PriorityLevel;
}

/** A level's number, as the queue's score takes it. */
export type PriorityNumber = (typeof PRIORITY_LEVELS)[PriorityLevel];

/**
 * The level of a file by its path relative to the source. A pattern that matches a directory counts for all in it.
 * @throws {BackupError} `usage` when a pattern could never match, or is negated, which says no level.
 */
export function createPriorities(
  rules: readonly PriorityRule[],
): (relPath: string) => PriorityNumber {
  if (rules.length === 0) return () => PRIORITY_LEVELS.normal;
  const compiled = rules.map(({ pattern, level }) => {
    const problem = pattern.startsWith("!")
      ? "is negated; give the files it means their own level"
      : patternProblem(pattern);
    if (problem !== undefined) {
      throw new BackupError("usage", `Priority pattern "${pattern}" (${level}) ${problem}`);
    }
    return { patterns: IgnorePatterns.compile([pattern]), level: PRIORITY_LEVELS[level] };
  });
  return (relPath) =>
    compiled.findLast(({ patterns }) => patterns.test(relPath) !== undefined)?.level ??
      PRIORITY_LEVELS.normal;
}
