/**
 * Folders that the source renamed from `Folder` to `folder`, where a destination takes both for one. Rule: a folder that
 * stands there gets its present name, so that what is listed is what stands; where it does not take it, it stays usable.
 */
import { foldName } from "../../destinations/name_folding.ts";
import { cNameOfLatin1, type DirectoryHandle, type Posix } from "../../platform/posix.ts";
import { utf8OfLatin1 } from "../../source/entry_table.ts";

/** For one pass over the folders of a copy. */
export class FoldedFolders {
  readonly #posix: Posix;
  /** Names that stand in a folder, by its row: their present form by the folded one. */
  readonly #names = new Map<number, Map<string, string>>();

  constructor(posix: Posix) {
    this.#posix = posix;
  }

  /**
   * Gives the folder that `name` (one byte a character) leads to in `parent` exactly this name. True when it was another:
   * handles in it, opened before, may lead nowhere then.
   */
  rename(parentRow: number, parent: DirectoryHandle, name: string): boolean {
    const stands = this.#namesIn(parentRow, parent).get(folded(name));
    if (stands === undefined || stands === name) return false;
    return this.#posix.rename(parent, cNameOfLatin1(stands), parent, cNameOfLatin1(name)) >= 0;
  }

  #namesIn(parentRow: number, parent: DirectoryHandle): Map<string, string> {
    let names = this.#names.get(parentRow);
    if (names === undefined) {
      const listed = this.#posix.list(parent);
      names = new Map(typeof listed === "number" ? [] : listed.map((one) => [folded(one), one]));
      this.#names.set(parentRow, names);
    }
    return names;
  }
}

function folded(latin1: string): string {
  return foldName(utf8OfLatin1(latin1));
}
