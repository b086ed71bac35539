/** What of a snapshot a person asked for: paths, patterns to take and to leave. Rule: what is left out is never touched. */
import { BackupError } from "../../protocol/base/errors.ts";
import { type ByteString, showBytes, utf8ByteString } from "../repository/mod.ts";
import { IgnorePatterns, patternProblem } from "../source/ignore_patterns.ts";

export interface SelectionOptions {
  /** Paths in the snapshot, each with all below it; none: everything. */
  paths: readonly string[];
  /** In gitignore grammar; none: everything. */
  includes: readonly string[];
  excludes: readonly string[];
  /** Of the files, and nothing else. */
  sample?: Sample;
}

/** Files by chance, the same ones whoever asks: those whose `ticket` is not above `ticketMax`. */
export interface Sample {
  seed: number;
  ticketMax: number;
  /** Left out all the same. */
  except: readonly ByteString[];
}

export class Selection {
  readonly #sample: Sample | undefined;
  readonly #except: ReadonlySet<ByteString>;
  readonly #paths: readonly ByteString[];
  readonly #includes: IgnorePatterns | undefined;
  readonly #excludes: IgnorePatterns | undefined;

  /** @throws {BackupError} `usage` for a pattern that can never match */
  constructor({ paths, includes, excludes, sample }: SelectionOptions) {
    this.#sample = sample;
    this.#except = new Set(sample?.except);
    this.#paths = paths.map((path) => utf8ByteString(cleanPath(path))).filter((path) =>
      path !== ""
    );
    this.#includes = compile("--include", includes);
    this.#excludes = compile("--exclude", excludes);
  }

  /** Those that were named. */
  get paths(): readonly ByteString[] {
    return this.#paths;
  }

  /** One that was named lies below. */
  leadsTo(path: ByteString): boolean {
    return this.#paths.some((wanted) => wanted.startsWith(`${path}/`));
  }

  /** Everything is asked for. */
  get isWhole(): boolean {
    return this.#paths.length === 0 && this.#includes === undefined &&
      this.#excludes === undefined && this.#sample === undefined;
  }

  /** Folders are made only when something in them is asked for. */
  get isSparse(): boolean {
    return this.#paths.length > 0 || this.#includes !== undefined || this.#sample !== undefined;
  }

  /** Whether a walk has to look at an entry: it is asked for, or a folder that may hold what is. */
  looksAt(path: ByteString, isFolder: boolean): boolean {
    if (this.#isExcluded(path, isFolder)) return false;
    if (!isFolder) return this.asksFor(path, false);
    return this.#paths.length === 0 ||
      this.#paths.some((wanted) => isWithin(path, wanted) || isWithin(wanted, path));
  }

  /** `path` begins with a slash. */
  asksFor(path: ByteString, isFolder: boolean): boolean {
    if (this.#isExcluded(path, isFolder)) return false;
    if (this.#paths.length > 0 && !this.#paths.some((wanted) => isWithin(path, wanted))) {
      return false;
    }
    if (this.#sample !== undefined && (isFolder || !this.#isDrawn(path, this.#sample))) {
      return false;
    }
    return this.#includes === undefined || matches(this.#includes, path, isFolder);
  }

  #isDrawn(path: ByteString, { seed, ticketMax }: Sample): boolean {
    return ticketOf(path, seed) <= ticketMax && !this.#except.has(path);
  }

  #isExcluded(path: ByteString, isFolder: boolean): boolean {
    return this.#excludes !== undefined && matches(this.#excludes, path, isFolder);
  }
}

/** A number below 2³² that depends on nothing but these; FNV-1a, then mixed as MurmurHash3 ends. */
export function ticketOf(path: ByteString, seed: number): number {
  let hash = (0x811c9dc5 ^ seed) | 0;
  for (let i = 0; i < path.length; i++) hash = Math.imul(hash ^ path.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** `/a/b/` as `/a/b`, `a/b` as the same, `/` as nothing. */
export function cleanPath(typed: string): string {
  const parts = typed.split("/").filter((part) => part !== "" && part !== ".");
  return parts.map((part) => `/${part}`).join("");
}

function isWithin(path: ByteString, folder: ByteString): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

function matches(patterns: IgnorePatterns, path: ByteString, isFolder: boolean): boolean {
  const text = showBytes(path.slice(1)) + (isFolder ? "/" : "");
  return patterns.test(text)?.excluded === true;
}

function compile(flag: string, patterns: readonly string[]): IgnorePatterns | undefined {
  for (const pattern of patterns) {
    const problem = patternProblem(pattern);
    if (problem !== undefined) {
      throw new BackupError("usage", `${flag} ${JSON.stringify(pattern)} ${problem}`);
    }
  }
  return patterns.length === 0 ? undefined : IgnorePatterns.compile(patterns);
}
