/**
 * What stood under a name before this run. Rule: a file that is replaced is kept in the stage until its successor was read
 * back, and comes back when that one was given up.
 */
import type { OpenDestination } from "../../destinations/local_destination.ts";
import { EEXIST, ENOENT, EPERM, errnoText } from "../../platform/errno.ts";
import {
  cName,
  type DirectoryHandle,
  KIND_DIRECTORY,
  KIND_FILE,
  newStat,
  type Posix,
} from "../../platform/posix.ts";
import { Displaced, type Room } from "./displaced.ts";
import { STATUS_FAILED, STATUS_PUBLISHED, STATUS_UNFINISHED } from "./entry_status.ts";
import type { LaneCall } from "./lane_call.ts";
import type { LaneTask } from "./lane_task.ts";
import { KEPT_DIRECTORY } from "./recovery.ts";
import { openPath } from "./tree_removal.ts";

/** What is known about what stands under the names of a batch. */
export interface Standing {
  /** Something may stand there already. */
  keepOld: boolean;
  /** Rows whose name holds what a person made or altered: it is moved away and named, never deleted. */
  strangers: ReadonlySet<number>;
  /** Rows whose name holds what this very run published: not worth keeping. */
  ours: ReadonlySet<number>;
}

export interface KeptNotes {
  warnings: string[];
  /** The path of an earlier version that can only be kept by leaving the whole stage to the next run. */
  stageMustStay?: string;
}

/** What became of a copy that is wrong or was not to be had. */
export interface GivenUp extends KeptNotes {
  /** "stays": what stands under the name was not touched. */
  outcome: "back" | "removed" | "stays";
}

export class KeptFiles {
  readonly #posix: Posix;
  readonly #destination: OpenDestination;
  readonly #call: LaneCall;
  readonly #displaced: Displaced;
  readonly #stat = newStat();

  constructor(posix: Posix, destination: OpenDestination, call: LaneCall, displaced: Displaced) {
    this.#posix = posix;
    this.#destination = destination;
    this.#call = call;
    this.#displaced = displaced;
  }

  /** Links (or moves) what stands under the name into the stage, or to `displaced/` when it is not of our making. */
  makeRoom(
    task: LaneTask,
    row: number,
    parent: DirectoryHandle,
    name: Uint8Array,
    standing: Standing,
    noted: KeptNotes,
  ): Room {
    if (!standing.keepOld || standing.ours.has(row)) return { result: 0 };
    const found = this.#posix.statAt(parent, name, this.#stat);
    if (found === -ENOENT) return { result: 0 };
    if (found < 0) return { result: found };
    const isStranger = standing.strangers.has(row);
    if (this.#stat.kind === KIND_DIRECTORY || isStranger) {
      return this.#displaced.displace(task, row, parent, name, noted.warnings, isStranger);
    }
    if (this.#stat.kind !== KIND_FILE) return { result: 0 };
    const path = task.table.pathLatin1(task.table.columns.parent[row]!);
    const kept = this.#openKept(task.stage(), path, true);
    if (kept < 0) return { result: kept };
    // Renamed over `Name`, a file called `name` would be `Name` still where names fold: there the name is made free.
    let result = this.#destination.foldsCase ? -EPERM : this.#posix.link(parent, name, kept, name);
    let isMoved = false;
    // A second attempt in one run: what is kept already is the older, verified one.
    if (result === -EEXIST) result = 0;
    else if (result < 0) {
      const isKept = this.#posix.statAt(kept, name, this.#stat) === 0;
      // No hard links: moved instead, so the name is free for a moment; the stage puts it back after a crash.
      result = isKept ? 0 : this.#posix.rename(parent, name, kept, name);
      isMoved = !isKept && result >= 0;
    }
    this.#posix.closeDirectory(kept);
    if (!isMoved) return { result };
    return {
      result,
      undo: () => {
        const back = this.#putBack(task, row);
        if (typeof back === "number") this.#setAside(task, row, back, noted);
      },
    };
  }

  /** A thread that was given up leaves the name to its successor, who finds in the stage what was moved there. */
  undoUnlessFenced(room: Room): void {
    if (!this.#call.isFenced) room.undo?.();
  }

  /**
   * After the last attempt: the earlier version comes back when there was one. When there was none, what stands under the
   * name is taken away if `mayRemove`: this run put it there, and its bytes are wrong.
   */
  giveUp(task: LaneTask, row: number, mayRemove: boolean): GivenUp {
    const given: GivenUp = { outcome: "stays", warnings: [] };
    this.#call.tick();
    task.assertMayChange();
    const back = this.#putBack(task, row);
    if (back === "back") given.outcome = "back";
    else if (back !== "none") this.#setAside(task, row, back, given);
    else if (mayRemove) {
      const parent = task.parentHandle(row);
      const result = parent < 0 ? parent : this.#posix.unlink(parent, task.storedName(row));
      if (result >= 0 || result === -ENOENT) given.outcome = "removed";
      else {
        given.warnings.push(
          `${task.display(row)} is wrong and could not be removed: ${errnoText(-result)}`,
        );
      }
    }
    // The manifest keeps the line of a failed row and has none for a row that was only published.
    task.status[row] = given.outcome === "removed" ? STATUS_PUBLISHED : STATUS_FAILED;
    return given;
  }

  /** Puts the kept version back under its name; -errno when there is one and it cannot be put there. */
  #putBack(task: LaneTask, row: number): "back" | "none" | number {
    const stage = task.stage();
    const parentRow = task.table.columns.parent[row]!;
    const kept = this.#openKept(stage, task.table.pathLatin1(parentRow), false);
    if (kept === -ENOENT) return "none";
    if (kept < 0) return kept;
    const name = task.storedName(row);
    let result = this.#posix.statAt(kept, name, this.#stat);
    if (result === -ENOENT) {
      this.#posix.closeDirectory(kept);
      return "none";
    }
    const parent = task.parentHandle(row);
    if (result >= 0) {
      result = parent < 0 ? parent : this.#posix.rename(kept, name, parent, name);
    }
    this.#posix.closeDirectory(kept);
    return result < 0 ? result : "back";
  }

  /**
   * The stage is removed in the end, so an earlier version that cannot be put back moves to a stage of its own, which the
   * next run recovers. When that fails too the whole stage must stay.
   */
  #setAside(
    task: LaneTask,
    row: number,
    error: number,
    noted: KeptNotes,
  ): void {
    const path = task.table.pathLatin1(task.table.columns.parent[row]!);
    const from = this.#openKept(task.stage(), path, false);
    const aside = task.openAside();
    const to = this.#openKept(aside, path, true);
    const name = task.storedName(row);
    const result = from < 0 || to < 0
      ? Math.min(from, to)
      : this.#posix.rename(from, name, to, name);
    if (result >= 0 && !this.#destination.batchFlush) this.#posix.flushDirectory(to);
    for (const handle of [from, to, aside]) if (handle >= 0) this.#posix.closeDirectory(handle);
    if (result < 0) noted.stageMustStay = task.display(row);
    noted.warnings.push(
      `The earlier version of ${task.display(row)} could not be put back ` +
        `(${errnoText(-error)}): it is kept in .backup-agent/stage/${task.stageKey}, ` +
        "and the next run puts it back",
    );
  }

  /**
   * Moves what stands under another name than `row` gets now to where replaced files are kept: until the manifest says
   * that its successor is verified it can come back. `toPeople`: to where a person finds it, since it is no version of what
   * `row` is now.
   */
  retireForm(
    task: LaneTask,
    row: number,
    name: Uint8Array,
    toPeople: boolean,
    warnings: string[],
  ): number {
    const parent = task.parentHandle(row);
    if (parent < 0) return parent;
    task.status[task.table.columns.parent[row]!] = STATUS_UNFINISHED;
    if (toPeople) return this.#displaced.displace(task, row, parent, name, warnings, false).result;
    const path = task.table.pathLatin1(task.table.columns.parent[row]!);
    const kept = this.#openKept(task.stage(), path, true);
    if (kept < 0) return kept;
    const result = this.#posix.rename(parent, name, kept, name);
    this.#posix.closeDirectory(kept);
    return result;
  }

  /** `kept/` of a stage and the folder `path` in it; -errno, -ENOENT when nothing was kept there. */
  #openKept(stage: number, path: string, create: boolean): number {
    if (stage < 0) return stage;
    if (create) this.#posix.makeDirectory(stage, cName(KEPT_DIRECTORY), 0o700);
    const kept = this.#posix.openDirectory(stage, cName(KEPT_DIRECTORY));
    if (kept < 0) return kept;
    const handle = openPath(this.#posix, kept, path, create);
    this.#posix.closeDirectory(kept);
    return handle;
  }
}
