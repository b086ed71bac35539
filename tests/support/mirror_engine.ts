/**
 * One backup by the whole engine of a worker – run context, queues, lanes, reader – in this thread, with a clock moved by
 * hand and a platform port of the test's choosing for the destination.
 */
import type { Posix } from "../../agents/platform/posix.ts";
import type { KnownDestinations } from "../../agents/destinations/known_destinations.ts";
import { THREAD_ROLES } from "./thread_roles.ts";
import { EVERYWHERE } from "../../agents/worker/roots.ts";
import { BufferBudget } from "../../agents/worker/buffer_budget.ts";
import { RunContext } from "../../agents/worker/run_context.ts";
import { silentLog } from "../../protocol/base/log.ts";
import type { MirrorOptions } from "../../protocol/mesh/job.ts";
import type { FinishResult, MirrorResult, PrepareResult } from "../../protocol/mesh/task.ts";
import { inThreadWorker } from "./in_thread_worker.ts";
import { ManualClock } from "./manual_clock.ts";

export const MIRROR_OPTIONS: MirrorOptions = {
  verify: "new",
  order: "priority",
  priorities: [],
  excludes: [],
  ignoreFiles: false,
  excludeCaches: false,
  oneFileSystem: false,
  dryRun: false,
  attemptsMax: 3,
  workersMin: 1,
  workersMax: 1,
  operationTimeoutMs: 3_600_000,
  waitMs: 0,
  bufferBytes: 16 << 20,
};

export interface EngineRun {
  runId: string;
  /** Top name at the destination; `copy` by default. */
  name?: string;
  source: string;
  /** Destinations with the port each one's threads use. */
  destinations: {
    path: string;
    posix: Posix;
    /** Whether this thread of the destination, counted from 0, never returns from a method. */
    hangs?: (method: string, thread: number) => boolean;
  }[];
  /** Aborted to cancel the run. */
  signal?: AbortSignal;
  known?: KnownDestinations;
  /** The port of everything that is not a destination. */
  posix: Posix;
  options?: Partial<MirrorOptions>;
  /** Secret keys, as if files of them had been named. */
  identities?: string[];
}

export interface EngineOutcome {
  prepared: PrepareResult;
  /** Missing when no destination could be opened. */
  mirrored?: MirrorResult;
  finished: FinishResult[];
}

const NOTHING_KNOWN: KnownDestinations = { idAt: () => undefined, remember: () => {} };
/** Longer than any retry: whoever is not done by then waits for something that never comes. */
const HOURS_MAX = 10;
const STEP_MS = 250;

/** Runs one backup to its end. @throws as the worker's tasks do */
export async function backUp(run: EngineRun): Promise<EngineOutcome> {
  const clock = new ManualClock();
  const outcome = execute(run, clock);
  let isOver = false;
  outcome.catch(() => {}).finally(() => isOver = true);
  const startMs = clock.monotonicMs();
  while (!isOver) {
    await clock.advance(STEP_MS);
    if (clock.monotonicMs() - startMs > HOURS_MAX * 3_600_000) {
      throw new Error("The backup waits for something that never comes");
    }
  }
  return await outcome;
}

async function execute(run: EngineRun, clock: ManualClock): Promise<EngineOutcome> {
  const threadsOf = new Map<string, number>();
  const context = new RunContext({
    buffers: new BufferBudget(Infinity),
    clock,
    log: silentLog,
    spawn: (role) => {
      let destination: EngineRun["destinations"][number] | undefined;
      let number = 0;
      return inThreadWorker((argument, cells, ask) => {
        const { path } = argument as { path?: string };
        destination = run.destinations.find((one) => one.path === path);
        number = path === undefined ? 0 : threadsOf.get(path) ?? 0;
        if (path !== undefined) threadsOf.set(path, number + 1);
        return THREAD_ROLES[role]!(destination?.posix ?? run.posix, argument, cells, ask);
      }, (method) => destination?.hangs?.(method, number) ?? false);
    },
    known: run.known ?? NOTHING_KNOWN,
    hostId: "host-of-tests",
    roots: EVERYWHERE,
    readKeys: () =>
      Promise.resolve({
        keys: { identities: run.identities ?? [] },
        repository: () => undefined,
        warnings: [],
      }),
    processors: 1,
  });
  const signal = run.signal ?? new AbortController().signal;
  const progress = () => {};
  const options = { ...MIRROR_OPTIONS, ...run.options };
  const source = { name: run.name ?? "copy", path: run.source };
  const { runId } = run;
  try {
    const prepared = await context.prepare({
      op: "prepare",
      runId,
      sources: [source],
      destinations: run.destinations.map(({ path }) => ({
        key: path,
        kind: "local" as const,
        path,
        isNew: false,
      })),
      options,
    }, { progress, signal });
    const ready = prepared.destinations.flatMap((d) =>
      d.error === undefined ? [d.destination] : []
    );
    if (ready.length === 0) return { prepared, finished: [] };
    await context.scan({ op: "scan", runId, source, options }, { progress, signal });
    const mirrored = await context.mirror({
      op: "mirror",
      runId,
      taskId: `${runId}-task`,
      epoch: 1,
      source,
      destinations: ready,
      options,
    }, { progress, signal });
    const finished: FinishResult[] = [];
    for (const destination of ready) {
      finished.push(await context.finish({ op: "finish", runId, destination }));
    }
    return { prepared, mirrored, finished };
  } finally {
    await context.release();
  }
}
