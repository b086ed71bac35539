/**
 * Everything one agent holds for one run: reader threads, the shared memory, one lane per destination, the lists. Rule:
 * `release` gives all of it back, whatever happened before.
 */
import { hostname } from "node:os";
import type { Clock } from "../../protocol/base/clock.ts";
import { asBackupError, BackupError, type ErrorCode } from "../../protocol/base/errors.ts";
import type { Log } from "../../protocol/base/log.ts";
import type {
  DestinationSpec,
  FileFailure,
  MirrorOptions,
  SourceSpec,
} from "../../protocol/mesh/job.ts";
import type { RunShare } from "../../protocol/mesh/methods.ts";
import {
  type LaneProgress,
  type TaskProgress,
  ZERO_COUNTERS,
  ZERO_GAUGES,
} from "../../protocol/mesh/progress.ts";
import type {
  FinishResult,
  FinishTask,
  JoinResult,
  JoinTask,
  LaneReport,
  MirrorResult,
  MirrorTask,
  PreparedDestination,
  PrepareResult,
  PrepareTask,
  ScanResult,
  ScanTask,
} from "../../protocol/mesh/task.ts";
import { toWireError } from "../../protocol/mesh/task_mapping.ts";
import { findClashes, type Identity } from "../destinations/identity.ts";
import type { KnownDestinations } from "../destinations/known_destinations.ts";
import {
  bindingConflict,
  type Inspection,
  type WantedBinding,
} from "../destinations/local_destination.ts";
import { refuseOtherKind } from "../destinations/other_kind.ts";
import { CpuMonitor } from "../platform/cpu_monitor.ts";
import type { Credentials } from "../repository/mod.ts";
import { EntryTable, latin1OfUtf8 } from "../source/entry_table.ts";
import { createExcluder } from "../source/excludes.ts";
import { FanOutReader } from "../source/fan_out_reader.ts";
import { createPriorities } from "../source/priorities.ts";
import { ReaderThreads } from "../source/reader_threads.ts";
import type { Scanned } from "../source/scan.ts";
import { SLOT_BYTES, SlotPool } from "../source/slot_pool.ts";
import { stageNameOf } from "../strategies/mirror/attempt_names.ts";
import { AttemptGuard, superseded } from "../strategies/mirror/attempt_guard.ts";
import { encrypts } from "../strategies/mirror/codec/codec.ts";
import { DestinationLane, type WantedKeys } from "../strategies/mirror/destination_lane.ts";
import { newXxh64Column } from "../strategies/mirror/mhl/xxh64_column.ts";
import type { OpenRequest } from "../strategies/mirror/lane_thread.ts";
import { type CountedPart, partOf, partsOf } from "../strategies/mirror/source_parts.ts";
import { RowFinder } from "../strategies/mirror/row_finder.ts";
import { SourceProblems } from "../strategies/mirror/source_problems.ts";
import { planUnmade } from "../strategies/mirror/unmade_lane.ts";
import type { EntryMarks, MovedRequest } from "../source/moved_in_source.ts";
import { NO_JOURNAL, type SnapshotJournal } from "../strategies/snapshot/mod.ts";
import { ThreadClient } from "../threads/thread_rpc.ts";
import { ThreadWatch } from "../threads/thread_watch.ts";
import type { BufferBudget, BufferShare } from "./buffer_budget.ts";
import type { ReadNamedKeys } from "./named_keys.ts";
import { placeOf, type Roots } from "./roots.ts";
import { RunRepositories } from "./run_repositories.ts";
import { type KnownPlace, unknownPlace } from "./unknown_place.ts";
import { type OpenFiles, pageOf, type TaskFiles } from "./task_files.ts";
import { type Listed, SourceLists, walkOptions } from "./source_lists.ts";

export interface RunDeps {
  clock: Clock;
  log: Log;
  spawn: (role: string) => Worker;
  known: KnownDestinations;
  hostId: string;
  roots: Roots;
  /** Processor cores of this machine. */
  processors: number;
  /** Of the agent, for all its runs. */
  buffers: BufferBudget;
  /** The secrets that jobs name. */
  readKeys: ReadNamedKeys;
  /** As snapshots note who made them. */
  program?: string;
  /** Gives unused memory back to the system. */
  trimHeap?: () => void;
  journal?: SnapshotJournal;
}

interface Context {
  progress(progress: TaskProgress): void;
  signal: AbortSignal;
}

/** What a destination's thread has said when it was opened. */
interface OpenedPlace {
  keys: Record<string, string>;
  exists: boolean;
  foldsCase: boolean;
}

/** Key of a source that has no name at a destination: nothing is written under it. */
const UNBOUND = "unbound";
const TICK_MS = 250;
/** How long a release waits for what still works. */
const RELEASE_WAITS_MS = 2000;
/** How often a busy destination is tried again while `--wait` lasts. */
const BUSY_RETRY_MS = 500;
/** A trim takes a millisecond or two. */
const TRIM_EVERY_MS = 250;
/** Slots that keep reading and `n` destinations going at the same time. */
const SLOTS_BASE = 4;
const SLOTS_PER_DESTINATION = 3;

export class RunContext {
  readonly #deps: RunDeps;
  readonly #abort = new AbortController();
  #readers: ReaderThreads | undefined;
  readonly #lanes = new Map<string, DestinationLane>();
  readonly #opened = new Map<string, OpenedPlace>();
  #repositories: RunRepositories | undefined;
  #stopTrimming: () => void = () => {};
  readonly #lists: SourceLists;
  /** Mirror tasks that have not ended. */
  readonly #working = new Set<Promise<unknown>>();
  /** What of them goes on, by destination. */
  readonly #workingAt = new Map<string, Set<Promise<unknown>>>();
  #watch: ThreadWatch | undefined;
  #cpu: CpuMonitor | undefined;
  #buffer: BufferShare | undefined;
  #reader: FanOutReader | undefined;
  #isPaused = false;
  /** What is known of destinations, with what the run itself has found elsewhere. */
  #known: KnownDestinations;
  /** By key, what the coordinator knows of the paths; see `PrepareTask.knownIds`. */
  #knownIds: Readonly<Record<string, string | null>> = {};
  /** By task, while an attempt at it goes on. */
  readonly #openFiles = new Map<string, OpenFiles>();

  constructor(deps: RunDeps) {
    this.#deps = deps;
    this.#known = deps.known;
    this.#lists = new SourceLists(deps.clock, () => this.#idleReader());
  }

  async prepare(task: PrepareTask, { signal }: Context): Promise<PrepareResult> {
    checkPatterns(task.options);
    this.#expectIds(task);
    this.#knownIds = task.knownIds ?? {};
    const { keys, repository, warnings } = await this.#readKeys(task);
    this.#start(task);
    const { results, sources } = await this.#compareAll(task.sources, task.destinations);
    refuseOtherKinds(results);
    this.#refuseTakenNames(task, results);
    const repositories = this.#repositories!.open({
      credentials: ({ path }) => repository(path),
      waitMs: task.options.waitMs,
      dryRun: task.options.dryRun,
      ...(task.expectedIds !== undefined && {
        expectedIds: new Map(Object.entries(task.expectedIds)),
      }),
    });
    // A source that cannot be opened gets no name at a destination: a slip of the finger would stay there for ever.
    const readable = sources.flatMap(({ source, isHere, ancestors }) =>
      isHere && ancestors.length === 0 ? [] : [source]
    );
    const deadlineMs = this.#deps.clock.monotonicMs() + task.options.waitMs;
    // A password is slow to try on purpose; the source can be listed meanwhile.
    const [first] = readable;
    if (first !== undefined && !this.#repositories!.isEmpty) {
      this.#lists.begin(this.#here(first), task.options);
    }
    const prepared = await Promise.all(
      results.map(async (one) =>
        one.error === undefined && this.#repositories!.has(one.spec.key)
          ? (await repositories).get(one.spec.key)!
          : await this.#open(task, one, readable, deadlineMs, keys, signal)
      ),
    );
    warnSharedDisks(results, prepared);
    prepared[0]?.warnings.unshift(...warnings);
    // Somebody took a name since we looked: nothing is copied anywhere.
    const usage = prepared.find((one) => one.error?.code === "usage")?.error;
    if (usage !== undefined) {
      throw new BackupError("usage", usage.message, { path: usage.path, hint: usage.hint });
    }
    return { op: "prepare", destinations: prepared };
  }

  /** Beside the agent that has prepared the run. What cannot take part is out by name, and another agent may do better. */
  async join(task: JoinTask, { signal }: Context): Promise<JoinResult> {
    const specs = task.destinations.map(({ spec }) => spec);
    const { keys, repository, warnings } = await this.#readKeys(task);
    this.#start({ ...task, destinations: specs });
    const { results } = await this.#compareAll(task.sources, specs);
    const repositories = this.#repositories!.open({
      credentials: ({ path }) => repository(path),
      waitMs: task.options.waitMs,
      dryRun: false,
      expectedIds: new Map(task.destinations.map((d) => [d.spec.key, d.destinationId])),
    });
    const wanted = task.sources.map((source) => this.#wanted(source));
    const destinations = await Promise.all(results.map(async ({ spec, error }, at) => {
      const { destinationId } = task.destinations[at]!;
      try {
        if (error === undefined && this.#repositories!.has(spec.key)) {
          return elsewhereIfNotHere((await repositories).get(spec.key)!);
        }
        const lane = this.#lanes.get(spec.key)!;
        // That the path was known as another destination here is for the marker to say.
        if (error !== undefined && error.code !== "destination_changed") throw error;
        signal.throwIfAborted();
        const opened = await lane.open({
          wanted,
          holder: this.#holder(task.runId),
          createdAt: new Date(this.#deps.clock.nowMs()).toISOString(),
          expectedId: destinationId,
          run: { id: task.runId, joins: true },
        }, keys);
        this.#opened.set(spec.key, { ...opened, exists: true });
        this.#deps.known.remember(spec.path, opened.destinationId);
        return {
          destination: spec.key,
          destinationId: opened.destinationId,
          freeBytes: opened.freeBytes,
          warnings: at === 0 ? [...warnings, ...opened.warnings] : opened.warnings,
        };
      } catch (thrown) {
        await this.#drop(spec);
        return {
          destination: spec.key,
          error: toWireError(notHere(asBackupError(thrown))),
          warnings: [],
        };
      }
    }));
    return { op: "join", destinations };
  }

  async scan(task: ScanTask, { progress, signal }: Context): Promise<ScanResult> {
    let seq = 0;
    const { source, options } = task;
    const scanned = await this.#lists.walk({
      source: this.#here(source),
      options,
      signal,
      progress: (scan) => progress({ seq: seq++, scan, lanes: [] }),
    });
    const { counters, excluded, unreadable, warnings } = scanned;
    const result: ScanResult = { op: "scan", counters, excluded, unreadable, warnings };
    if (task.partsMax !== undefined) result.parts = await this.#divide(task, scanned);
    // Each part is walked by whoever gets it, so nobody needs the whole list any more.
    if (result.parts === undefined || result.parts.length === 1) {
      this.#lists.keep(source.name, { scanned, isReported: true });
    }
    return result;
  }

  /** One part when the source is small, when nothing in it can be cut, or where it must not be. */
  async #divide(
    { runId, source, options, partsMax = 1 }: ScanTask,
    { table: share }: Scanned,
  ): Promise<CountedPart[]> {
    const table = EntryTable.fromShare(share);
    const { codec } = source.encoding ?? options.encoding ?? {};
    const whole = () => partsOf(table, codec, { partsMax: 1 });
    const opened = [...this.#lanes.keys()].flatMap((key) => this.#opened.get(key) ?? []);
    const isPlain = mayBeDivided(source, options) && this.#repositories!.isEmpty &&
      opened.every(({ foldsCase }) => !foldsCase);
    if (!isPlain) return whole();
    const parts = partsOf(table, codec, { partsMax });
    if (parts.length === 1) return parts;
    try {
      await Promise.all([...this.#lanes].map(([key, lane]) =>
        lane.readyForParts({
          task: `${runId}:${source.name}`,
          name: source.name,
          bindingKey: this.#opened.get(key)?.keys[source.name] ?? UNBOUND,
          sourcePath: source.path,
          runId,
          stageName: stageNameOf(runId, 0),
          table: share,
          status: new SharedArrayBuffer(0),
          knownSha256: new SharedArrayBuffer(0),
        })
      ));
      return parts;
    } catch (thrown) {
      // As a whole it meets the same trouble, and its report says so by name.
      this.#deps.log("warn", "A source is not divided: its earlier copy must be put right first", {
        runId,
        source: source.name,
        error: asBackupError(thrown).message,
      });
      return whole();
    }
  }

  /** `guard`: ends the attempt in all threads at once. */
  mirror(
    task: MirrorTask,
    context: Context,
    guard = new AttemptGuard(),
  ): Promise<MirrorResult> {
    const working = this.#mirror(task, context, guard);
    this.#working.add(working);
    const ended = () => this.#working.delete(working);
    working.then(ended, ended);
    return working;
  }

  async #mirror(
    task: MirrorTask,
    { progress, signal }: Context,
    guard: AttemptGuard,
  ): Promise<MirrorResult> {
    const source = this.#here(task.source);
    const options = optionsOf(source, task.options);
    const reader = this.#reader;
    if (reader === undefined) throw notPrepared();
    let seq = 0;
    const part = task.part === undefined ? undefined : partOf(task.part);
    const repositories = this.#repositories!;
    const isForSnapshots = task.destinations.some((key) => repositories.has(key));
    if (part !== undefined && (isForSnapshots || !mayBeDivided(source, options))) {
      throw new BackupError(
        "rejected",
        `What is asked for cannot be done in a part of ${source.name}`,
      );
    }
    const kept = part === undefined ? this.#lists.get(source.name) : undefined;
    const { scanned, isReported } = kept ?? {
      isReported: false,
      scanned: await this.#lists.walk({
        source,
        options,
        stretch: part,
        signal: AbortSignal.any([signal, this.#abort.signal]),
        progress: () =>
          progress({ seq: seq++, lanes: task.destinations.map((key) => notBegun(key)) }),
      }),
    };
    // Tried again here after an attempt that failed as a whole, it is not walked again.
    if (part === undefined) this.#lists.keep(source.name, { scanned, isReported });
    const attempt = `${task.taskId}:${task.epoch}`;
    const ended = AbortSignal.any([signal, this.#abort.signal]);
    if (options.mhl === true && options.encoding !== undefined) {
      throw new BackupError("usage", "ASC MHL describes plain copies, and these would be encoded");
    }
    // Only this attempt ends: the agent may have others of the run in hand.
    const stop = this.#onAbort(ended, () => guard.stop());
    const problems = new SourceProblems();
    const isMirrored = !options.dryRun && task.destinations.some((key) => this.#lanes.has(key));
    if (isMirrored) await reader.addSource(attempt, source.path, scanned.table);
    const table = EntryTable.fromShare(scanned.table);
    const snapshots = new Map(
      repositories.groups.flatMap((group) =>
        group.archive({
          source: { path: source.path, name: source.name },
          table: scanned.table,
          filesTotal: scanned.counters.files,
          bytesTotal: scanned.counters.bytes,
          destinations: task.destinations,
          options,
          isOver: () => guard.isOver,
          signal: ended,
          onUnreadable: (failures) => addUnreadable(problems, table, source.name, failures),
        })
      ).map((work) => [work.destination, work] as const),
    );
    const statuses = new Map<string, SharedArrayBuffer>();
    const files = { name: source.name, table: scanned.table, statuses };
    this.#openFiles.set(task.taskId, files);
    const runs = task.destinations.map((key) => {
      const snapshot = snapshots.get(key);
      if (snapshot !== undefined) return snapshot;
      if (repositories.has(key) && options.dryRun) return planUnmade(key, scanned.counters);
      const status = new SharedArrayBuffer(scanned.table.count);
      statuses.set(key, status);
      const lane = this.#lanes.get(key);
      const opened = this.#opened.get(key);
      if (lane === undefined || opened === undefined) {
        throw new BackupError("rejected", `${key} was not prepared here`, { retry: "elsewhere" });
      }
      if (options.dryRun && !opened.exists) return planUnmade(key, scanned.counters);
      return lane.mirror(
        {
          destination: key,
          share: {
            task: attempt,
            name: source.name,
            bindingKey: opened.keys[source.name] ?? UNBOUND,
            sourcePath: this.#wanted(task.source).sourcePath,
            runId: task.runId,
            stageName: stageNameOf(task.runId, task.epoch),
            guard: guard.shared,
            ...(part !== undefined && { part }),
            // Nobody else is asked for a task that has no lease and is the first.
            ...((part ?? task.leaseMs) !== undefined || task.epoch > 1 ? { isShared: true } : {}),
            table: scanned.table,
            status,
            knownSha256: new SharedArrayBuffer(scanned.table.count * 32),
            ...(options.mhl === true ? { xxh64: newXxh64Column(scanned.table.count) } : {}),
          },
          filesTotal: scanned.counters.files,
          bytesTotal: scanned.counters.bytes,
          options,
          isSequential: source.requires?.includes("backup.sequential") === true,
          source: {
            unreadable: scanned.counters.unreadable,
            judge: (paths, folders) =>
              this.#judgeGone(source.path, scanned, options, paths, folders),
            moved: () => this.#findMoved(source.path, scanned, options),
          },
        },
        problems,
        ended,
      );
    });
    const verified: LaneReport[] = [];
    const report = () =>
      progress({
        seq: seq++,
        lanes: runs.map((run) => run.progress()),
        ...(verified.length > 0 && { verified }),
      });
    report();
    const stopTicks = this.#deps.clock.every(TICK_MS, report);
    try {
      const lanes = await Promise.all(
        runs.map((run, at) =>
          this.#countedAt(task.destinations[at]!, run.report).then((lane) => {
            if (lane.state === "verified" && isShort(lane)) verified.push(lane);
            // Others may go on for hours; this one's end is news now.
            report();
            return lane;
          })
        ),
      );
      const isWhole = lanes.every(({ state }) => state === "verified");
      const isLost = lanes.some(({ error }) => error?.code === "superseded");
      // Whose task it is by now does not ask how far this attempt came.
      if (isLost || (!isWhole && !ended.aborted && guard.isOver)) throw superseded();
      // Only now: another attempt at a task that failed as a whole needs them.
      if (part === undefined) this.#lists.drop(source.name);
      return {
        op: "mirror",
        lanes,
        unreadable: problems.named,
        unreadableCount: problems.count,
        ...(!isReported && {
          walked: { counters: scanned.counters, unreadable: scanned.unreadable },
        }),
      };
    } finally {
      stopTicks();
      stop();
      if (this.#openFiles.get(task.taskId) === files) this.#openFiles.delete(task.taskId);
      if (isMirrored && !this.#abort.signal.aborted) {
        await reader.removeSource(attempt).catch(() => {});
      }
    }
  }

  /** Undefined when no attempt at the task goes on here. */
  filesOf(taskId: string, offset: number, limit: number): TaskFiles | undefined {
    const open = this.#openFiles.get(taskId);
    return open === undefined ? undefined : pageOf(open, offset, limit);
  }

  async finish(task: FinishTask): Promise<FinishResult> {
    if (this.#repositories?.has(task.destination)) {
      try {
        // Its thread stays: late replicas may have to borrow from it.
        await this.#repositories.finish(task.destination);
        return { op: "finish" };
      } catch (thrown) {
        return { op: "finish", error: toWireError(asBackupError(thrown)) };
      }
    }
    const lane = this.#lanes.get(task.destination);
    if (lane === undefined) {
      throw new BackupError("rejected", `${task.destination} was not prepared here`);
    }
    try {
      await lane.finish();
      return { op: "finish" };
    } catch (thrown) {
      return { op: "finish", error: toWireError(asBackupError(thrown)) };
    } finally {
      this.#lanes.delete(task.destination);
      this.#handOn(lane);
      await lane.close();
    }
  }

  /** What is left to this agent of the run's limits. */
  share({ workersMax, limits }: Pick<RunShare, "workersMax" | "limits">): void {
    const byKey = new Map(limits.map((l) => [l.destination, l.bytesPerSecond]));
    for (const [key, lane] of this.#lanes) {
      const limit = byKey.get(key);
      lane.share({ workersMax, ...(limit !== undefined && { limitBytesPerSecond: limit }) });
    }
  }

  /** What works at a destination is waited for before that is given back. */
  #countedAt<T>(destination: string, work: Promise<T>): Promise<T> {
    const all = this.#workingAt.get(destination) ?? new Set();
    this.#workingAt.set(destination, all);
    all.add(work);
    return work.finally(() => all.delete(work));
  }

  /** Ends the work at one destination. */
  drop(destination: string): void {
    this.#lanes.get(destination)?.drop();
    this.#repositories?.drop(destination);
  }

  /** Gives back what it holds of one destination, which is at its end for the whole run. */
  async leave(destination: string): Promise<void> {
    await this.#untilEnded(this.#workingAt.get(destination) ?? new Set());
    if (this.#abort.signal.aborted) return;
    if (this.#repositories?.has(destination)) await this.#repositories.finish(destination);
    const lane = this.#lanes.get(destination);
    if (lane === undefined) return;
    this.#lanes.delete(destination);
    this.#handOn(lane);
    await lane.close();
  }

  /** A destination is done: its processors go to all that are left, its workers to the busiest (S2-05). */
  #handOn(done: DestinationLane): void {
    const left = [...this.#lanes.values()];
    const unlimited = Math.max(
      1,
      left.filter(({ spec }) => spec.limitBytesPerSecond === undefined).length,
    );
    const [busiest] = left.filter((lane) => lane.wantsHelp > 0)
      .toSorted((a, b) => b.wantsHelp - a.wantsHelp);
    for (const lane of left) {
      lane.takeOver({ unlimited, helpers: lane === busiest ? done.workers : 0 });
    }
  }

  /** Files that are in hand are ended, and no further one is begun until it goes on. */
  pause(isPaused: boolean): void {
    this.#isPaused = isPaused;
    for (const lane of this.#lanes.values()) lane.pause(isPaused);
    this.#repositories?.pause(isPaused);
  }

  async release(): Promise<void> {
    this.#stopTrimming();
    this.#abort.abort(new BackupError("cancelled", "The run was released"));
    for (const lane of this.#lanes.values()) lane.cancel();
    this.#lists.close();
    this.#repositories?.cancel();
    this.#readers?.cancel();
    await this.#untilEnded(this.#working);
    await Promise.all([
      ...[...this.#lanes.values()].map((lane) => lane.close()),
      this.#repositories?.close(),
    ]);
    this.#lanes.clear();
    await this.#readers?.close();
    this.#watch?.close();
    this.#cpu?.close();
    this.#buffer?.giveBack();
  }

  /** A task that is stuck is not waited for. */
  async #untilEnded(working: ReadonlySet<Promise<unknown>>): Promise<void> {
    if (working.size === 0) return;
    const patience = new AbortController();
    await Promise.race([
      Promise.allSettled([...working]),
      this.#deps.clock.sleep(RELEASE_WAITS_MS, patience.signal).catch(() => {}),
    ]);
    patience.abort();
  }

  #start(task: Pick<PrepareTask, "options" | "destinations">): void {
    // Released before it had begun: what is opened now, nobody would close.
    this.#abort.signal.throwIfAborted();
    if (this.#reader !== undefined) throw new BackupError("rejected", "This run is prepared");
    const { clock, spawn } = this.#deps;
    const { options, destinations } = task;
    const mirrors = destinations.filter(({ kind }) => kind === "local");
    const slotsNeeded = SLOTS_BASE + SLOTS_PER_DESTINATION * mirrors.length;
    this.#buffer = this.#deps.buffers.take(options.bufferBytes, slotsNeeded * SLOT_BYTES);
    const pool = new SlotPool(this.#buffer.bytes, slotsNeeded);
    this.#cpu = new CpuMonitor(clock);
    this.#watch = new ThreadWatch(clock, options.operationTimeoutMs);
    const { trimHeap } = this.#deps;
    if (trimHeap !== undefined) this.#stopTrimming = clock.every(TRIM_EVERY_MS, trimHeap);
    const watch = this.#watch;
    this.#readers = new ReaderThreads(readersFor(this.#deps.processors), () => {
      const thread = new ThreadClient(spawn("reader"), {
        slots: pool.memory,
        roots: this.#deps.roots.sources,
      });
      watch.add(thread, "The source");
      return thread;
    });
    this.#reader = new FanOutReader(this.#readers, pool, () => this.#lanes.size);
    // A limited destination hardly uses a processor: the fast one beside it gets what it would have alone.
    const unlimited = mirrors.filter((d) => d.limitBytesPerSecond === undefined).length;
    const lane = {
      clock,
      spawn,
      watch,
      roots: this.#deps.roots.destinations,
      hostId: this.#deps.hostId,
    };
    const group = {
      clock,
      spawn,
      watch,
      roots: this.#deps.roots.sources,
      program: this.#deps.program ?? "backup-agent",
      operationTimeoutMs: options.operationTimeoutMs,
    };
    this.#repositories = new RunRepositories(
      {
        clock,
        known: this.#known,
        knownPlace: (spec) => this.#knownPlace(spec),
        lane,
        group,
        journal: this.#deps.journal ?? NO_JOURNAL,
      },
      destinations.filter(({ kind }) => kind === "restic"),
    );
    this.#repositories.pause(this.#isPaused);
    for (const spec of mirrors) {
      this.#lanes.set(
        spec.key,
        new DestinationLane(
          {
            clock,
            spawn,
            watch: this.#watch,
            slots: pool.memory,
            roots: this.#deps.roots.destinations,
            reader: this.#reader,
            share: { processors: this.#deps.processors, unlimited },
            cpuBusyFraction: () => this.#cpu?.busyFraction(),
          },
          spec,
          options,
        ),
      );
      this.#lanes.get(spec.key)!.pause(this.#isPaused);
    }
  }

  /** Looks at everything that is to be used, without changing anything. @throws {BackupError} `usage` when places clash */
  async #compareAll(sources: SourceSpec[], destinations: DestinationSpec[]): Promise<{
    results: Inspected[];
    sources: { source: SourceSpec; isHere: boolean; ancestors: Identity[] }[];
  }> {
    const names = sources.map((source) => source.name);
    const results = await Promise.all(destinations.map((spec) => this.#inspect(spec, names)));
    const places = results.flatMap(({ spec, inspection }) =>
      inspection === undefined ? [] : [{
        key: spec.key,
        exists: inspection.exists,
        ancestors: inspection.ancestors,
        copies: new Map(inspection.copies),
      }]
    );
    const known = await Promise.all(sources.map(async (source) => {
      const here = this.#hereIfAny(source);
      const ancestors = here === undefined ? [] : await this.#ancestry(here);
      return { source, isHere: here !== undefined, ancestors };
    }));
    const clashes = findClashes(
      known.map(({ source: { name, path }, ancestors }) => ({ name, path, ancestors })),
      places,
    );
    if (clashes.length === 0) return { results, sources: known };
    throw new BackupError("usage", clashes.join("; "), {
      hint: "Choose a destination outside the sources, or another name with --as NAME",
    });
  }

  /** The source with its path on this machine. @throws {BackupError} `rejected` when it is none that is here */
  #here(source: SourceSpec): SourceSpec {
    const { hostId, roots } = this.#deps;
    return { ...source, path: placeOf(source, hostId, roots) };
  }

  /** Undefined when it is another agent's to touch. */
  #hereIfAny(source: SourceSpec): SourceSpec | undefined {
    try {
      return this.#here(source);
    } catch {
      return undefined;
    }
  }

  #holder(runId: string): string {
    return `${runId} on ${hostname()}, process ${Deno.pid}`;
  }

  async #inspect(spec: DestinationSpec, names: string[]): Promise<Inspected> {
    try {
      if (this.#repositories!.has(spec.key)) {
        return { spec, inspection: await this.#repositories!.inspect(spec), error: undefined };
      }
      const inspection = await this.#lanes.get(spec.key)!.inspect(names);
      return {
        spec,
        inspection,
        error: unknownPlace(spec, inspection.destinationId, this.#knownPlace(spec)),
      };
    } catch (thrown) {
      return { spec, inspection: undefined, error: asBackupError(thrown) };
    }
  }

  /** Empty for a source that cannot be opened or does not answer; its scan will say why. */
  async #ancestry(source: SourceSpec): Promise<Identity[]> {
    try {
      return await this.#idleReader().call<Identity[]>("ancestry", source.path);
    } catch {
      return [];
    }
  }

  /** A name that belongs to somebody else is a mistake in the command: nothing is written anywhere. */
  #refuseTakenNames(task: PrepareTask, results: Inspected[]): void {
    for (const { spec, inspection, error } of results) {
      if (inspection === undefined || error !== undefined) continue;
      for (const source of task.sources) {
        const isOccupied = inspection.occupied.includes(source.name);
        const wanted = this.#wanted(source);
        const conflict = bindingConflict(inspection.bindings, wanted, isOccupied, spec.path);
        if (conflict === undefined) continue;
        throw new BackupError("usage", conflict, {
          path: `${spec.path}/${source.name}`,
          hint: "Choose another name with --as NAME",
        });
      }
    }
  }

  /** What anybody knows of a destination's path on this machine. */
  #knownPlace({ key, path }: DestinationSpec): KnownPlace {
    const told = Object.hasOwn(this.#knownIds, key) ? this.#knownIds[key] : undefined;
    return { here: [this.#known.idAt(path), told ?? undefined], isKnownElsewhere: told === null };
  }

  /** What an earlier home of the run has used must be found here again, whatever is known of the path. */
  #expectIds({ destinations, expectedIds = {} }: PrepareTask): void {
    const { known } = this.#deps;
    const byPath = new Map(
      destinations.flatMap(({ key, path }) =>
        Object.hasOwn(expectedIds, key) ? [[path, expectedIds[key]!] as const] : []
      ),
    );
    this.#known = {
      idAt: (path) => byPath.get(path) ?? known.idAt(path),
      remember: (path, destinationId) => known.remember(path, destinationId),
    };
  }

  async #open(
    task: PrepareTask,
    { spec, inspection, error }: Inspected,
    readable: readonly SourceSpec[],
    deadlineMs: number,
    keys: WantedKeys,
    signal: AbortSignal,
  ): Promise<PreparedDestination> {
    const prepared: PreparedDestination = { destination: spec.key, warnings: [] };
    if (error !== undefined || inspection === undefined) {
      await this.#drop(spec);
      return error === undefined ? prepared : { ...prepared, error: toWireError(error) };
    }
    const request: OpenRequest = {
      wanted: readable.map((source) => this.#wanted(source)),
      holder: this.#holder(task.runId),
      createdAt: new Date(this.#deps.clock.nowMs()).toISOString(),
      run: { id: task.runId, joins: false },
    };
    const lane = this.#lanes.get(spec.key)!;
    for (;;) {
      try {
        if (task.options.dryRun) {
          return await this.#openForDryRun(spec, inspection, request, prepared, keys);
        }
        const opened = await lane.open(request, keys);
        this.#opened.set(spec.key, { ...opened, exists: true });
        this.#deps.known.remember(spec.path, opened.destinationId);
        return {
          ...prepared,
          warnings: [...prepared.warnings, ...opened.warnings],
          destinationId: opened.destinationId,
          freeBytes: opened.freeBytes,
        };
      } catch (thrown) {
        const failed = asBackupError(thrown);
        const left = deadlineMs - this.#deps.clock.monotonicMs();
        if (failed.code === "destination_busy" && left > 0) {
          await this.#deps.clock.sleep(Math.min(left, BUSY_RETRY_MS), signal);
          continue;
        }
        await this.#drop(spec);
        return { ...prepared, error: toWireError(failed) };
      }
    }
  }

  /** Nothing is created: a destination that is not there yet would get everything. */
  async #openForDryRun(
    spec: DestinationSpec,
    inspection: Inspection,
    request: OpenRequest,
    prepared: PreparedDestination,
    wanted: WantedKeys,
  ): Promise<PreparedDestination> {
    if (inspection.destinationId !== undefined) {
      await this.#lanes.get(spec.key)!.attach({ ...request, wanted: [] }, wanted);
    }
    const keys = Object.fromEntries(inspection.bindings.map(({ name, key }) => [name, key]));
    const exists = inspection.destinationId !== undefined;
    this.#opened.set(spec.key, { keys, exists, foldsCase: false });
    return inspection.freeBytes === undefined
      ? prepared
      : { ...prepared, freeBytes: inspection.freeBytes };
  }

  /** Before anything is opened: a secret that cannot be had is a mistake in the command. */
  async #readKeys(
    { sources, options }: PrepareTask | JoinTask,
  ): Promise<{
    keys: WantedKeys;
    repository: (path: string) => Credentials | undefined;
    warnings: string[];
  }> {
    const read = await this.#deps.readKeys(options.keys ?? {});
    const encodings = [options, ...sources].flatMap(({ encoding }) =>
      encoding !== undefined && encrypts(encoding.codec) ? [encoding] : []
    );
    let last: Promise<unknown> = Promise.resolve();
    return {
      warnings: read.warnings,
      repository: read.repository,
      keys: {
        given: read.keys,
        recipients: [...new Set(encodings.flatMap(({ recipients }) => recipients))],
        encrypts: encodings.length > 0,
        oneAtATime: <T>(work: () => Promise<T>): Promise<T> => {
          const next = last.then(work);
          last = next.catch(() => {});
          return next;
        },
      },
    };
  }

  /** What a name at a destination is bound to; every agent of a mesh says the same of a source. */
  #wanted({ name, hostId = this.#deps.hostId, root, path }: SourceSpec): WantedBinding {
    if (root !== undefined) {
      return {
        name,
        hostId: `root:${root}`,
        hostName: `the root ${root}`,
        sourcePath: `${root}:${path.replace(/^\/+/, "")}`,
      };
    }
    const hostName = hostId === this.#deps.hostId ? hostname() : hostId;
    return { name, hostId, hostName, sourcePath: path };
  }

  async #drop(spec: DestinationSpec): Promise<void> {
    const lane = this.#lanes.get(spec.key);
    this.#lanes.delete(spec.key);
    await lane?.close();
  }

  #judgeGone(
    path: string,
    { table }: Scanned,
    options: MirrorOptions,
    paths: string[],
    folders: Uint8Array,
  ): Promise<Uint8Array> {
    return this.#idleReader().call("goneInSource", {
      path,
      options: walkOptions(options),
      paths,
      folders,
      listed: {
        inodeLow: new Uint32Array(table.columns.inodeLow)[0]!,
        inodeHigh: new Uint32Array(table.columns.inodeHigh)[0]!,
      },
    });
  }

  #findMoved(
    path: string,
    { table, listedAtMs }: Listed,
    options: MirrorOptions,
  ): Promise<EntryMarks[]> {
    const request: MovedRequest = { path, options: walkOptions(options), table, listedAtMs };
    return this.#idleReader().call<EntryMarks[]>("movedInSource", request);
  }

  #idleReader(): ThreadClient {
    if (this.#readers === undefined) throw notPrepared();
    return this.#readers.idlest();
  }

  #onAbort(signal: AbortSignal, act: () => void): () => void {
    if (signal.aborted) act();
    signal.addEventListener("abort", act, { once: true });
    return () => signal.removeEventListener("abort", act);
  }
}

/** Writers wait for disks more than they work, so each processor may read and hash. */
function readersFor(processors: number): number {
  return Math.max(1, Math.min(READERS_MAX, processors));
}

const READERS_MAX = 4;

/** @throws {BackupError} `usage` for a pattern that can never match; better now than after the first byte */
function checkPatterns(options: PrepareTask["options"]): void {
  createExcluder({ rules: options.excludes, ignoreFiles: false });
  createPriorities(options.priorities);
}

/** What a source asks for itself goes before what the job asks for all. */
function optionsOf({ encoding }: SourceSpec, options: MirrorOptions): MirrorOptions {
  return encoding === undefined ? options : { ...options, encoding };
}

/** What a run does to the past of a copy, and what stands for all of it, is done by one agent. */
function mayBeDivided(source: SourceSpec, options: MirrorOptions): boolean {
  const doesHistory = options.deleteGone === true || (options.keepVersions ?? 0) > 0;
  return !doesHistory && options.mhl !== true && !options.dryRun &&
    source.requires?.includes("backup.sequential") !== true;
}

function notPrepared(): BackupError {
  return new BackupError("rejected", "This run was not prepared here", { retry: "elsewhere" });
}

function elsewhereIfNotHere(prepared: PreparedDestination): PreparedDestination {
  const { error } = prepared;
  if (error === undefined || !ELSEWHERE.has(error.code)) return prepared;
  return { ...prepared, error: { ...error, code: "rejected", retry: "elsewhere" } };
}

/** What an archive could not read, beside what mirrors could not: each file is named once. */
function addUnreadable(
  problems: SourceProblems,
  table: EntryTable,
  name: string,
  failures: readonly FileFailure[],
): void {
  const rows = new RowFinder(table);
  failures.forEach(({ path, code, message, attempts }, at) => {
    const row = rows.find(latin1OfUtf8(path.slice(name.length + 1)));
    const error = new BackupError(code as ErrorCode, message);
    problems.add(row ?? -1 - at, path, error, attempts);
  });
}

/** Why a destination cannot be used by this agent, as a reason to ask another one. */
function notHere(error: BackupError): BackupError {
  if (!ELSEWHERE.has(error.code)) return error;
  const { message, path } = error;
  return new BackupError("rejected", message, { path, retry: "elsewhere", cause: error });
}

/** Under the path of the destination is something else on this machine, or nothing that this agent may use. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  "destination_missing",
  "destination_lost",
  "destination_changed",
  "not_found",
  "not_a_directory",
  "permission",
  "read_only",
]);

/** Few enough lines to be said again four times a second. */
function isShort({ rewritten, warnings }: LaneReport): boolean {
  return rewritten.length + warnings.length <= SHORT_LINES_MAX;
}

const SHORT_LINES_MAX = 20;

/** A lane of a task whose source is being listed. */
function notBegun(destination: string): LaneProgress {
  return { destination, state: "analyze", counters: ZERO_COUNTERS, gauges: ZERO_GAUGES };
}

interface Inspected {
  spec: DestinationSpec;
  inspection: Inspection | undefined;
  error: BackupError | undefined;
}

/** Two destinations on one disk are one disk: said, not refused. */
/** A folder named as what it is not is a mistake in the command: nothing is written anywhere. */
function refuseOtherKinds(results: readonly Inspected[]): void {
  for (const { spec, inspection, error } of results) {
    if (error !== undefined || inspection?.otherKind === undefined) continue;
    throw refuseOtherKind(spec.key, spec.path, inspection.otherKind);
  }
}

function warnSharedDisks(inspected: Inspected[], prepared: PreparedDestination[]): void {
  const firstOn = new Map<string, string>();
  inspected.forEach(({ spec, inspection }, at) => {
    const device = inspection?.device;
    if (device === undefined || prepared[at]!.error !== undefined) return;
    const first = firstOn.get(device);
    if (first === undefined) firstOn.set(device, spec.key);
    else {
      prepared[at]!.warnings.push(
        `${first} and ${spec.key} are on one file system: one broken disk loses both`,
      );
    }
  });
}
