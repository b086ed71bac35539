/**
 * Opens the folders of one tree by path, part by part, without following links. Rule: entries come in walk order, so the
 * folders of the last path stay open for the next; deep ones are opened anew, since no process may hold them all.
 */
import { EINVAL } from "../../../platform/errno.ts";
import type { DirectoryHandle, Posix } from "../../../platform/posix.ts";
import { cNameOfLatin1 } from "../tree_removal.ts";
import { isConfined } from "./confined_path.ts";

const OPEN_MAX = 64;

export class PathChain {
  readonly #posix: Posix;
  readonly #root: DirectoryHandle;
  /** Of the folder in hand: its parts, and the handles of the first of them. */
  #parts: string[] = [];
  #handles: DirectoryHandle[] = [];
  /** The folder in hand when it lies deeper than handles are kept. */
  #deep: DirectoryHandle = -1;
  #path = "";

  /** `root` stays the caller's. */
  constructor(posix: Posix, root: DirectoryHandle) {
    this.#posix = posix;
    this.#root = root;
  }

  /** The folder at `path` (one byte a character, `""` the root), or -errno. Valid until the next call. */
  folder(path: string): DirectoryHandle {
    if (path === "") return this.#root;
    if (path === this.#path) return this.#last();
    if (!isConfined(path)) return -EINVAL;
    const parts = path.split("/");
    let shared = 0;
    while (shared < this.#handles.length && parts[shared] === this.#parts[shared]) shared++;
    this.#forget(shared);
    let at = shared === 0 ? this.#root : this.#handles[shared - 1]!;
    for (let depth = shared; depth < parts.length; depth++) {
      const next = this.#posix.openDirectory(at, cNameOfLatin1(parts[depth]!));
      if (depth > OPEN_MAX) this.#posix.closeDirectory(at);
      if (next < 0) {
        this.#deep = -1;
        this.#parts.length = this.#handles.length;
        this.#path = "";
        return next;
      }
      at = next;
      if (depth < OPEN_MAX) {
        this.#handles.push(next);
        this.#parts.push(parts[depth]!);
      } else this.#deep = next;
    }
    this.#path = path;
    return at;
  }

  close(): void {
    this.#forget(0);
  }

  #last(): DirectoryHandle {
    return this.#deep >= 0 ? this.#deep : this.#handles.at(-1)!;
  }

  #forget(keep: number): void {
    if (this.#deep >= 0) this.#posix.closeDirectory(this.#deep);
    this.#deep = -1;
    for (const handle of this.#handles.splice(keep)) this.#posix.closeDirectory(handle);
    this.#parts.length = keep;
    this.#path = "";
  }
}

/** The folder and the last part of a path that is not `""`. */
export function splitPath(path: string): { folder: string; name: Uint8Array } {
  const at = path.lastIndexOf("/");
  return { folder: at < 0 ? "" : path.slice(0, at), name: cNameOfLatin1(path.slice(at + 1)) };
}
