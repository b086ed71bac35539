/**
 * Entries that would land on each other at a destination which folds names. Rule: the first of several names keeps its place;
 * each other one, and everything below it, is given by row so that it can be failed by name. Pure.
 */
import { foldName } from "../../destinations/name_folding.ts";
import { type EntryTable, latin1OfUtf8, NONE, utf8OfLatin1 } from "../../source/entry_table.ts";

/** The rows, ascending, whose name is that of an earlier sibling when both are folded, with all rows below them. */
export function foldedClashes(table: EntryTable): number[] {
  const { parent } = table.columns;
  const clashes: number[] = [];
  /** The directories from the root down to the one in hand, with the names seen in each; rows come depth first. */
  const open: { row: number; names: Set<string>; isLost: boolean }[] = [
    { row: NONE, names: new Set(), isLost: false },
  ];
  for (let row = 0; row < table.count; row++) {
    while (open.at(-1)!.row !== parent[row]) open.pop();
    const folder = open.at(-1)!;
    const name = foldedName(table.nameLatin1(row));
    const isLost = folder.isLost || folder.names.has(name);
    if (isLost) clashes.push(row);
    else folder.names.add(name);
    if (parent[row + 1] === row && row + 1 < table.count) {
      open.push({ row, names: new Set(), isLost });
    }
  }
  return clashes;
}

/** Names that are no UTF-8 are compared by their bytes: what they would fold to is not known. */
function foldedName(latin1: string): string {
  const text = utf8OfLatin1(latin1);
  return text === latin1 || latin1OfUtf8(text) === latin1 ? foldName(text) : latin1;
}
