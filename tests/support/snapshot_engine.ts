/**
 * Backups into repositories by the engine of a worker – lanes, feed, archive – in this thread, with a clock moved by hand and a
 * platform port of the test's choosing for each repository.
 */
import { openLocalObjectStore } from "../../agents/destinations/local_object_store.ts";
import type { KnownDestinations } from "../../agents/destinations/known_destinations.ts";
import type { Posix } from "../../agents/platform/posix.ts";
import { initRepositories } from "../../agents/repository/mod.ts";
import { SCAN_COUNTERS_BYTES, scanSource } from "../../agents/source/scan.ts";
import {
  type ArchiveThreadStart,
  NO_JOURNAL,
  openArchiveThread,
  openRepositoryThread,
  type RepositoryThreadStart,
  type SnapshotJournal,
} from "../../agents/strategies/snapshot/mod.ts";
import { openEncoderThread } from "../../agents/strategies/snapshot/encoder_thread.ts";
import { ThreadWatch } from "../../agents/threads/thread_watch.ts";
import { RunRepositories } from "../../agents/worker/run_repositories.ts";
import type { FileFailure } from "../../protocol/mesh/job.ts";
import type { LaneProgress } from "../../protocol/mesh/progress.ts";
import type { LaneReport, PreparedDestination } from "../../protocol/mesh/task.ts";
import { type Clock, systemClock } from "../../protocol/base/clock.ts";
import { inThreadWorker } from "./in_thread_worker.ts";
import { ManualClock } from "./manual_clock.ts";
import { MIRROR_OPTIONS } from "./mirror_engine.ts";
import { FAST_KDF, HOST, kernels, PASSWORD, posix } from "./restic.ts";

export interface EngineRepository {
  path: string;
  /** `PASSWORD` unless it has one of its own. */
  /** Or why it cannot be had. */
  password?: string | Error;
  /** The port of its thread. */
  posix?: Posix;
  /** Methods of its thread that never return. */
  hangs?: (method: string) => boolean;
}

export interface SnapshotRun {
  source: string;
  repositories: readonly EngineRepository[];
  /** The port of whoever reads. */
  posix?: Posix;
  journal?: SnapshotJournal;
  known?: KnownDestinations;
  signal?: AbortSignal;
  operationTimeoutMs?: number;
  onProgress?: (lanes: readonly LaneProgress[]) => void;
  /** Of packs that are kept in memory. */
  feedBudgetBytes?: number;
  /** How much faster time goes for whoever makes the archive. */
  hurry?: number;
}

export interface SnapshotOutcome {
  prepared: PreparedDestination[];
  reports: LaneReport[];
  unreadable: FileFailure[];
}

const NOTHING_KNOWN: KnownDestinations = { idAt: () => undefined, remember() {} };
const STEPS_MAX = 100_000;
const STEP_MS = 250;
/** Each backup is later than all before it. */
let startMs = 1_700_000_000_000;

/** Empty replicas of each other, whose key is quick to derive. */
export async function makeReplicas(...paths: string[]): Promise<void> {
  for (const path of paths) Deno.mkdirSync(path, { recursive: true });
  const stores = paths.map((path) => openLocalObjectStore(posix, path));
  await initRepositories(stores, kernels, systemClock, {
    username: "me",
    hostname: HOST,
    password: PASSWORD,
    kdf: FAST_KDF,
  });
  for (const store of stores) store.close();
}

/** Runs one backup to its end. */
export async function snapshot(run: SnapshotRun): Promise<SnapshotOutcome> {
  const clock = new ManualClock(startMs += 3_600_000);
  const outcome = execute(run, clock);
  let isOver = false;
  outcome.catch(() => {}).finally(() => isOver = true);
  for (let step = 0; !isOver; step++) {
    if (step > STEPS_MAX) throw new Error("The backup waits for something that never comes");
    await clock.advance(STEP_MS);
  }
  return await outcome;
}

async function execute(run: SnapshotRun, clock: ManualClock): Promise<SnapshotOutcome> {
  const reading = run.posix ?? posix;
  const spawn = (role: string): Worker => {
    let repository: EngineRepository | undefined;
    let isStuck = false;
    return inThreadWorker((argument, cells, ask) => {
      if (role === "encoder") return openEncoderThread(reading, argument as never, cells);
      if (role === "archive") {
        const start = argument as ArchiveThreadStart;
        const hurried = hurriedClock(clock, run.hurry ?? 1);
        return openArchiveThread(reading, start, cells, ask, hurried, spawn);
      }
      const start = { ...argument as RepositoryThreadStart, kdf: FAST_KDF };
      repository = run.repositories.find(({ path }) => path === start.path);
      return openRepositoryThread(repository?.posix ?? posix, start, cells, {
        ...clockOf(clock),
        // Nothing happens in a thread that is stuck.
        every: (ms, tick) => clock.every(ms, () => isStuck || tick()),
      });
    }, (method) => isStuck ||= repository?.hangs?.(method) === true);
  };
  const operationTimeoutMs = run.operationTimeoutMs ?? 3_600_000;
  const watch = new ThreadWatch(clock, operationTimeoutMs);
  const repositories = new RunRepositories(
    {
      clock,
      known: run.known ?? NOTHING_KNOWN,
      knownPlace: ({ path }) => ({
        here: [(run.known ?? NOTHING_KNOWN).idAt(path)],
        isKnownElsewhere: false,
      }),
      journal: run.journal ?? NO_JOURNAL,
      lane: { clock, spawn, watch, roots: [], hostId: "host-of-tests" },
      group: {
        clock,
        spawn,
        watch,
        roots: [],
        program: "backup-agent test",
        operationTimeoutMs,
        ...(run.feedBudgetBytes === undefined ? {} : { feedBudgetBytes: run.feedBudgetBytes }),
      },
    },
    run.repositories.map(({ path }) => specOf(path)),
  );
  const signal = run.signal ?? new AbortController().signal;
  const unreadable: FileFailure[] = [];
  try {
    for (const { path } of run.repositories) {
      await repositories.inspect(specOf(path)).catch(() => {});
    }
    const prepared = [
      ...(await repositories.open({
        credentials({ path }) {
          const { password = PASSWORD } = run.repositories.find((one) => one.path === path) ?? {};
          if (password instanceof Error) throw password;
          return { password };
        },
        waitMs: 0,
        dryRun: false,
      })).values(),
    ];
    const cells = { operations: new Int32Array(1), cancelled: new Int32Array(1) };
    const scanned = scanSource(run.posix ?? posix, {
      path: run.source,
      name: "source",
      options: { excludes: [], ignoreFiles: false, excludeCaches: false, oneFileSystem: false },
      counters: new SharedArrayBuffer(SCAN_COUNTERS_BYTES),
    }, cells as never);
    const works = repositories.groups.flatMap((group) =>
      group.archive({
        source: { path: run.source, name: "source" },
        table: scanned.table,
        filesTotal: scanned.counters.files,
        bytesTotal: scanned.counters.bytes,
        destinations: run.repositories.map(({ path }) => path),
        options: {
          ...MIRROR_OPTIONS,
          repository: { compression: "auto", tags: [], host: HOST },
        },
        isOver: () => false,
        signal,
        onUnreadable: (failures) => unreadable.push(...failures),
      })
    );
    const stop = clock.every(250, () => run.onProgress?.(works.map((work) => work.progress())));
    const reports = await Promise.all(works.map(({ report }) => report));
    stop();
    run.onProgress?.(works.map((work) => work.progress()));
    for (const { destination } of works) await repositories.finish(destination).catch(() => {});
    return { prepared, reports, unreadable };
  } finally {
    repositories.cancel();
    await repositories.close();
    watch.close();
  }
}

function clockOf(clock: ManualClock): Clock {
  return {
    nowMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    every: (ms, tick) => clock.every(ms, tick),
  };
}

function hurriedClock(clock: ManualClock, factor: number): Clock {
  const beganMs = clock.monotonicMs();
  return {
    ...clockOf(clock),
    monotonicMs: () => beganMs + (clock.monotonicMs() - beganMs) * factor,
  };
}

function specOf(path: string) {
  return { key: path, kind: "restic" as const, path, isNew: false };
}
