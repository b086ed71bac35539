/** Entry tables in walk order, made of paths, for tests of what depends on that order. */
import fc from "fast-check";
import { KIND_DIRECTORY, KIND_FILE } from "../../agents/platform/posix.ts";
import { EntryTable, NONE } from "../../agents/source/entry_table.ts";
import { foldersAbove } from "../../agents/source/stretch.ts";
import { compareWalkOrder } from "../../agents/source/walk_order.ts";
import { statOf } from "./sample_table.ts";

export interface WalkedFile {
  path: string;
  sizeBytes: number;
}

/** Names that sort before and after the slash, and bytes that are no UTF-8. */
const name = fc.string({
  unit: fc.constantFrom("a", "b", "-", "0", "\xe9", " ", "."),
  minLength: 1,
  maxLength: 3,
}).filter((text) => text !== "." && text !== "..");

export const anyPath: fc.Arbitrary<string> = fc.array(name, { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join("/"));

/** Files of a tree; no file lies below another. */
export const anyFiles: fc.Arbitrary<WalkedFile[]> = fc.array(
  fc.record({
    path: anyPath,
    sizeBytes: fc.oneof(fc.nat(1000), fc.nat(1 << 30)),
  }, { noNullPrototype: true }),
  { minLength: 1, maxLength: 40 },
).map((files) => {
  const kept = new Map<string, WalkedFile>();
  const folders = new Set<string>();
  for (const file of files) {
    const above = foldersAbove(file.path);
    if (folders.has(file.path) || above.some((folder) => kept.has(folder))) continue;
    kept.set(file.path, file);
    for (const folder of above) folders.add(folder);
  }
  return [...kept.values()];
});

/** The table that a walk would make, folders included. */
export function walkedTable(files: readonly WalkedFile[]): EntryTable {
  const sizes = new Map(files.map(({ path, sizeBytes }) => [path, sizeBytes]));
  const folders = new Set(["", ...files.flatMap(({ path }) => foldersAbove(path))]);
  const table = EntryTable.create(4);
  const rows = new Map<string, number>();
  for (const path of [...folders, ...sizes.keys()].sort(compareWalkOrder)) {
    const at = path.lastIndexOf("/");
    const parent = path === "" ? NONE : rows.get(at < 0 ? "" : path.slice(0, at))!;
    const sizeBytes = sizes.get(path);
    const stat = sizeBytes === undefined
      ? statOf({ kind: KIND_DIRECTORY, mode: 0o755 })
      : statOf({ kind: KIND_FILE, sizeBytes });
    rows.set(path, table.push(parent, path.slice(at + 1), stat));
  }
  return table;
}
