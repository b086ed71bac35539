/**
 * One list of gitignore patterns, compiled. Rule: matching is the `ignore` library's; kept here is what it leaves to
 * its user: exact case, a cache that cannot grow for ever, and naming patterns that can never match.
 *
 * Known differences from git: `?` and `[…]` match one UTF-16 unit where git matches one byte, so `?` matches "é". And
 * git takes the end of `/lib**` for `/**`, against its own manual; here it is `/lib*`, which leaves out less.
 */
import ignore from "ignore";
import { trimTrailingSpaces } from "./ignore_file.ts";

/** The library remembers every path it is asked about; after so many it is made to forget. */
const CACHED_PATHS_MAX = 4096;

/** Which pattern decided about a path: an index into the list, and whether it re-includes (`!`). */
export interface PatternVerdict {
  readonly excluded: boolean;
  /** Index of the deciding pattern; undefined when a negated one decided. */
  readonly index: number | undefined;
}

export class IgnorePatterns {
  readonly #compiled: ignore.Ignore;
  #matcher: ignore.Ignore;
  #asked = 0;

  private constructor(compiled: ignore.Ignore) {
    this.#compiled = compiled;
    this.#matcher = ignore({ ignorecase: false }).add(compiled);
  }

  /** Compiles the patterns of one list, in order; see `patternProblem` for those that never match. */
  static compile(patterns: readonly string[]): IgnorePatterns {
    const lines = patterns.map((pattern, index) => ({ pattern, mark: String(index) }));
    return new IgnorePatterns(ignore({ ignorecase: false }).add(lines));
  }

  /**
   * Judges a path relative to the list's directory, directories with a slash at the end. The last pattern that
   * matches decides; what lies in an excluded directory is excluded with it. Undefined when no pattern says anything.
   */
  test(path: string): PatternVerdict | undefined {
    if (++this.#asked > CACHED_PATHS_MAX) {
      this.#matcher = ignore({ ignorecase: false }).add(this.#compiled);
      this.#asked = 0;
    }
    const { ignored, unignored, rule } = this.#matcher.test(path);
    if (ignored) return { excluded: true, index: Number(rule!.mark) };
    return unignored ? { excluded: false, index: undefined } : undefined;
  }

  /** The same list for the inside of a directory that it excludes but that a stronger list re-includes. */
  reincluding(directoryPath: string): IgnorePatterns {
    const exactly = directoryPath.replace(/[\\*?[\]]/g, "\\$&");
    return new IgnorePatterns(
      ignore({ ignorecase: false }).add(this.#compiled).add({ pattern: `!/${exactly}` }),
    );
  }
}

/** What keeps a pattern from ever matching, as the end of a sentence; undefined when nothing does. */
export function patternProblem(pattern: string): string | undefined {
  if (pattern.startsWith("#")) return "is a comment (write \\# for a name that starts with #)";
  if (pattern.includes("\0")) return "contains a NUL character";
  const body = trimTrailingSpaces(pattern.startsWith("!") ? pattern.slice(1) : pattern);
  if (/^\/*$/.test(body)) return "names nothing";
  for (let at = 0; at < body.length; at++) {
    if (body[at] === "\\") {
      if (++at === body.length) return "ends with a single backslash";
    } else if (body[at] === "[") {
      const end = bracketEnd(body, at);
      if (end === undefined) return "has a [ without its ] (write \\[ for the character itself)";
      at = end;
    }
  }
  return undefined;
}

/** Where the bracket expression that opens at `start` closes; undefined when it does not, or names no known class. */
function bracketEnd(body: string, start: number): number | undefined {
  let at = start + 1;
  if (body[at] === "!" || body[at] === "^") at++;
  // A ] in first place is a member.
  for (let first = true; at < body.length; at++, first = false) {
    if (body[at] === "]" && !first) return at;
    if (body[at] === "\\") at++;
    else if (body[at] === "[" && body[at + 1] === ":") {
      const close = body.indexOf("]", at + 2);
      if (close === -1) return undefined;
      if (close > at + 2 && body[close - 1] === ":") {
        if (!POSIX_CLASSES.has(body.slice(at + 2, close - 1))) return undefined;
        at = close;
      }
    }
  }
  return undefined;
}

const POSIX_CLASSES: ReadonlySet<string> = new Set(
  "alnum alpha blank cntrl digit graph lower print punct space upper xdigit".split(" "),
);
