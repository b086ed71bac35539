/** The rows of a lane that ended a step last. Rule: bounded, and cheap enough to be told of every file. */

export interface RecentRow {
  row: number;
  mark: "copied" | "verified" | "failed";
}

/** As many as are shown. */
export const RECENT_ROWS_MAX = 15;

export class RecentRows {
  readonly #ring: RecentRow[] = [];
  #next = 0;

  add(row: number, mark: RecentRow["mark"]): void {
    this.#ring[this.#next % RECENT_ROWS_MAX] = { row, mark };
    this.#next++;
  }

  /** Since the last call, the oldest first. */
  take(): RecentRow[] {
    const count = Math.min(this.#next, RECENT_ROWS_MAX);
    const first = this.#next - count;
    const rows = Array.from(
      { length: count },
      (_, k) => this.#ring[(first + k) % RECENT_ROWS_MAX]!,
    );
    this.#next = 0;
    return rows;
  }
}
