/**
 * Gives staged files their names. Rule: journal → flush → rename; what stood under a name is kept first, and what a crash
 * leaves under a name is known as ours.
 */
import type { OpenDestination } from "../../destinations/local_destination.ts";
import { posixError } from "../../platform/errno.ts";
import type { Posix } from "../../platform/posix.ts";
import { STATUS_PUBLISHED, STATUS_UNFINISHED } from "./entry_status.ts";
import { type ItemProblem, itemProblem } from "./item_problem.ts";
import { addToJournal } from "./journal.ts";
import type { KeptFiles, KeptNotes, Standing } from "./kept_files.ts";
import type { LaneCall } from "./lane_call.ts";
import type { LaneTask } from "./lane_task.ts";
import { type FileVersion, lineOfRow } from "./manifest_line.ts";

export interface Moved extends KeptNotes {
  /** Rows now under their final name. */
  published: number;
  problems: ItemProblem[];
}

export class Publisher {
  readonly #posix: Posix;
  readonly #destination: OpenDestination;
  readonly #call: LaneCall;
  readonly #kept: KeptFiles;

  constructor(posix: Posix, destination: OpenDestination, call: LaneCall, kept: KeptFiles) {
    this.#posix = posix;
    this.#destination = destination;
    this.#call = call;
    this.#kept = kept;
  }

  /**
   * Flushes what is staged and gives each file its name. The journal is written and flushed first: what a crash leaves
   * under a name must be known as ours.
   * @throws {BackupError} when the flush itself fails: then nothing of the batch was published
   */
  publish(
    task: LaneTask,
    rows: Uint32Array,
    versions: ReadonlyMap<number, FileVersion>,
    standing: Standing,
  ): Moved {
    const moved: Moved = { published: 0, problems: [], warnings: [] };
    this.#call.tick();
    task.assertMayChange();
    this.#writeJournal(task, rows, versions);
    if (this.#destination.batchFlush) {
      const result = this.#posix.flushFileSystem(this.#destination.root);
      if (result < 0) throw posixError(result, "flush", this.#destination.display);
    }
    const stage = task.stage();
    for (const row of rows) {
      if (this.#call.isStopped(task)) break;
      this.#call.tick();
      const parent = task.parentHandle(row);
      const name = task.storedName(row);
      const room = parent < 0
        ? { result: parent }
        : this.#kept.makeRoom(task, row, parent, name, standing, moved);
      let { result } = room;
      if (this.#call.isStopped(task)) {
        this.#kept.undoUnlessFenced(room);
        break;
      }
      if (result >= 0) result = this.#posix.rename(stage, task.stagedName(row), parent, name);
      if (result < 0) {
        room.undo?.();
        moved.problems.push(itemProblem(task, row, result, "rename into place"));
        continue;
      }
      moved.published++;
      task.status[row] = STATUS_PUBLISHED;
      task.status[task.table.columns.parent[row]!] = STATUS_UNFINISHED;
    }
    return moved;
  }

  #writeJournal(
    task: LaneTask,
    rows: Uint32Array,
    versions: ReadonlyMap<number, FileVersion>,
  ): void {
    const stage = task.stage();
    if (stage < 0 || rows.length === 0) return;
    const isFlushed = !this.#destination.batchFlush;
    addToJournal(this.#posix, stage, linesOf(task, rows, versions), isFlushed, this.#call.tick);
  }
}

function* linesOf(
  task: LaneTask,
  rows: Uint32Array,
  versions: ReadonlyMap<number, FileVersion>,
): Iterable<string> {
  for (const row of rows) {
    const version = versions.get(row);
    const sha256 = task.expectedHex(row, false, version);
    const stored = task.encoded?.form(row);
    yield lineOfRow(task.table, row, task.path(row), { sha256, version, stored });
  }
}
