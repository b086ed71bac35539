/**
 * The call that a destination's thread has in hand. Rule: it says that it lives before every touch of the disk, and ends
 * between two of them when it is told to.
 */
import type { ThreadCells } from "../../threads/thread_rpc.ts";

export class LaneCall {
  readonly #cells: ThreadCells;

  constructor(cells: ThreadCells) {
    this.#cells = cells;
  }

  readonly tick = (): void => {
    Atomics.add(this.#cells.operations, 0, 1);
  };

  /** So many more bytes went to the disk. */
  moved(bytes: number): void {
    this.#cells.bytes[0]! += bytes;
  }

  /** The thread was given up: its successor is at work, and it must publish nothing any more. */
  get isFenced(): boolean {
    return Atomics.load(this.#cells.fenced, 0) !== 0;
  }

  /** The call is to end: its thread was told so, or the attempt it is for is over. */
  isStopped(attempt: { isOver: boolean }): boolean {
    return Atomics.load(this.#cells.cancelled, 0) !== 0 || this.isFenced || attempt.isOver;
  }
}
