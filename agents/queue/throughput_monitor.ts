/**
 * How fast one destination is right now. Rule: a rate is bytes over a real span of time, so it is never NaN or
 * infinite and falls to 0 by itself when nothing moves.
 */
import { Ewma } from "../../protocol/base/ewma.ts";

export const SAMPLES_MAX = 30;
export const WINDOW_MS = 5000;
/** Everything recorded within one such step is one sample, so 30 samples always span the window. */
export const SAMPLE_MS = WINDOW_MS / SAMPLES_MAX;
/** How long the smoothed rate remembers; meant for time left, which should not jump. */
export const SMOOTHING_MS = 15_000;

/** All times are monotonic ms; a time before the last one counts as the last one. */
export class ThroughputMonitor {
  readonly #startMs: number;
  readonly #bytes = new Float64Array(SAMPLES_MAX);
  readonly #files = new Float64Array(SAMPLES_MAX);
  readonly #smoothed = new Ewma(SMOOTHING_MS);
  #windowBytes = 0;
  #windowFiles = 0;
  /** Number of the step that records go to, counted from the start; its sample is at this number modulo 30. */
  #openStep = 0;
  #nowMs: number;

  /** `startMs`: when the work began that the first record tells about. */
  constructor(startMs: number) {
    this.#startMs = startMs;
    this.#nowMs = startMs;
  }

  /** Adds what was done since the last record and returns the bytes per second of the window. */
  record(bytes: number, files: number, atMs: number): number {
    this.#moveTo(atMs);
    const slot = this.#openStep % SAMPLES_MAX;
    this.#bytes[slot]! += bytes;
    this.#files[slot]! += files;
    this.#windowBytes += bytes;
    this.#windowFiles += files;
    return this.#windowBytes / this.#spanS();
  }

  /** Mean over the last 5 s, or since the start when that is shorter. */
  bytesPerSecond(nowMs: number): number {
    this.#moveTo(nowMs);
    return this.#windowBytes / this.#spanS();
  }

  /** Mean over the last 5 s, or since the start when that is shorter. */
  filesPerSecond(nowMs: number): number {
    this.#moveTo(nowMs);
    return this.#windowFiles / this.#spanS();
  }

  /** The window's rate, exponentially weighted over about 15 s; the mean so far while younger than one window. */
  smoothedBytesPerSecond(nowMs: number): number {
    this.#moveTo(nowMs);
    return this.#openStep < SAMPLES_MAX ? this.bytesPerSecond(nowMs) : this.#smoothed.value;
  }

  /** Time the window covers, in seconds; never less than one sample. */
  #spanS(): number {
    const oldestStep = Math.max(0, this.#openStep - SAMPLES_MAX + 1);
    const spanMs = this.#nowMs - this.#startMs - oldestStep * SAMPLE_MS;
    return Math.max(SAMPLE_MS, spanMs) / 1000;
  }

  /** Opens the step that `nowMs` is in and drops the samples that left the window. */
  #moveTo(nowMs: number): void {
    if (!(nowMs > this.#nowMs)) return;
    this.#nowMs = nowMs;
    const step = Math.floor((nowMs - this.#startMs) / SAMPLE_MS);
    if (step === this.#openStep) return;
    // After a long silence every sample has left the window, so no more than all of them need clearing.
    for (let s = Math.max(this.#openStep + 1, step - SAMPLES_MAX + 1); s <= step; s++) {
      this.#bytes[s % SAMPLES_MAX] = 0;
      this.#files[s % SAMPLES_MAX] = 0;
    }
    this.#openStep = step;
    // Summed anew: adding and subtracting for hours would gather rounding errors.
    this.#windowBytes = this.#bytes.reduce((sum, bytes) => sum + bytes, 0);
    this.#windowFiles = this.#files.reduce((sum, files) => sum + files, 0);
    if (step >= SAMPLES_MAX) this.#smoothed.add(this.#windowBytes / this.#spanS(), nowMs);
  }
}
