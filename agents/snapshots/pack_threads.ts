/**
 * Reads the packs of one repository on all processors. Rule: threads are started only where there is so much to read that they
 * pay for themselves, and no more of them than memory allows; a disk that hangs is given up like anywhere else.
 */
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import type { PackReaders, Repository } from "../repository/mod.ts";
import { ThreadClient } from "../threads/thread_rpc.ts";
import { ThreadWatch } from "../threads/thread_watch.ts";
import { PACK_ROOM_MAX_BYTES, type PackThreadStart, verifyRequestOf } from "./pack_thread.ts";

/** A thread starts in the time in which so much is read without it. */
export const THREADS_FROM_BYTES = 24 << 20;
/** What the packs in hand may take. */
const BUDGET_BYTES = 512 << 20;
/** Of each thread: one in hand, and one that it goes on with at once. */
const PACKS_A_THREAD = 2;
/** For what is under way when it is cancelled. */
const GRACE_MS = 5_000;

export interface PackThreadsOptions {
  clock: Clock;
  /** How long one operation may take. */
  timeoutMs: number;
  spawn(role: string): Worker;
  signal: AbortSignal;
  /** Absent: as many as there are processors. */
  count?: number;
}

/** Undefined where threads are of no use. */
export function startPackThreads(
  { store, master }: Pick<Repository, "store" | "master">,
  packSizes: readonly number[],
  options: PackThreadsOptions,
): PackReaders | undefined {
  const { folder } = store;
  const count = threadCount(packSizes, options.count ?? navigator.hardwareConcurrency);
  if (folder === undefined || count === 0) return undefined;
  const { clock, timeoutMs, signal } = options;
  const watch = new ThreadWatch(clock, timeoutMs);
  const start: PackThreadStart = { folder, master };
  const threads = Array.from({ length: count }, () => {
    const thread = new ThreadClient(options.spawn("packs"), start);
    watch.add(thread, folder);
    return thread;
  });
  const end = () => {
    for (const thread of threads) thread.cancel();
    const error = asBackupError(signal.reason ?? new BackupError("cancelled", "Cancelled"));
    void clock.sleep(GRACE_MS).then(() => threads.forEach((thread) => thread.abandon(error)));
  };
  if (signal.aborted) end();
  signal.addEventListener("abort", end, { once: true });
  return {
    atOnce: count * PACKS_A_THREAD,
    verify(pack) {
      const idlest = threads.reduce((a, b) => b.pendingCount < a.pendingCount ? b : a);
      return idlest.call<string[]>("verify", verifyRequestOf(pack));
    },
    async close() {
      await Promise.all(threads.map(async (thread) => {
        // What it has open belongs to the process, so that ending it would not close it.
        if (!thread.isClosed) await thread.callLast("close").catch(() => {});
        watch.remove(thread);
        thread.close();
      }));
      signal.removeEventListener("abort", end);
      watch.close();
    },
  };
}

function threadCount(packSizes: readonly number[], processors: number): number {
  let total = 0;
  let largest = PACK_ROOM_MAX_BYTES;
  for (const bytes of packSizes) {
    total += bytes;
    largest = Math.max(largest, bytes);
  }
  if (total < THREADS_FROM_BYTES) return 0;
  const affordable = Math.max(1, Math.floor(BUDGET_BYTES / largest));
  return Math.min(processors, affordable, packSizes.length);
}
