/**
 * Locks as restic's, so that both can work on one repository at once. Rule: nothing is written without one, a lock that cannot
 * be refreshed any more stops its holder, and of foreign locks only `unlock` removes any.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import { BackupError, IntegrityError } from "../../protocol/base/errors.ts";
import { formatTime, instantOfMs, localZone } from "./go_time.ts";
import { removeLeftoversOf } from "./leftovers.ts";
import {
  decodeLock,
  describeLock,
  encodeLock,
  type IsAlive,
  isStale,
  leftByUs,
  type LockFile,
  type LockOwner,
} from "./lock_file.ts";
import { shortId } from "./object_id.ts";
import type { Repository } from "./repository.ts";
import { surviveProbes } from "./survive_probe.ts";

export const REFRESH_EVERY_MS = 5 * 60_000;
/** As restic: later, others may take the lock for stale. */
export const LOST_AFTER_MS = 22.5 * 60_000;
/** Between writing a lock and believing it, so that two that came at once see each other. */
const SETTLE_MS = 200;
const RETRY_FIRST_MS = 5_000;
const RETRY_MAX_MS = 60_000;

export interface LockContext {
  clock: Clock;
  owner: LockOwner;
  isAlive: IsAlive;
}

export interface LockOptions {
  exclusive?: boolean;
  /** How long to try again when others hold it. */
  waitMs?: number;
  signal?: AbortSignal;
}

export class RepositoryLock {
  readonly exclusive: boolean;
  readonly #repository: Repository;
  readonly #context: LockContext;
  readonly #lost = new AbortController();
  #id: string;
  #refreshedAtMs: number;
  readonly #stop: () => void;
  readonly #endSurvival: () => void;
  #refreshing: Promise<void> = Promise.resolve();
  #released = false;

  constructor(
    repository: Repository,
    context: LockContext,
    { exclusive, id, survive }: { exclusive: boolean; id: string; survive: () => void },
  ) {
    this.#repository = repository;
    this.#context = context;
    this.exclusive = exclusive;
    this.#id = id;
    this.#refreshedAtMs = context.clock.monotonicMs();
    this.#endSurvival = survive;
    this.#stop = context.clock.every(REFRESH_EVERY_MS, () => {
      this.#loseWhenLate();
      this.#refreshing = this.#refreshing.then(() => this.#refresh());
    });
  }

  /** Aborted when the lock could not be refreshed in time: whoever holds it must stop writing. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Of its file at this moment. */
  get id(): string {
    return this.#id;
  }

  /** Waits until a refresh that is due has ended. */
  settled(): Promise<void> {
    return this.#refreshing;
  }

  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    this.#stop();
    await this.#refreshing;
    try {
      await this.#repository.remove("lock", this.#id);
    } finally {
      this.#endSurvival();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  async #refresh(): Promise<void> {
    if (this.#released || this.#lost.signal.aborted) return;
    try {
      const old = this.#id;
      // Somebody who removed the lock may be deleting what this run needs.
      const stands = (await this.#repository.list("lock")).some(({ id }) => id === old);
      if (!stands) return this.#lose("somebody removed it");
      this.#id = await writeLock(this.#repository, this.#context, this.exclusive);
      this.#refreshedAtMs = this.#context.clock.monotonicMs();
      await this.#repository.remove("lock", old);
    } catch {
      // The next tick tries again.
      this.#loseWhenLate();
    }
  }

  /** Asked at every tick too: a store that hangs never gets as far as failing. */
  #loseWhenLate(): void {
    const sinceMs = this.#context.clock.monotonicMs() - this.#refreshedAtMs;
    if (sinceMs >= LOST_AFTER_MS) this.#lose("it could not be refreshed in time");
  }

  #lose(why: string): void {
    const path = this.#repository.store.display;
    this.#lost.abort(
      new BackupError("destination_busy", `The lock of ${path} is lost: ${why}`, {
        path,
        retry: "later",
      }),
    );
  }
}

/**
 * Takes a lock, after removing those that processes of ours on this machine left when they died, with what they were writing.
 * @throws {BackupError} `destination_busy` when others hold one that it does not go together with
 */
export async function lockRepository(
  repository: Repository,
  context: LockContext,
  options: LockOptions = {},
): Promise<RepositoryLock> {
  const { exclusive = false, waitMs = 0, signal } = options;
  const { clock } = context;
  const deadlineMs = clock.monotonicMs() + waitMs;
  for (let pauseMs = RETRY_FIRST_MS;; pauseMs = Math.min(RETRY_MAX_MS, pauseMs * 2)) {
    try {
      return await tryLock(repository, context, exclusive, signal);
    } catch (error) {
      const isBusy = error instanceof BackupError && error.code === "destination_busy";
      const leftMs = deadlineMs - clock.monotonicMs();
      if (!isBusy || leftMs <= 0) throw error;
      await clock.sleep(Math.min(pauseMs, leftMs), signal);
    }
  }
}

export interface RemovedLock {
  id: string;
  lock: LockFile | undefined;
}

/** Removes locks that nobody holds any more, or all. What cannot be read counts as held, unless all go. */
export async function unlockRepository(
  repository: Repository,
  context: LockContext,
  { all = false }: { all?: boolean } = {},
): Promise<RemovedLock[]> {
  const removed: RemovedLock[] = [];
  for (const { id, lock } of await readLocks(repository)) {
    const nowMs = context.clock.nowMs();
    const isGone = lock !== undefined && isStale(lock, nowMs, context.owner, context.isAlive);
    if (!all && !isGone) continue;
    const left = lock && leftByUs(lock, context.owner.process, context.isAlive);
    if (left !== undefined) await removeLeftoversOf(repository, left);
    await repository.remove("lock", id);
    removed.push({ id, lock });
  }
  return removed;
}

async function tryLock(
  repository: Repository,
  context: LockContext,
  exclusive: boolean,
  signal: AbortSignal | undefined,
): Promise<RepositoryLock> {
  await requireFree(repository, context, exclusive, undefined);
  const survive = surviveProbes();
  let id: string | undefined;
  try {
    id = await writeLock(repository, context, exclusive);
    await context.clock.sleep(SETTLE_MS, signal);
    await requireFree(repository, context, exclusive, id);
    return new RepositoryLock(repository, context, { exclusive, id, survive });
  } catch (error) {
    if (id !== undefined) await repository.remove("lock", id).catch(() => {});
    survive();
    throw error;
  }
}

async function requireFree(
  repository: Repository,
  { owner, isAlive }: LockContext,
  exclusive: boolean,
  mine: string | undefined,
): Promise<void> {
  for (const { id, lock } of await readLocks(repository)) {
    if (id === mine) continue;
    const left = lock && leftByUs(lock, owner.process, isAlive);
    if (left !== undefined) {
      // The lock last: as long as it stands it says whose they are.
      await removeLeftoversOf(repository, left);
      await repository.remove("lock", id);
      continue;
    }
    if (lock !== undefined && !exclusive && !lock.exclusive) continue;
    const { display } = repository.store;
    const what = lock === undefined
      ? `has a lock that cannot be read: ${shortId(id)}`
      : `is ${describeLock(lock)}`;
    throw new BackupError("destination_busy", `${display} ${what}`, {
      path: display,
      retry: "later",
      hint:
        "Wait for it, also with --wait DURATION; if nobody works on the repository any more, run unlock",
    });
  }
}

/** Who holds it. Undefined for a lock that cannot be read. Empty ones, which a crash of restic leaves, are none. */
export async function readLocks(
  repository: Repository,
): Promise<{ id: string; lock: LockFile | undefined }[]> {
  const locks: { id: string; lock: LockFile | undefined }[] = [];
  for (const { id, sizeBytes } of await repository.list("lock")) {
    if (sizeBytes === 0) continue;
    try {
      const json = await repository.load("lock", id);
      locks.push({ id, lock: decodeLock(json, repository.pathOf("lock", id)) });
    } catch (error) {
      if (error instanceof IntegrityError) locks.push({ id, lock: undefined });
      // One that is gone was released or refreshed meanwhile.
      else if (!(error instanceof BackupError && error.code === "not_found")) throw error;
    }
  }
  return locks;
}

function writeLock(
  repository: Repository,
  { clock, owner }: LockContext,
  exclusive: boolean,
): Promise<string> {
  const time = formatTime(instantOfMs(clock.nowMs()), localZone);
  return repository.save("lock", encodeLock(owner, time, exclusive));
}
