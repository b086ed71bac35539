/**
 * Where the sources of a snapshot lie in its trees. Rule: a source may lie under its whole path, or, as restic has it for one that
 * was named relatively, under the end of it; the longest end that is there is it.
 */
import {
  type BlobReader,
  type ByteString,
  decodeTree,
  type StoredSnapshot,
  type TreeNode,
  utf8ByteString,
} from "../repository/mod.ts";
import { cleanPath } from "./selection.ts";

export interface SourceRoot {
  /** Absolute, on the machine of the snapshot. */
  source: ByteString;
  /** The same in the tree; empty when the source is all of it. */
  inTree: ByteString;
}

/** Finds entries by their paths, and reads no tree for the same name twice. */
export class TreePaths {
  readonly #nodesOf: (tree: string) => Promise<TreeNode[]>;
  readonly #nodes = new Map<string, TreeNode | undefined>();

  /** `nodesOf` reads a tree, and may give nothing for one that cannot be read. */
  constructor(nodesOf: (tree: string) => Promise<TreeNode[]>) {
    this.#nodesOf = nodesOf;
  }

  /** `path` begins with a slash. */
  async nodeAt(tree: string, path: ByteString): Promise<TreeNode | undefined> {
    let at: string | undefined = tree;
    let node: TreeNode | undefined;
    for (const name of path.slice(1).split("/")) {
      if (at === undefined) return undefined;
      node = await this.#nodeIn(at, name);
      at = node?.subtree;
    }
    return node;
  }

  async sourceRoots({ tree, paths }: StoredSnapshot): Promise<SourceRoot[]> {
    const roots: SourceRoot[] = [];
    for (const path of paths) {
      const source = utf8ByteString(cleanPath(path));
      let inTree = source;
      while (inTree !== "" && await this.nodeAt(tree, inTree) === undefined) {
        const next = inTree.indexOf("/", 1);
        inTree = next < 0 ? "" : inTree.slice(next);
      }
      roots.push({ source, inTree });
    }
    return roots;
  }

  async #nodeIn(tree: string, name: ByteString): Promise<TreeNode | undefined> {
    const key = `${tree}/${name}`;
    if (!this.#nodes.has(key)) {
      this.#nodes.set(key, (await this.#nodesOf(tree)).find((node) => node.name === name));
    }
    return this.#nodes.get(key);
  }
}

/** For one snapshot whose trees can be read. @throws {BackupError} when they cannot */
export function treePathsOf(reader: BlobReader): TreePaths {
  return new TreePaths(async (tree) => decodeTree(await reader.load("tree", tree), "A tree"));
}

/** What follows a folder in a path, with its slash; undefined when the path is not within. */
export function below(folder: ByteString, path: ByteString): ByteString | undefined {
  if (path === folder) return "";
  return path.startsWith(`${folder}/`) ? path.slice(folder.length) : undefined;
}
