/**
 * Which entries a person asked for. Rule: a path means itself and all below it; everything else stays where it is. Pure.
 */
import { latin1OfUtf8 } from "../../../source/entry_table.ts";

export class Selection {
  /** Paths with the copy's name first, one byte a character; each with whether something matched it. */
  readonly #wanted = new Map<string, boolean>();
  readonly #typed = new Map<string, string>();

  /** `paths` as they were typed: `<name>` or `<name>/path/in/copy`; none = everything. */
  constructor(paths: readonly string[]) {
    for (const typed of paths) {
      const path = latin1OfUtf8(typed.replace(/\/+$/, "").replace(/^(?:\.\/+)+/, ""));
      this.#wanted.set(path, false);
      this.#typed.set(path, typed);
    }
  }

  /** The entry itself or a folder it lies in was asked for. */
  includes(path: string): boolean {
    if (this.#wanted.size === 0) return true;
    for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) {
      const at = end === path.length ? path : path.slice(0, end);
      if (!this.#wanted.has(at)) continue;
      this.#wanted.set(at, true);
      return true;
    }
    return false;
  }

  /** Something of the copy `name` may have been asked for. */
  concerns(name: string): boolean {
    return this.#wanted.size === 0 ||
      [...this.#wanted.keys()].some((path) => path === name || path.startsWith(`${name}/`));
  }

  /** What was asked for and was nowhere, as it was typed. */
  unmatched(): string[] {
    return [...this.#wanted].filter(([, found]) => !found).map(([path]) => this.#typed.get(path)!);
  }
}
