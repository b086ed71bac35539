/**
 * The folders of a copy. Rule: while files are written into one it is writable for us; its owner, mode and time come at
 * the end, since every change inside moves the time.
 */
import type { OpenDestination } from "../../destinations/local_destination.ts";
import { EEXIST, posixError } from "../../platform/errno.ts";
import {
  cName,
  type DirectoryHandle,
  KIND_DIRECTORY,
  newStat,
  type Posix,
} from "../../platform/posix.ts";
import { FLAG_ABOVE, FLAG_DIVIDED } from "../../source/entry_table.ts";
import type { Displaced } from "./displaced.ts";
import { STATUS_PUBLISHED, STATUS_UNFINISHED, STATUS_WANTED } from "./entry_status.ts";
import { FoldedFolders } from "./folded_folders.ts";
import { type ItemProblem, itemProblem } from "./item_problem.ts";
import type { LaneCall } from "./lane_call.ts";
import type { LaneTask } from "./lane_task.ts";
import type { MetadataSetter } from "./metadata_setter.ts";
import { isUnsupported } from "./unsupported_metadata.ts";

const OF_OTHERS = FLAG_ABOVE | FLAG_DIVIDED;

export class LaneFolders {
  readonly #posix: Posix;
  readonly #destination: OpenDestination;
  readonly #call: LaneCall;
  readonly #displaced: Displaced;
  readonly #metadata: MetadataSetter;
  readonly #stat = newStat();

  constructor(
    posix: Posix,
    destination: OpenDestination,
    call: LaneCall,
    displaced: Displaced,
    metadata: MetadataSetter,
  ) {
    this.#posix = posix;
    this.#destination = destination;
    this.#call = call;
    this.#displaced = displaced;
    this.#metadata = metadata;
  }

  /**
   * All directories of the task that something is written in, top down, writable for us; final modes come at the end.
   * Safe to call again when rows have become WANTED.
   */
  make(task: LaneTask): { problems: ItemProblem[]; warnings: string[] } {
    const problems: ItemProblem[] = [];
    const warnings: string[] = [];
    const { table, status } = task;
    task.assertMayChange();
    const made = this.#posix.makeDirectory(
      this.#destination.root,
      cName(task.share.name),
      0o700,
    );
    if (made < 0 && made !== -EEXIST) {
      throw posixError(made, "create", `${this.#destination.display}/${task.share.name}`);
    }
    const written = parentsOfChanges(task);
    if (made === -EEXIST && (written[0] === 1 || status[0] === STATUS_UNFINISHED)) {
      this.#makeWritable(task, 0, this.#destination.root, cName(task.share.name));
    }
    const folders = this.#destination.foldsCase ? new FoldedFolders(this.#posix) : undefined;
    for (let i = 1; i < table.count; i++) {
      if (table.columns.kind[i] !== KIND_DIRECTORY) continue;
      if (status[i] !== STATUS_UNFINISHED && written[i] === 0) continue;
      if (this.#call.isStopped(task)) break;
      this.#call.tick();
      const parent = task.parentHandle(i);
      const name = table.cName(i);
      let result = parent < 0 ? parent : this.#posix.makeDirectory(parent, name, 0o700);
      if (result !== -EEXIST) status[table.columns.parent[i]!] = STATUS_UNFINISHED;
      else {
        result = this.#posix.statAt(parent, name, this.#stat);
        if (result === 0 && this.#stat.kind !== KIND_DIRECTORY) {
          status[table.columns.parent[i]!] = STATUS_UNFINISHED;
          result = this.#displaced.displace(task, i, parent, name, warnings, false).result;
          if (result >= 0) result = this.#posix.makeDirectory(parent, name, 0o700);
        } else if (result === 0) {
          this.#makeWritable(task, i, parent, name);
          const parentRow = table.columns.parent[i]!;
          if (folders?.rename(parentRow, parent, table.nameLatin1(i)) === true) {
            task.reopenFinals();
          }
        }
      }
      if (result < 0) problems.push(itemProblem(task, i, result, "create the folder"));
    }
    return { problems, warnings };
  }

  /** What cannot be made writable fails by name when something is written there. */
  #makeWritable(task: LaneTask, row: number, parent: DirectoryHandle, name: Uint8Array): void {
    if (this.#posix.statAt(parent, name, this.#stat) < 0) return;
    if (this.#stat.kind !== KIND_DIRECTORY || (this.#stat.mode & 0o700) === 0o700) return;
    this.#posix.setModeAt(parent, name, this.#stat.mode | 0o700);
    task.status[row] = STATUS_UNFINISHED;
  }

  /** Owners, attributes, modes and times, deepest first. */
  finish(task: LaneTask): ItemProblem[] {
    const problems: ItemProblem[] = [];
    const { table, status } = task;
    const c = table.columns;
    const finals = task.finals();
    if (finals === undefined) return problems;
    for (let i = table.count - 1; i >= 0; i--) {
      if (c.kind[i] !== KIND_DIRECTORY || status[i] !== STATUS_UNFINISHED) continue;
      // Other parts of the source are still writing there: whoever puts the lists together finishes it.
      if ((c.flags[i]! & OF_OTHERS) !== 0) continue;
      this.#call.tick();
      const handle = finals.handle(i);
      let result = handle < 0 ? handle : this.#metadata.ofFolder(task, i, handle);
      // With a batch the flush of the whole file system comes next.
      if (result >= 0 && !this.#destination.batchFlush) {
        const flushed = this.#posix.flushDirectory(handle);
        if (!isUnsupported(flushed)) result = flushed;
      }
      if (result < 0) problems.push(itemProblem(task, i, result, "finish the folder"));
      else status[i] = STATUS_PUBLISHED;
    }
    return problems;
  }
}

/** 1 for every directory row in which an entry is to be made or replaced. */
function parentsOfChanges(task: LaneTask): Uint8Array {
  const { table, status } = task;
  const { parent } = table.columns;
  const found = new Uint8Array(table.count);
  for (let i = 1; i < table.count; i++) {
    if (status[i] === STATUS_WANTED || status[i] === STATUS_UNFINISHED) found[parent[i]!] = 1;
  }
  return found;
}
