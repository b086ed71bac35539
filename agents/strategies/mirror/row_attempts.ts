/** How often each file was tried. Rule: copying it again after a failed verification is another attempt. */
export class RowAttempts {
  readonly #attempts = new Map<number, number>();

  of(row: number): number {
    return this.#attempts.get(row) ?? 1;
  }

  /** One that is copied again has used up attempts already, of which the queue knows nothing. */
  atLeast(row: number, attempts: number): void {
    if (attempts > this.of(row)) this.#attempts.set(row, attempts);
  }
}
