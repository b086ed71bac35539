/**
 * What a backup leaves out, by gitignore's rules. Rule: of all lists that say something about a path the deepest
 * `.backupignore` decides, the command line last of all (as git's info/exclude); what cannot be judged is kept.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import type { ExcludeRule } from "../../protocol/mesh/job.ts";
import { IGNORE_FILE_NAME, parseIgnoreFile } from "./ignore_file.ts";
import { IgnorePatterns, patternProblem } from "./ignore_patterns.ts";

export interface ExcluderOptions {
  readonly rules: readonly ExcludeRule[];
  /** Whether text given to `enterDirectory` counts. */
  readonly ignoreFiles: boolean;
}

/**
 * Follows one depth-first walk of one source. Paths are relative to the source, without a slash at either end; names
 * that are not UTF-8 come lossily decoded. A directory that `test` excludes must not be entered, so nothing in it can
 * be re-included, as with git.
 */
export interface Excluder {
  /** Whether a walk should read the `.backupignore` files it meets. */
  readonly readsIgnoreFiles: boolean;
  /** True while no list is in force where the walk is: `test` would answer undefined. */
  readonly isEmpty: boolean;
  /**
   * Enters a directory (`""` for the source itself), with the text of its `.backupignore` if it has one.
   * `ignoreFilePath` is how people know that file; its path in the source by default. Returns one `config` error for
   * each line that can never match anything: the line is left out, the walk can go on.
   */
  enterDirectory(
    relPath: string,
    ignoreFileText?: string,
    ignoreFilePath?: string,
  ): readonly BackupError[];
  /** Leaves the directory entered last. */
  leaveDirectory(): void;
  /**
   * Judges an entry of the directory entered last. Undefined: keep it; otherwise the rule that leaves it out, as
   * `*.log (--exclude)` or `build/ (Documents/.backupignore:3)`.
   */
  test(relPath: string, isDirectory: boolean): string | undefined;
}

/** One list of patterns that is in force in the current directory. */
interface Level {
  /** Length of the path of the list's directory with its slash; what to cut off a path to ask the list. */
  readonly prefixLength: number;
  readonly labels: readonly string[];
  patterns: IgnorePatterns;
}

/** What `leaveDirectory` must undo. */
interface Frame {
  readonly addedLevel: boolean;
  readonly replaced: readonly { level: Level; patterns: IgnorePatterns }[];
}

const NO_ERRORS: readonly BackupError[] = [];
const PLAIN_FRAME: Frame = { addedLevel: false, replaced: [] };

/** @throws {BackupError} `usage`, naming the origin, when a rule is no pattern that could match. */
export function createExcluder(options: ExcluderOptions): Excluder {
  for (const rule of options.rules) {
    const problem = patternProblem(rule.pattern);
    if (problem !== undefined) throw invalid("usage", rule, problem);
  }
  /** From the weakest to the strongest. */
  const levels: Level[] = [];
  const frames: Frame[] = [];
  if (options.rules.length > 0) levels.push(newLevel("", options.rules));

  return {
    readsIgnoreFiles: options.ignoreFiles,
    get isEmpty() {
      return levels.length === 0;
    },

    enterDirectory(relPath, text, path = childPath(relPath, IGNORE_FILE_NAME)) {
      // A list that excludes this directory was overruled, else the walk would not be here.
      const replaced: { level: Level; patterns: IgnorePatterns }[] = [];
      if (relPath !== "") {
        for (const level of levels) {
          const pathInLevel = `${relPath.slice(level.prefixLength)}/`;
          if (level.patterns.test(pathInLevel)?.excluded !== true) continue;
          replaced.push({ level, patterns: level.patterns });
          level.patterns = level.patterns.reincluding(pathInLevel);
        }
      }
      let rules: ExcludeRule[] = [];
      let errors = NO_ERRORS;
      if (text !== undefined && options.ignoreFiles) {
        const problems: BackupError[] = [];
        rules = parseIgnoreFile(text, path).filter((rule) => {
          const problem = patternProblem(rule.pattern);
          if (problem !== undefined) problems.push(invalid("config", rule, problem));
          return problem === undefined;
        });
        errors = problems;
      }
      if (rules.length > 0) levels.push(newLevel(relPath, rules));
      const addedLevel = rules.length > 0;
      frames.push(addedLevel || replaced.length > 0 ? { addedLevel, replaced } : PLAIN_FRAME);
      return errors;
    },

    leaveDirectory() {
      const frame = frames.pop();
      if (frame === undefined) throw new RangeError("Left more directories than were entered");
      if (frame.addedLevel) levels.pop();
      for (const { level, patterns } of frame.replaced) level.patterns = patterns;
    },

    test(relPath, isDirectory) {
      for (let at = levels.length - 1; at >= 0; at--) {
        const level = levels[at]!;
        const name = level.prefixLength === 0 ? relPath : relPath.slice(level.prefixLength);
        const verdict = level.patterns.test(isDirectory ? `${name}/` : name);
        if (verdict === undefined) continue;
        return verdict.index === undefined ? undefined : level.labels[verdict.index];
      }
      return undefined;
    },
  };
}

function newLevel(directory: string, rules: readonly ExcludeRule[]): Level {
  return {
    prefixLength: directory === "" ? 0 : directory.length + 1,
    labels: rules.map((rule) => `${rule.pattern} (${rule.origin})`),
    patterns: IgnorePatterns.compile(rules.map((rule) => rule.pattern)),
  };
}

function childPath(directory: string, name: string): string {
  return directory === "" ? name : `${directory}/${name}`;
}

function invalid(code: "usage" | "config", rule: ExcludeRule, problem: string): BackupError {
  return new BackupError(code, `Exclude pattern "${rule.pattern}" (${rule.origin}) ${problem}`);
}
