/**
 * Staged files are flushed and published together. Rule: one batch after the other, and all of a batch is flushed before
 * its first file gets its name.
 */
import type { Clock } from "../../../protocol/base/clock.ts";

/**
 * A flush costs a barrier on the disk, so it is not done more often than this; but it runs beside the copying, so that the
 * disk writes while the next files are read …
 */
const PUBLISH_EVERY_MS = 3000;
/** … and never later than after so many files … */
const PUBLISH_FILES = 32_768;
/** … or so many bytes. */
const PUBLISH_BYTES = 1 << 30;

export class StagedBatches {
  readonly #clock: Clock;
  readonly #publish: (rows: number[]) => Promise<void>;
  #staged: number[] = [];
  #stagedBytes = 0;
  #publishing: Promise<void> = Promise.resolve();
  #isPublishing = false;
  #publishedAtMs: number;

  constructor(clock: Clock, publish: (rows: number[]) => Promise<void>) {
    this.#clock = clock;
    this.#publish = publish;
    this.#publishedAtMs = clock.monotonicMs();
  }

  add(row: number, sizeBytes: number): void {
    this.#staged.push(row);
    this.#stagedBytes += sizeBytes;
  }

  publishWhenDue(): void {
    if (this.#staged.length === 0 || this.#isPublishing) return;
    const sinceMs = this.#clock.monotonicMs() - this.#publishedAtMs;
    if (
      sinceMs >= PUBLISH_EVERY_MS || this.#staged.length >= PUBLISH_FILES ||
      this.#stagedBytes >= PUBLISH_BYTES
    ) {
      // What goes wrong here shows in the failures, or when the last batch is published.
      this.publishAll().catch(() => {});
    }
  }

  /** @throws {BackupError} what this batch, or one before it, could not be published for */
  publishAll(): Promise<void> {
    const rows = this.#staged;
    this.#staged = [];
    this.#stagedBytes = 0;
    this.#isPublishing = true;
    const done = this.#publishing.then(async () => {
      if (rows.length > 0) await this.#publish(rows);
    });
    this.#publishing = done;
    const ended = () => {
      if (this.#publishing !== done) return;
      this.#isPublishing = false;
      this.#publishedAtMs = this.#clock.monotonicMs();
    };
    done.then(ended, ended);
    return done;
  }
}
