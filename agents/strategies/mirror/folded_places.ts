/**
 * Where a destination folds names, what the source renamed from `File` to `file` is one place. Rule: a line of the old name
 * is let go of once the new one stands there; as long as that failed, the old line says what is there.
 */
import { foldName } from "../../destinations/name_folding.ts";
import { utf8OfLatin1 } from "../../source/entry_table.ts";
import { STATUS_FAILED, STATUS_STAGED, STATUS_WANTED } from "./entry_status.ts";
import type { LaneTask } from "./lane_task.ts";

/** Such rows have put nothing under their names. */
const NOT_IN_PLACE: ReadonlySet<number> = new Set([STATUS_FAILED, STATUS_WANTED, STATUS_STAGED]);

/** The places that the rows of a task have at its destination, found when first asked for. */
export class FoldedPlaces {
  readonly #task: LaneTask;
  readonly #foldsCase: boolean;
  readonly #tick: () => void;
  #taken: Set<string> | undefined;

  constructor(task: LaneTask, foldsCase: boolean, tick: () => void) {
    this.#task = task;
    this.#foldsCase = foldsCase;
    this.#tick = tick;
  }

  /** Whether `path` (one byte a character), which is no row's, is the place of a row that stands there now. */
  isTaken(path: string): boolean {
    if (!this.#foldsCase) return false;
    this.#taken ??= this.#find();
    return this.#taken.has(foldName(utf8OfLatin1(path)));
  }

  #find(): Set<string> {
    const taken = new Set<string>();
    const { table, status } = this.#task;
    for (let i = 0; i < table.count; i++) {
      if ((i & 255) === 0) this.#tick();
      if (NOT_IN_PLACE.has(status[i]!)) continue;
      taken.add(foldName(utf8OfLatin1(this.#task.path(i))));
    }
    return taken;
  }
}
