/** A restore target that makes a folder only when something goes into it, or when it was asked for itself. */
import type { ByteString, TargetFile, TargetFolder, TreeNode } from "../repository/mod.ts";

/** `asksFor` is asked for folders, with paths that begin with a slash. */
export function lazyTarget<Place>(
  target: TargetFolder<Place>,
  asksFor: (path: ByteString) => boolean,
): TargetFolder<Place> {
  return new LazyFolder(() => target, "", asksFor, true);
}

class LazyFolder<Place> implements TargetFolder<Place> {
  readonly #open: () => TargetFolder<Place>;
  readonly #path: ByteString;
  readonly #asksFor: (path: ByteString) => boolean;
  #opened: TargetFolder<Place> | undefined;

  constructor(
    open: () => TargetFolder<Place>,
    path: ByteString,
    asksFor: (path: ByteString) => boolean,
    isOpen = false,
  ) {
    this.#open = open;
    this.#path = path;
    this.#asksFor = asksFor;
    if (isOpen) this.#opened = open();
  }

  folder(node: TreeNode): TargetFolder<Place> {
    const path = `${this.#path}/${node.name}`;
    return new LazyFolder(() => this.#real().folder(node), path, this.#asksFor);
  }

  file(node: TreeNode): TargetFile<Place> | undefined {
    return this.#real().file(node);
  }

  other(node: TreeNode): Place | undefined {
    return this.#real().other(node);
  }

  link(node: TreeNode, first: Place): void {
    this.#real().link(node, first);
  }

  finish(node: TreeNode | undefined, names: ReadonlySet<ByteString>): void {
    const isAsked = this.#path === "" || this.#asksFor(this.#path);
    if (this.#opened !== undefined || isAsked) this.#real().finish(node, names);
  }

  close(): void {
    this.#opened?.close();
  }

  #real(): TargetFolder<Place> {
    return this.#opened ??= this.#open();
  }
}
