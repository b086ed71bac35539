/**
 * Whether an attempt may still change anything, as every thread that works on it sees it. Rule: it ends when it is told to,
 * and by itself when its lease is over, also in a process that was stopped meanwhile and told nothing.
 */
import { kernelBootMs } from "../../../protocol/base/boot_time.ts";
import { BackupError } from "../../../protocol/base/errors.ts";

const BYTES = 16;

export class AttemptGuard {
  /** Goes to other threads. */
  readonly shared: SharedArrayBuffer;
  readonly #isStopped: Int32Array;
  /** On the boot clock, which is one for all processes of a machine. */
  readonly #endsAtMs: Float64Array;
  readonly #now: () => number | undefined;

  /** `now`: undefined where no clock is the same in all threads; then it ends only when it is told to. */
  constructor(shared?: SharedArrayBuffer, now: () => number | undefined = kernelBootMs) {
    this.shared = shared ?? new SharedArrayBuffer(BYTES);
    this.#isStopped = new Int32Array(this.shared, 0, 1);
    this.#endsAtMs = new Float64Array(this.shared, 8, 1);
    this.#now = now;
    if (shared === undefined) this.#endsAtMs[0] = Infinity;
  }

  /** For good. */
  stop(): void {
    Atomics.store(this.#isStopped, 0, 1);
  }

  /** Its lease now ends then. */
  endAt(bootMs: number): void {
    this.#endsAtMs[0] = bootMs;
  }

  get isOver(): boolean {
    const endsAtMs = this.#endsAtMs[0]!;
    return Atomics.load(this.#isStopped, 0) !== 0 ||
      (endsAtMs !== Infinity && (this.#now() ?? -Infinity) >= endsAtMs);
  }
}

export function superseded(): BackupError {
  return new BackupError("superseded", "The task belongs to another attempt now");
}
