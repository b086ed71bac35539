/**
 * Memory for bytes on their way, shared by all runs of one agent. Rule: a run gets what is left of it, but never less than
 * it needs to keep its destinations going; how many runs there can be is for the agent's slots.
 */

export interface BufferShare {
  readonly bytes: number;
  /** Makes room for the runs that begin later. A second time changes nothing. */
  giveBack(): void;
}

export class BufferBudget {
  #leftBytes: number;

  constructor(totalBytes: number) {
    this.#leftBytes = totalBytes;
  }

  /** What is left; negative where runs have got what they need beyond the budget. */
  get leftBytes(): number {
    return this.#leftBytes;
  }

  take(wantedBytes: number, neededBytes: number): BufferShare {
    const bytes = Math.max(neededBytes, Math.min(wantedBytes, this.#leftBytes));
    this.#leftBytes -= bytes;
    let isHeld = true;
    return {
      bytes,
      giveBack: () => {
        if (isHeld) this.#leftBytes += bytes;
        isHeld = false;
      },
    };
  }
}
