/** A restore target in memory, for tests. Rule: it believes what it is told, so what is dangerous shows. */
import type { TargetFile, TargetFolder } from "./restorer.ts";
import type { TreeNode } from "./tree.ts";

export class MemoryTarget implements TargetFolder<string> {
  readonly files: Map<string, Uint8Array>;
  readonly #path: string;

  constructor(files = new Map<string, Uint8Array>(), path = "") {
    this.files = files;
    this.#path = path;
  }

  folder(node: TreeNode): MemoryTarget {
    return new MemoryTarget(this.files, `${this.#path}${node.name}/`);
  }

  file(node: TreeNode): TargetFile<string> {
    const parts: number[] = [];
    const path = this.#path + node.name;
    return {
      write: (bytes) => parts.push(...bytes),
      finish: () => {
        this.files.set(path, Uint8Array.from(parts));
        return path;
      },
      discard: () => {},
    };
  }

  other(node: TreeNode): string {
    this.files.set(this.#path + node.name, new Uint8Array(0));
    return this.#path + node.name;
  }

  link(node: TreeNode, first: string): void {
    this.files.set(this.#path + node.name, this.files.get(first)!);
  }

  finish(): void {}
  close(): void {}
}
