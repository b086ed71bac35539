/** `restore`: everything asked for is brought back, by threads of its own and with no coordinator. */
import { availableParallelism } from "node:os";
import { asBackupError, BackupError } from "../../../../protocol/base/errors.ts";
import type { Clock } from "../../../../protocol/base/clock.ts";
import { ThreadClient } from "../../../threads/thread_rpc.ts";
import { ThreadWatch } from "../../../threads/thread_watch.ts";
import type { Inspected } from "./inspect_restored.ts";
import type { OpenedKeys } from "../destination_keys.ts";
import { type GivenKeys, type KeySources, readKeys } from "../read_keys.ts";
import type { CopyPlan, Sample } from "./restore_plan.ts";
import { addReport, newReport, notKeptWarnings, type RestoreReport } from "./restore_report.ts";
import type { FilesRequest } from "./files_pass.ts";
import type { RestorePlan, RestoreThreadStart } from "./restore_thread.ts";

export interface RestoreOptions {
  /** Destinations to read from, absolute; later ones give what is damaged or missing at those before. */
  sources: readonly string[];
  /** Absolute. */
  target: string;
  /** `<name>` or `<name>/path`; none = everything. */
  paths: readonly string[];
  overwrite: boolean;
  /** Also what the source had lost. */
  withGone: boolean;
  dryRun: boolean;
  /** Where the secrets are for what is encrypted. */
  keys?: KeySources;
  /**
   * A drill: of each copy a part of the files, chosen by chance, is restored into a new folder, read again there and
   * compared with the source where that is on this host, and the folder removed.
   */
  drill?: { sample: Sample; hostId: string | undefined };
  /** All it may touch; absent or empty: anything. */
  roots?: readonly string[];
  /** Names this restore's folder of temporary names. */
  id: string;
  timeoutMs: number;
  waitMs: number;
  /** Most threads; by default as many as there are processors, at most 4. */
  threads?: number;
  onProgress(progress: RestoreProgress): void;
  signal: AbortSignal;
  clock: Clock;
}

export interface RestoreProgress {
  filesDone: number;
  filesTotal: number;
  bytesDone: number;
  bytesTotal: number;
  /** The copy in hand. */
  copy: string;
}

export interface RestoreOutcome extends RestoreReport {
  /** What was asked for. */
  planned: {
    files: number;
    bytes: number;
    folders: number;
    others: number;
    /** Left out because the source had lost them. */
    gone: number;
    /** Which nothing can restore. */
    sockets: number;
  };
  copies: string[];
  warnings: string[];
  /** Of each copy; a drill's only. */
  inspected: Inspected[];
}

const THREADS_MAX = 4;
const TICK_MS = 250;
const BUSY_RETRY_MS = 500;
/** How long threads may take to leave after Ctrl-C; whoever holds on is left to the end of the process. */
const LEAVE_MS = 600;

/**
 * Failures of single files are in the outcome; what ends everything is thrown.
 * @throws {BackupError} `destination_missing`, `destination_busy`, `usage` for a path that no copy has, `damaged` for a
 * list that cannot be trusted, `no_space`, `cancelled`, …
 */
export async function restoreFrom(
  options: RestoreOptions,
  spawn: (role: string) => Worker,
): Promise<RestoreOutcome> {
  const { clock, signal } = options;
  const watch = new ThreadWatch(clock, options.timeoutMs);
  const threads: ThreadClient[] = [];
  const cancel = () => threads.forEach((thread) => thread.cancel());
  signal.addEventListener("abort", cancel, { once: true });
  const parts = options.dryRun
    ? 1
    : Math.max(1, Math.min(options.threads ?? availableParallelism(), THREADS_MAX));
  try {
    signal.throwIfAborted();
    const { keys, warnings } = await untilCancelled(readKeys(options.keys ?? {}), options);
    signal.throwIfAborted();
    for (let part = 0; part < parts; part++) {
      const start: RestoreThreadStart = {
        sources: [...options.sources],
        target: options.target,
        id: options.id,
        part,
        parts,
        overwrite: options.overwrite,
        identities: keys.identities,
        isScratch: options.drill !== undefined,
        roots: options.roots ?? [],
      };
      const thread = new ThreadClient(spawn("restore"), start);
      watch.add(thread, [...options.sources, options.target].join(" or "));
      threads.push(thread);
    }
    const outcome = await untilCancelled(restoreWith(options, threads, keys), options);
    outcome.warnings.unshift(...warnings);
    return outcome;
  } catch (thrown) {
    if (signal.aborted) throw new BackupError("cancelled", "Cancelled");
    throw thrown;
  } finally {
    signal.removeEventListener("abort", cancel);
    watch.close();
    for (const thread of threads) thread.close();
  }
}

/** The work's own end, or soon after a cancellation that of the waiting for it. */
async function untilCancelled<T>(work: Promise<T>, options: RestoreOptions): Promise<T> {
  const { signal, clock } = options;
  const { promise: late, reject } = Promise.withResolvers<never>();
  late.catch(() => {});
  const onAbort = () => {
    clock.sleep(LEAVE_MS).then(() => reject(new BackupError("cancelled", "Cancelled")));
  };
  signal.addEventListener("abort", onAbort, { once: true });
  work.catch(() => {});
  try {
    return await Promise.race([work, late]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function restoreWith(
  options: RestoreOptions,
  threads: ThreadClient[],
  keys: GivenKeys,
): Promise<RestoreOutcome> {
  const [control, ...others] = threads as [ThreadClient, ...ThreadClient[]];
  const { signal } = options;
  await openLocked(control, options);
  try {
    // One thread opens what lies behind a passphrase: that takes a second, and as much memory as all the rest.
    const opened = await control.callFlush<OpenedKeys>("openKeys", keys.passphrase);
    await Promise.all(others.map(async (thread) => {
      await thread.call("openSources", undefined);
      await thread.call("useKeys", opened.identities);
    }));
    const plan = await control.call<RestorePlan>("plan", {
      paths: [...options.paths],
      withGone: options.withGone,
      ...(options.drill === undefined ? {} : { sample: options.drill.sample }),
    });
    refuseUnmatched(plan, options);
    const outcome = outcomeOf(plan);
    outcome.warnings.unshift(...opened.warnings);
    signal.throwIfAborted();
    if (options.dryRun) return outcome;
    await control.call("prepare", plan.copies.map(({ name }) => name));
    await allEnded(threads.map((thread) => thread.call("attach", undefined)));
    await restoreCopies(options, threads, plan, outcome);
    await control.callFlush("flush", undefined);
    outcome.warnings.push(...notKeptWarnings(outcome.notKept));
    return outcome;
  } finally {
    await Promise.allSettled(others.map((thread) => thread.call("close", undefined)));
    await control.call("close", undefined).catch(() => {});
  }
}

async function restoreCopies(
  options: RestoreOptions,
  threads: ThreadClient[],
  plan: RestorePlan,
  outcome: RestoreOutcome,
): Promise<void> {
  const { signal, clock } = options;
  const control = threads[0]!;
  // One pair of numbers per thread: each is written by one alone.
  const progress = threads.map(() => new SharedArrayBuffer(16));
  const startBytes = threads.map((thread) => thread.bytes);
  let copyName = "";
  const report = () => {
    const sums = progress.map((shared) => new Float64Array(shared));
    const moved = threads.reduce((sum, thread, k) => sum + thread.bytes - startBytes[k]!, 0);
    const settled = sums.reduce((sum, each) => sum + each[1]!, 0);
    options.onProgress({
      filesDone: sums.reduce((sum, each) => sum + each[0]!, 0),
      filesTotal: outcome.planned.files,
      bytesDone: Math.min(outcome.planned.bytes, Math.max(settled, moved)),
      bytesTotal: outcome.planned.bytes,
      copy: copyName,
    });
  };
  const stopTicks = clock.every(TICK_MS, report);
  try {
    for (const copy of plan.copies) {
      copyName = copy.name;
      addReport(outcome, await control.callFlush<RestoreReport>("makeFolders", copy));
      for (let from = copy.from; from < options.sources.length; from++) {
        signal.throwIfAborted();
        const next = new SharedArrayBuffer(4);
        const isLast = from === options.sources.length - 1;
        const reports = await allEnded(
          threads.map((thread, part) =>
            thread.callFlush<RestoreReport>(
              "restoreFiles",
              { copy, from, isLast, next, progress: progress[part]! } satisfies FilesRequest,
            ).catch((thrown) => {
              // What ends one ends all: a full disk is full for everybody.
              for (const one of threads) one.cancel();
              throw thrown;
            })
          ),
        );
        for (const each of reports) addReport(outcome, each);
      }
      signal.throwIfAborted();
      addReport(outcome, await control.callFlush<RestoreReport>("finishCopy", copy));
      signal.throwIfAborted();
      if (options.drill !== undefined) {
        const { hostId } = options.drill;
        outcome.inspected.push(await control.call<Inspected>("inspectRestored", { copy, hostId }));
      }
    }
    copyName = "";
    report();
  } finally {
    stopTicks();
  }
}

function outcomeOf(plan: RestorePlan): RestoreOutcome {
  const sum = (of: (copy: CopyPlan) => number) =>
    plan.copies.reduce((total, copy) => total + of(copy), 0);
  const outcome: RestoreOutcome = {
    ...newReport(),
    planned: {
      files: sum((copy) => copy.files),
      bytes: sum((copy) => copy.bytes),
      folders: sum((copy) => copy.folders),
      others: sum((copy) => copy.others + copy.links),
      gone: sum((copy) => copy.gone),
      sockets: sum((copy) => copy.sockets),
    },
    copies: plan.copies.map(({ name }) => name),
    warnings: [...plan.warnings],
    inspected: [],
  };
  for (const path of plan.copies.flatMap((copy) => copy.unrestorable)) {
    outcome.counts.failed++;
    outcome.failures.push({
      path,
      code: "unsupported",
      message: "Nothing is recorded of it that could be restored",
      attempts: 1,
    });
  }
  return outcome;
}

function refuseUnmatched(plan: RestorePlan, { paths, sources }: RestoreOptions): void {
  if (plan.unmatched.length > 0) {
    throw new BackupError(
      "usage",
      `There is no ${plan.unmatched.join(", no ")} at ${sources.join(" or ")}`,
      {
        hint: "Paths begin with the name of a copy: see `ls DEST` and `find DEST PATTERN`",
      },
    );
  }
  const isEmpty = plan.copies.every((c) => c.files + c.folders + c.links + c.others === 0);
  if (paths.length > 0 && isEmpty && plan.copies.some(({ gone }) => gone > 0)) {
    throw new BackupError("usage", "The source had lost all of that", {
      hint: "--with-gone restores it all the same",
    });
  }
}

/** With shared locks, so that no backup changes what is read; a busy destination is waited for. */
async function openLocked(control: ThreadClient, options: RestoreOptions): Promise<void> {
  const { clock, signal } = options;
  const deadlineMs = clock.monotonicMs() + options.waitMs;
  for (;;) {
    try {
      return await control.call("openSources", undefined);
    } catch (thrown) {
      const leftMs = deadlineMs - clock.monotonicMs();
      if (asBackupError(thrown).code !== "destination_busy" || leftMs <= 0) throw thrown;
      await clock.sleep(Math.min(leftMs, BUSY_RETRY_MS), signal);
    }
  }
}

/** All results, or the first error, in either case when nothing of it is under way any more. */
async function allEnded<T>(calls: Promise<T>[]): Promise<T[]> {
  const ended = await Promise.allSettled(calls);
  const errors = ended.flatMap((one) =>
    one.status === "rejected" ? [asBackupError(one.reason)] : []
  );
  const first = errors.find(({ code }) => code !== "cancelled") ?? errors[0];
  if (first !== undefined) throw first;
  return ended.map((one) => (one as PromiseFulfilledResult<T>).value);
}
