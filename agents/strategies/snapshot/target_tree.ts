/** Several absolute source paths as one tree of names. Rule: a path within another is part of it; the tree is as small as can be. */
import { utf8ByteString } from "../../repository/mod.ts";

export interface TargetNode {
  /** Everything below is backed up; otherwise only what is listed in `children`. */
  isSource: boolean;
  /** By name, one byte a character. */
  children: Map<string, TargetNode>;
}

/** Paths are absolute and clean. @throws {RangeError} for one that is not */
export function makeTargetTree(paths: readonly string[]): TargetNode {
  const root: TargetNode = { isSource: false, children: new Map() };
  for (const path of paths) {
    if (!path.startsWith("/")) throw new RangeError(`Not an absolute path: ${path}`);
    let node = root;
    for (const part of path.split("/")) {
      if (part === "") continue;
      if (part === "." || part === "..") throw new RangeError(`Not a clean path: ${path}`);
      const name = utf8ByteString(part);
      let child = node.children.get(name);
      if (child === undefined) {
        child = { isSource: false, children: new Map() };
        node.children.set(name, child);
      }
      node = child;
    }
    node.isSource = true;
  }
  return root;
}
