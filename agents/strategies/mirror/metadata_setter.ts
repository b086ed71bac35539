/**
 * Gives copies the owner, attributes, mode and time of their originals. Rule: in this order, since a new owner takes
 * capabilities and setuid away; what the destination does not take is counted, never a reason to lose the content.
 */
import { type DirectoryHandle, KIND_SYMLINK, type Posix } from "../../platform/posix.ts";
import { FLAG_XATTRS_UNKNOWN } from "../../source/entry_table.ts";
import {
  type Kept,
  setXattrsAt,
  setXattrsOfDirectory,
  setXattrsOfFile,
  SOME_REFUSED,
} from "./keep_xattrs.ts";
import type { LaneTask } from "./lane_task.ts";
import type { FileVersion } from "./manifest_line.ts";
import { NOT_KEPT_MODES, NOT_KEPT_OWNERS, NOT_KEPT_TIMES, NOT_KEPT_XATTRS } from "./not_kept.ts";
import { isUnsupported } from "./unsupported_metadata.ts";

export class MetadataSetter {
  readonly #posix: Posix;
  readonly #uid: number;
  readonly #gid: number;

  /** `identity`: of this process, to whom everything belongs that it makes. */
  constructor(posix: Posix, identity: { uid: number; gid: number }) {
    this.#posix = posix;
    this.#uid = identity.uid;
    this.#gid = identity.gid;
  }

  /** Of an open file, as the row has it or a later `version` that was read; 0 or -errno. */
  ofFile(task: LaneTask, row: number, fd: number, version: FileVersion | undefined): number {
    const c = task.table.columns;
    const v = version;
    const posix = this.#posix;
    this.#owner(
      () => posix.setFileOwner(fd, v?.uid ?? c.uid[row]!, v?.gid ?? c.gid[row]!),
      row,
      task,
      v,
    );
    let result = 0;
    // Before the mode, which may forbid to write.
    if (v?.xattrs !== undefined || task.table.hasXattrs(row)) {
      const list = v?.xattrs ?? task.table.xattrs(row);
      result = this.#xattrs(task, setXattrsOfFile(posix, fd, list));
    }
    if (result >= 0) {
      const mode = posix.setFileMode(fd, v?.mode ?? c.mode[row]!);
      result = this.#orCounted(task, NOT_KEPT_MODES, mode);
    }
    if (result < 0) return result;
    const timed = posix.setFileTimes(
      fd,
      v?.mtimeSec ?? c.mtimeSec[row]!,
      v?.mtimeNsec ?? c.mtimeNsec[row]!,
    );
    return this.#orCounted(task, NOT_KEPT_TIMES, timed);
  }

  /** Of a link or node that stands under a name: its own, never those of what it leads to; 0 or -errno. */
  ofOther(task: LaneTask, row: number, at: DirectoryHandle, name: Uint8Array): number {
    const posix = this.#posix;
    const c = task.table.columns;
    this.#owner(() => posix.setOwnerAt(at, name, c.uid[row]!, c.gid[row]!), row, task);
    let result = this.#xattrs(task, setXattrsAt(posix, at, name, task.table.xattrs(row)));
    if (result >= 0 && c.kind[row] !== KIND_SYMLINK) {
      const mode = posix.setModeAt(at, name, c.mode[row]!);
      result = this.#orCounted(task, NOT_KEPT_MODES, mode);
    }
    if (result < 0) return result;
    const timed = posix.setTimesAt(at, name, c.mtimeSec[row]!, c.mtimeNsec[row]!);
    return this.#orCounted(task, NOT_KEPT_TIMES, timed);
  }

  /** Of a folder, which may have stood there before; 0 or -errno. */
  ofFolder(task: LaneTask, row: number, handle: DirectoryHandle): number {
    const posix = this.#posix;
    const c = task.table.columns;
    this.#owner(() => posix.setFileOwner(handle, c.uid[row]!, c.gid[row]!), row, task);
    const attributed = (c.flags[row]! & FLAG_XATTRS_UNKNOWN) !== 0
      ? 0
      : this.#xattrs(task, setXattrsOfDirectory(posix, handle, task.table.xattrs(row)));
    const moded = this.#orCounted(
      task,
      NOT_KEPT_MODES,
      posix.setFileMode(handle, c.mode[row]!),
    );
    // By the right time the next run would take the folder for finished.
    const timed = attributed < 0
      ? attributed
      : posix.setFileTimes(handle, c.mtimeSec[row]!, c.mtimeNsec[row]!);
    const timeResult = this.#orCounted(task, NOT_KEPT_TIMES, timed);
    return moded < 0 ? moded : timeResult;
  }

  /** Attributes that are not taken are counted, for one warning; the manifest has them. */
  #xattrs(task: LaneTask, kept: Kept): number {
    if (kept !== SOME_REFUSED) return kept;
    Atomics.add(task.notKept, NOT_KEPT_XATTRS, 1);
    return 0;
  }

  /** Owners are kept when that is allowed; where it is not, the copy belongs to whoever runs this. */
  #owner(
    set: () => number,
    row: number,
    task: LaneTask,
    version?: FileVersion,
  ): void {
    const uid = version?.uid ?? task.table.columns.uid[row]!;
    const gid = version?.gid ?? task.table.columns.gid[row]!;
    if (uid === this.#uid && gid === this.#gid) return;
    if (set() < 0) Atomics.add(task.notKept, NOT_KEPT_OWNERS, 1);
  }

  /** Modes and times that this file system does not take are counted, for one warning: the content matters more. */
  #orCounted(task: LaneTask, what: number, result: number): number {
    if (!isUnsupported(result)) return result;
    Atomics.add(task.notKept, what, 1);
    return 0;
  }
}
