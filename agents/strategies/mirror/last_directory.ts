/** The folder used last below a root, kept open while its siblings are handled. Rule: at most one is open. */
import type { DirectoryHandle, Posix } from "../../platform/posix.ts";
import { openPath } from "./tree_removal.ts";

export class LastDirectory {
  readonly #posix: Posix;
  readonly #root: DirectoryHandle;
  readonly #create: boolean;
  readonly #hooks: { onOpened?(handle: number): void; onLeaving?(handle: number): void };
  #path: string | undefined;
  #handle: DirectoryHandle = -1;

  /** `onOpened` and `onLeaving` see every folder once each time it is opened. `create`: missing levels are made. */
  constructor(
    posix: Posix,
    root: DirectoryHandle,
    create: boolean,
    hooks: { onOpened?(handle: number): void; onLeaving?(handle: number): void } = {},
  ) {
    this.#posix = posix;
    this.#root = root;
    this.#create = create;
    this.#hooks = hooks;
  }

  /** The folder at `path` (one byte a character, confined), or -errno. Good until the next call. */
  open(path: string): DirectoryHandle {
    if (path === this.#path && this.#handle >= 0) return this.#handle;
    this.close();
    const handle = openPath(this.#posix, this.#root, path, this.#create);
    if (handle < 0) return handle;
    this.#path = path;
    this.#handle = handle;
    this.#hooks.onOpened?.(handle);
    return handle;
  }

  close(): void {
    if (this.#handle < 0) return;
    this.#hooks.onLeaving?.(this.#handle);
    this.#posix.closeDirectory(this.#handle);
    this.#handle = -1;
    this.#path = undefined;
  }
}
