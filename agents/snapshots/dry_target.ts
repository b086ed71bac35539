/** A restore target that only looks: what would be made, replaced, left and deleted. Rule: nothing is written. */
import {
  cName,
  cNameOfLatin1,
  type DirectoryHandle,
  KIND_DIRECTORY,
  newStat,
  type Posix,
} from "../platform/posix.ts";
import { type ByteString, showBytes, type TargetFolder, type TreeNode } from "../repository/mod.ts";
import { mayStay, type Overwrite } from "../strategies/snapshot/mod.ts";

export interface DryCounts {
  files: number;
  bytes: number;
  others: number;
  left: number;
  /** Of `left`: files that stand there with another size or time, which a restore compares and may not replace. */
  differing: number;
  deleted: number;
}

export interface DryOptions {
  posix: Posix;
  overwrite: Overwrite;
  delete: boolean;
  isAsked(path: ByteString, isFolder: boolean): boolean;
  /** One line of what would happen; the path is for people. */
  onAction(action: "restore" | "replace" | "leave" | "differs" | "delete", path: string): void;
}

/** The counts grow while the target is used. A target that is not there yet is an empty one. */
export function openDryTarget(
  path: string,
  options: DryOptions,
): { target: TargetFolder<never>; counts: DryCounts } {
  const counts: DryCounts = { files: 0, bytes: 0, others: 0, left: 0, differing: 0, deleted: 0 };
  const root = options.posix.openRoot(cName(path));
  return { target: new DryFolder(root, "", options, counts), counts };
}

class DryFolder implements TargetFolder<never> {
  /** Negative when there is none. */
  readonly #handle: DirectoryHandle;
  readonly #path: ByteString;
  readonly #options: DryOptions;
  readonly #counts: DryCounts;
  readonly #stat = newStat();

  constructor(handle: number, path: ByteString, options: DryOptions, counts: DryCounts) {
    this.#handle = handle;
    this.#path = path;
    this.#options = options;
    this.#counts = counts;
  }

  folder(node: TreeNode): DryFolder {
    const handle = this.#handle < 0
      ? -1
      : this.#options.posix.openDirectory(this.#handle, cNameOfLatin1(node.name));
    return new DryFolder(handle, `${this.#path}/${node.name}`, this.#options, this.#counts);
  }

  file(node: TreeNode): undefined {
    const stands = this.#stands(node.name);
    const { overwrite } = this.#options;
    if (stands && (overwrite === "refuse" || mayStay(overwrite, this.#stat, node))) {
      const differs = overwrite === "refuse" && !mayStay(overwrite, this.#stat, node);
      this.#counts.left++;
      if (differs) this.#counts.differing++;
      this.#options.onAction(differs ? "differs" : "leave", this.#shown(node.name));
    } else {
      this.#counts.files++;
      this.#counts.bytes += node.sizeBytes ?? 0;
      this.#options.onAction(stands ? "replace" : "restore", this.#shown(node.name));
    }
  }

  other(node: TreeNode): undefined {
    const stands = this.#stands(node.name);
    const { overwrite, onAction } = this.#options;
    const stays = stands && (overwrite === "never" || overwrite === "refuse");
    if (stays) this.#counts.left++;
    else this.#counts.others++;
    onAction(stays ? "leave" : stands ? "replace" : "restore", this.#shown(node.name));
  }

  link(): void {}

  finish(_node: TreeNode | undefined, names: ReadonlySet<ByteString>): void {
    if (!this.#options.delete || this.#handle < 0) return;
    const there = this.#options.posix.list(this.#handle);
    if (typeof there === "number") return;
    for (const name of there) {
      if (names.has(name) || !this.#stands(name)) continue;
      const isFolder = this.#stat.kind === KIND_DIRECTORY;
      if (!this.#options.isAsked(`${this.#path}/${name}`, isFolder)) continue;
      this.#counts.deleted++;
      this.#options.onAction("delete", this.#shown(name));
    }
  }

  close(): void {
    if (this.#handle >= 0) this.#options.posix.closeDirectory(this.#handle);
  }

  #stands(name: ByteString): boolean {
    return this.#handle >= 0 &&
      this.#options.posix.statAt(this.#handle, cNameOfLatin1(name), this.#stat) >= 0;
  }

  #shown(name: ByteString): string {
    return showBytes(`${this.#path}/${name}`);
  }
}
