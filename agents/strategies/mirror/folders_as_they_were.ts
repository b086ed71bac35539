/**
 * The folders of a copy while entries are taken out of them. Rule: a folder that is left has the mode and the time that it
 * had before: they are the source's, and only what is in it changed.
 */
import type { OpenDestination } from "../../destinations/local_destination.ts";
import { type DirectoryHandle, newStat, type Posix } from "../../platform/posix.ts";
import { LastDirectory } from "./last_directory.ts";

export class FoldersAsTheyWere {
  readonly #last: LastDirectory;
  /** Of the folder that is open: what it is given back when it is left. */
  readonly #before = newStat();
  #isChanged = false;

  /** `copy`, the top folder, stays the caller's. */
  constructor(posix: Posix, destination: OpenDestination, copy: DirectoryHandle) {
    this.#last = new LastDirectory(posix, copy, false, {
      onOpened: (handle) => {
        this.#isChanged = false;
        posix.statDirectory(handle, this.#before);
        if ((this.#before.mode & 0o300) !== 0o300) {
          posix.setFileMode(handle, this.#before.mode | 0o700);
          this.#isChanged = true;
        }
      },
      onLeaving: (handle) => {
        if (!this.#isChanged) return;
        posix.setFileMode(handle, this.#before.mode);
        posix.setFileTimes(handle, this.#before.mtimeSec, this.#before.mtimeNsec);
        if (!destination.batchFlush) posix.flushDirectory(handle);
      },
    });
  }

  /** The folder at `path`, or -errno; the one before is left. */
  open(path: string): DirectoryHandle {
    return this.#last.open(path);
  }

  /** Something was taken out of the folder that is open. */
  markChanged(): void {
    this.#isChanged = true;
  }

  close(): void {
    this.#last.close();
  }
}
