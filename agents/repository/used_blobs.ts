/** Which blobs snapshots need. Rule: a tree that cannot be read is a failure: what it needs would count as unused. */
import { BackupError, IntegrityError } from "../../protocol/base/errors.ts";
import { type BlobIndex, NO_ROW } from "./blob_index.ts";
import type { BlobReader } from "./blob_reader.ts";
import { decodeTree, nameProblem, type TreeNode } from "./tree.ts";

export interface TreeProblem {
  /** A tree's id, and the snapshot or tree that needs it where that is known. */
  tree: string;
  message: string;
  /** False: restic would not call it an error, and nothing is lost. */
  isError: boolean;
}

export interface WalkOptions {
  onProblem(problem: TreeProblem): void;
  signal?: AbortSignal;
}

/**
 * Marks the first row of every blob that is reachable from the trees. Each tree is read once, however often it occurs, so a
 * tree within itself is no endless walk.
 */
export async function markUsed(
  index: BlobIndex,
  reader: BlobReader,
  roots: Iterable<string>,
  { onProblem, signal }: WalkOptions,
): Promise<Uint8Array> {
  const used = new Uint8Array(index.rowCount);
  const stack: string[] = [];
  const want = (tree: string, of: string): void => {
    const row = index.find("tree", tree);
    if (row === NO_ROW) {
      onProblem({ tree, message: `${of} needs tree ${tree}, which is in no index`, isError: true });
    } else if (used[row] === 0) {
      used[row] = 1;
      stack.push(tree);
    }
  };
  for (const root of roots) want(root, "a snapshot");
  for (let tree = stack.pop(); tree !== undefined; tree = stack.pop()) {
    signal?.throwIfAborted();
    let nodes: TreeNode[];
    try {
      nodes = decodeTree(await reader.load("tree", tree), `tree ${tree}`);
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      onProblem({ tree, message: `tree ${tree} cannot be read: ${error.message}`, isError: true });
      continue;
    }
    checkNodes(tree, nodes, onProblem);
    for (const node of nodes) {
      if (node.type === "dir" && node.subtree !== undefined) want(node.subtree, `tree ${tree}`);
      for (const id of node.content ?? []) {
        const row = index.find("data", id);
        if (row !== NO_ROW) used[row] = 1;
        else {
          const message = `a file in tree ${tree} needs blob ${id}, which is in no index`;
          onProblem({ tree, message, isError: true });
        }
      }
    }
  }
  return used;
}

function checkNodes(
  tree: string,
  nodes: readonly TreeNode[],
  onProblem: WalkOptions["onProblem"],
): void {
  const say = (what: string, isError: boolean) =>
    onProblem({ tree, message: `tree ${tree}: ${what}`, isError });
  let last: string | undefined;
  for (const { name, type, content, subtree } of nodes) {
    const shown = JSON.stringify(name);
    const problem = nameProblem(name);
    if (problem !== undefined) say(`the name ${shown} cannot be restored: ${problem}`, true);
    if (last !== undefined && name === last) say(`the name ${shown} is listed twice`, true);
    else if (last !== undefined && name < last) say(`${shown} is not in order`, false);
    last = name;
    if (type === "file" && content === undefined) say(`the file ${shown} has no content`, true);
    if (type === "dir" && subtree === undefined) say(`the folder ${shown} has no tree`, true);
  }
}

/** For those who cannot go on when anything is missing. */
export function throwProblem({ message, isError }: TreeProblem): void {
  if (isError) throw new IntegrityError(message, { hint: "Run check, and repair what it names" });
}
