/** What a lane has to say that is no failure. Rule: named up to a limit, and counted beyond it. */

export const WARNINGS_NAMED_MAX = 1000;

export class LaneWarnings {
  readonly #named: string[] = [];
  #unnamed = 0;

  add(warnings: readonly string[]): void {
    const room = WARNINGS_NAMED_MAX - this.#named.length;
    this.#named.push(...warnings.slice(0, room));
    this.#unnamed += Math.max(0, warnings.length - room);
  }

  get named(): string[] {
    return this.#unnamed === 0
      ? this.#named
      : [...this.#named, `… and ${this.#unnamed} more warnings`];
  }
}
