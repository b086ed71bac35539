/** An average that forgets. Rule: the weight of a value depends on the time it stands for, not on how often it is asked. */

/** Exponentially weighted moving average over irregular samples; times in ms of one monotonic clock. */
export class Ewma {
  readonly #timeConstantMs: number;
  #value = 0;
  #lastAtMs: number | undefined;

  /** After `timeConstantMs` a step in the input is 63 % in the average. @throws {RangeError} unless it is > 0. */
  constructor(timeConstantMs: number) {
    if (!(timeConstantMs > 0)) throw new RangeError(`Not a time constant: ${timeConstantMs} ms`);
    this.#timeConstantMs = timeConstantMs;
  }

  /** 0 before the first sample; never NaN or infinite. */
  get value(): number {
    return this.#value;
  }

  /**
   * Adds what was measured over the time since the last sample. The first sample is taken as it is. A sample that
   * is not finite is ignored; one at or before the time of the last changes nothing.
   */
  add(sample: number, atMs: number): void {
    if (!Number.isFinite(sample)) return;
    if (this.#lastAtMs === undefined) {
      this.#value = sample;
      this.#lastAtMs = atMs;
      return;
    }
    const elapsedMs = atMs - this.#lastAtMs;
    if (!(elapsedMs > 0)) return;
    const weight = -Math.expm1(-elapsedMs / this.#timeConstantMs);
    this.#value += weight * (sample - this.#value);
    this.#lastAtMs = atMs;
  }
}
