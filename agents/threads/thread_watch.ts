/**
 * Finds threads that are stuck in one disk operation. Rule: time counts only while a call is under way and its operation
 * counter stands still; past the deadline the thread is abandoned, never waited for.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import type { ThreadClient } from "./thread_rpc.ts";

interface Watched {
  what: string;
  operations: number;
  sinceMs: number;
}

/** How often threads are looked at. */
const LOOK_EVERY_MS = 250;
/** A flush may write out much more than one operation does. */
export const FLUSH_DEADLINE_FACTOR = 10;

export class ThreadWatch {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #watched = new Map<ThreadClient, Watched>();
  readonly #stop: () => void;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#stop = clock.every(Math.min(LOOK_EVERY_MS, timeoutMs / 4), () => this.#look());
  }

  /** `what` names the thread's destination in the error. */
  add(thread: ThreadClient, what: string): void {
    this.#watched.set(thread, {
      what,
      operations: thread.operations,
      sinceMs: this.#clock.monotonicMs(),
    });
  }

  remove(thread: ThreadClient): void {
    this.#watched.delete(thread);
  }

  /** How long the thread's operation in hand has taken; 0 while it is idle. */
  stillForMs(thread: ThreadClient): number {
    const watched = this.#watched.get(thread);
    if (watched === undefined || thread.pendingCount === 0) return 0;
    return thread.operations === watched.operations
      ? this.#clock.monotonicMs() - watched.sinceMs
      : 0;
  }

  close(): void {
    this.#stop();
    this.#watched.clear();
  }

  #look(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [thread, watched] of this.#watched) {
      const { operations } = thread;
      if (operations !== watched.operations || thread.pendingCount === 0) {
        watched.operations = operations;
        watched.sinceMs = nowMs;
        continue;
      }
      const allowedMs = this.#timeoutMs * (thread.isFlushing ? FLUSH_DEADLINE_FACTOR : 1);
      if (nowMs - watched.sinceMs < allowedMs) continue;
      this.#watched.delete(thread);
      thread.abandon(
        new BackupError(
          "deadline",
          `${watched.what} did not answer for ${Math.round((nowMs - watched.sinceMs) / 1000)} s`,
          {
            path: watched.what,
            hint: "Check the disk or the network; a longer --timeout waits longer",
            retry: "later",
          },
        ),
      );
    }
  }
}
