/** What must hold at a destination of the small tree, whatever went wrong there. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { KIND_CHANGES } from "./small_tree.ts";
import {
  checksumProblems,
  type EntryState,
  sameCopy,
  stagedFiles,
  treeState,
} from "./tree_state.ts";

export type Tree = Map<string, EntryState>;

export const NOTHING: Tree = new Map();

/** What stands at a destination, nothing when it has no copy. `leftOut`, here and below: a name at its top that is ours. */
export function copyAt(destination: string, leftOut?: string): Tree {
  const path = join(destination, "copy");
  return fs.existsSync(path) ? treeState(path, leftOut) : NOTHING;
}

/** Under each name: the old copy or the new one, whole and with its own metadata. */
export function assertNothingTorn(at: Tree, first: Tree, second: Tree, point: string): void {
  for (const [path, entry] of at) {
    if (entry.kind === "directory") continue;
    const isWhole = [first.get(path), second.get(path)].some((version) =>
      version !== undefined && sameCopy(entry, version)
    );
    assert.ok(isWhole, `${point}: ${path} is neither version: ${entry.text} ${entry.mtimeNs}`);
  }
  for (const [path, old] of first) {
    if (old.kind === "directory" || KIND_CHANGES.has(path.split("/")[0]!)) continue;
    assert.ok(at.has(path), `${point}: nothing stands under ${path}`);
  }
}

/** The copy is what its source is, what the source lost is as before, and the checksums are right. */
export function assertCopied(
  destination: string,
  wanted: Tree,
  before: Tree,
  point: string,
  leftOut?: string,
): void {
  const at = copyAt(destination, leftOut);
  for (const [path, entry] of wanted) {
    const found = at.get(path);
    assert.ok(found !== undefined, `${point}: ${path} is missing`);
    assert.ok(sameCopy(found, entry), `${point}: ${path} is ${found.text} ${found.mtimeNs}`);
  }
  for (const [path, entry] of at) {
    if (wanted.has(path)) continue;
    assert.ok(sameCopy(entry, before.get(path)!), `${point}: the deleted ${path} was kept`);
  }
  assert.equal(at.get("link-a")!.inode, at.get("link-b")!.inode, `${point}: one file, two names`);
  assert.deepEqual(checksumProblems(destination, "copy", leftOut), [], point);
}

/** … and nothing is left in the stage. */
export function assertComplete(
  destination: string,
  wanted: Tree,
  before: Tree,
  point: string,
  leftOut?: string,
): void {
  assertCopied(destination, wanted, before, point, leftOut);
  assert.deepEqual(stagedFiles(destination), [], `${point}: the stage`);
}
