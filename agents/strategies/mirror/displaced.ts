/**
 * What has to leave its name and is nothing of ours goes where a person finds it. Rule: it is named in a warning, and
 * nothing in `displaced/` is ever written over.
 */
import { DISPLACED_DIRECTORY } from "../../destinations/layout.ts";
import type { OpenDestination } from "../../destinations/local_destination.ts";
import { ENOENT, EPERM } from "../../platform/errno.ts";
import { cName, type DirectoryHandle, newStat, type Posix } from "../../platform/posix.ts";
import type { LaneTask } from "./lane_task.ts";

/** The name was made free, or a negative `result`; `undo` puts what stood there back, when it does not stand any more. */
export interface Room {
  result: number;
  undo?: () => void;
}

export class Displaced {
  readonly #posix: Posix;
  readonly #destination: OpenDestination;
  readonly #stat = newStat();

  constructor(posix: Posix, destination: OpenDestination) {
    this.#posix = posix;
    this.#destination = destination;
  }

  /** `isStranger`: a person made or altered it; else it is of another kind than the row is now. */
  displace(
    task: LaneTask,
    row: number,
    parent: DirectoryHandle,
    name: Uint8Array,
    warnings: string[],
    isStranger: boolean,
  ): Room {
    const posix = this.#posix;
    const { own } = this.#destination;
    posix.makeDirectory(own, cName(DISPLACED_DIRECTORY), 0o700);
    const displaced = posix.openDirectory(own, cName(DISPLACED_DIRECTORY));
    if (displaced < 0) return { result: displaced };
    // One row can be displaced more than once in a run, and nothing here is ever written over.
    const base = `${task.stageKey}-${task.share.runId}-${row}`;
    let asName = base;
    let found = posix.statAt(displaced, cName(asName), this.#stat);
    for (let n = 2; found === 0; n++) {
      asName = `${base}-${n}`;
      found = posix.statAt(displaced, cName(asName), this.#stat);
    }
    const to = cName(asName);
    let result = found === -ENOENT ? 0 : found;
    let isMoved = false;
    if (result >= 0) {
      // A link first: then something stands under the name at every moment.
      const mayLink = isStranger && !this.#destination.foldsCase;
      result = mayLink ? posix.link(parent, name, displaced, to) : -EPERM;
      if (result < 0) {
        result = posix.rename(parent, name, displaced, to);
        isMoved = result >= 0;
      }
    }
    posix.closeDirectory(displaced);
    if (result < 0) return { result };
    const why = isStranger ? "was made or altered by hand" : "changed its kind";
    const warning = `${task.display(row)} ${why}; what stood there is now ` +
      `.backup-agent/${DISPLACED_DIRECTORY}/${asName}`;
    warnings.push(warning);
    const undo = () => {
      const from = posix.openDirectory(own, cName(DISPLACED_DIRECTORY));
      if (from < 0) return;
      const back = isMoved ? posix.rename(from, to, parent, name) : posix.unlink(from, to);
      posix.closeDirectory(from);
      if (back >= 0) warnings.splice(warnings.lastIndexOf(warning), 1);
    };
    return { result, undo };
  }
}
