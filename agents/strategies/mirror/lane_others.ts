/**
 * Symbolic links, FIFOs, device nodes and further names of files. Rule: each is made under a temporary name and renamed,
 * as files are; what the destination cannot hold becomes RECORDED, with its name free.
 */
import type { Capabilities } from "../../destinations/capabilities.ts";
import { EMLINK, ENOENT, ENOSYS, EOPNOTSUPP, EPERM, EXDEV } from "../../platform/errno.ts";
import { type DirectoryHandle, KIND_FILE, KIND_SYMLINK, type Posix } from "../../platform/posix.ts";
import { NONE } from "../../source/entry_table.ts";
import {
  STATUS_FAILED,
  STATUS_PUBLISHED,
  STATUS_RECORDED,
  STATUS_UNFINISHED,
} from "./entry_status.ts";
import { itemProblem } from "./item_problem.ts";
import type { KeptFiles, Standing } from "./kept_files.ts";
import type { LaneCall } from "./lane_call.ts";
import type { LaneTask } from "./lane_task.ts";
import type { MetadataSetter } from "./metadata_setter.ts";
import type { Moved } from "./publisher.ts";
import { isRefusedNode } from "./recorded_only.ts";

export interface MovedOthers extends Moved {
  /** Further names that there can be no links for: files of their own keep the content. */
  asFiles: number[];
}

/** -errno, or how a row gets its name. */
type Made = number | "staged" | "recorded" | "as file";

/** There are no hard links here, or not so many, or not of this. */
const NO_LINKS: ReadonlySet<number> = new Set([-EPERM, -EOPNOTSUPP, -EMLINK, -EXDEV, -ENOSYS]);

export class LaneOthers {
  readonly #posix: Posix;
  readonly #call: LaneCall;
  readonly #kept: KeptFiles;
  readonly #metadata: MetadataSetter;

  constructor(posix: Posix, call: LaneCall, kept: KeptFiles, metadata: MetadataSetter) {
    this.#posix = posix;
    this.#call = call;
    this.#kept = kept;
    this.#metadata = metadata;
  }

  make(
    task: LaneTask,
    rows: Uint32Array,
    standing: Standing,
    capabilities: Capabilities,
  ): MovedOthers {
    const moved: MovedOthers = { published: 0, problems: [], warnings: [], asFiles: [] };
    const { parent } = task.table.columns;
    task.assertMayChange();
    const stage = task.stage();
    for (const row of rows) {
      if (this.#call.isStopped(task)) break;
      this.#call.tick();
      const made = this.#stage(task, row, stage, capabilities);
      if (made === "as file") {
        moved.asFiles.push(row);
        continue;
      }
      const isRecorded = made === "recorded";
      const result = typeof made === "number"
        ? made
        : this.#publish(task, row, stage, isRecorded, standing, moved);
      if (result === "stopped") break;
      if (result < 0) {
        moved.problems.push(itemProblem(task, row, result, "create"));
        task.status[row] = STATUS_FAILED;
        continue;
      }
      if (!isRecorded) moved.published++;
      task.status[row] = isRecorded ? STATUS_RECORDED : STATUS_PUBLISHED;
      task.status[parent[row]!] = STATUS_UNFINISHED;
    }
    return moved;
  }

  /** Under its temporary name, with its metadata. */
  #stage(task: LaneTask, row: number, stage: DirectoryHandle, capabilities: Capabilities): Made {
    const posix = this.#posix;
    const { table } = task;
    const c = table.columns;
    const parent = task.parentHandle(row);
    if (parent < 0) return parent;
    if (stage < 0) return stage;
    const staged = task.stagedName(row);
    const isFurtherName = c.linkTo[row] !== NONE;
    if (isFurtherName && c.kind[row] === KIND_FILE) {
      return this.#linkFile(task, row, stage, staged, capabilities);
    }
    if (!capabilities.holds(c.kind[row]!)) return "recorded";
    posix.unlink(stage, staged);
    const isLinked = isFurtherName && capabilities.hardLinks &&
      this.#linkOther(task, row, stage, staged);
    let result = 0;
    if (!isLinked && c.kind[row] === KIND_SYMLINK) {
      result = posix.symlink(table.cLinkTarget(row), stage, staged);
    } else if (!isLinked) {
      result = posix.makeNode(stage, staged, c.kind[row]!, c.mode[row]!, c.sizeBytes[row]!);
      if (isRefusedNode(result)) return "recorded";
    }
    if (result >= 0) result = this.#metadata.ofOther(task, row, stage, staged);
    return result < 0 ? result : "staged";
  }

  #linkFile(
    task: LaneTask,
    row: number,
    stage: DirectoryHandle,
    staged: Uint8Array,
    capabilities: Capabilities,
  ): Made {
    this.#posix.unlink(stage, staged);
    const first = task.table.columns.linkTo[row]!;
    const parent = task.parentHandle(first);
    if (parent < 0) return parent;
    if (!capabilities.hardLinks) return "as file";
    const result = this.#posix.link(parent, task.storedName(first), stage, staged);
    if (NO_LINKS.has(result)) return "as file";
    return result < 0 ? result : "staged";
  }

  /** A further name of a symbolic link or node; false where there are no such links, and one of its own will do. */
  #linkOther(task: LaneTask, row: number, stage: number, staged: Uint8Array): boolean {
    const first = task.table.columns.linkTo[row]!;
    if (task.status[first] === STATUS_FAILED) return false;
    const parent = task.parentHandle(first);
    return parent >= 0 &&
      this.#posix.link(parent, task.table.cName(first), stage, staged) >= 0;
  }

  /** Gives it its name; where it is only recorded the name is made free. */
  #publish(
    task: LaneTask,
    row: number,
    stage: DirectoryHandle,
    isRecorded: boolean,
    standing: Standing,
    moved: Moved,
  ): number | "stopped" {
    // Fetched again: the first name's folder may have taken the place of its handle.
    const parent = task.parentHandle(row);
    if (parent < 0) return parent;
    const name = task.storedName(row);
    const staged = task.stagedName(row);
    const room = this.#kept.makeRoom(task, row, parent, name, standing, moved);
    let { result } = room;
    if (this.#call.isStopped(task)) {
      this.#kept.undoUnlessFenced(room);
      return "stopped";
    }
    if (result >= 0) {
      result = isRecorded
        ? this.#makeFree(parent, name, standing)
        : this.#posix.rename(stage, staged, parent, name);
    }
    if (result < 0) room.undo?.();
    // Renaming one name of a file over another name of the same file does nothing and leaves both.
    else if (task.table.columns.linkTo[row] !== NONE) this.#posix.unlink(stage, staged);
    return result;
  }

  /** After `makeRoom`, which may have left a link to what it kept. */
  #makeFree(parent: number, name: Uint8Array, standing: Standing): number {
    if (!standing.keepOld) return 0;
    const result = this.#posix.unlink(parent, name);
    return result === -ENOENT ? 0 : result;
  }
}
