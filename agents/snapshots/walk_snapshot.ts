/** Everything in a tree, one entry after the other. Rule: what a tree says is believed no further than it is shown. */
import { IntegrityError } from "../../protocol/base/errors.ts";
import {
  type BlobSource,
  type ByteString,
  decodeTree,
  DEPTH_MAX,
  nameProblem,
  showBytes,
  type TreeNode,
} from "../repository/mod.ts";

export interface WalkedEntry {
  /** Begins with a slash, one byte a character. */
  path: ByteString;
  node: TreeNode;
}

/**
 * Depth first, a folder before what is in it. `enters` says which folders are looked into. A tree that cannot be read goes to
 * `onFailure`, and the walk goes on.
 */
export async function* walkSnapshot(
  reader: BlobSource,
  tree: string,
  options: {
    path?: ByteString;
    enters?(path: ByteString): boolean;
    onFailure(path: string, error: unknown): void;
    /** Leaves out what no restore makes: names that are none, or come twice. */
    skipsBadNames?: boolean;
    signal: AbortSignal;
  },
): AsyncGenerator<WalkedEntry> {
  yield* walkFolder(reader, tree, options.path ?? "", 0, options);
}

async function* walkFolder(
  reader: BlobSource,
  tree: string,
  path: ByteString,
  depth: number,
  options: Parameters<typeof walkSnapshot>[2],
): AsyncGenerator<WalkedEntry> {
  options.signal.throwIfAborted();
  let nodes: TreeNode[];
  try {
    const shown = showBytes(path) || "/";
    if (depth >= DEPTH_MAX) throw new IntegrityError(`The folder ${shown} lies too deep`);
    nodes = decodeTree(await reader.load("tree", tree), `The tree of ${shown}`);
  } catch (error) {
    options.signal.throwIfAborted();
    return options.onFailure(showBytes(path), error);
  }
  const names = new Set<ByteString>();
  for (const node of nodes) {
    options.signal.throwIfAborted();
    if (options.skipsBadNames === true) {
      if (nameProblem(node.name) !== undefined || names.has(node.name)) continue;
      names.add(node.name);
    }
    const entry = { path: `${path}/${node.name}`, node };
    yield entry;
    if (node.type !== "dir" || node.subtree === undefined) continue;
    if (options.enters?.(entry.path) === false) continue;
    yield* walkFolder(reader, node.subtree, entry.path, depth + 1, options);
  }
}
