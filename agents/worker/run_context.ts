/**
 * Everything one agent holds for one run: reader threads, the shared memory, one lane per destination, the lists. Rule:
 * `release` gives all of it back, whatever happened before.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { Log } from "../../protocol/base/log.ts";
import type { DestinationSpec, SourceSpec } from "../../protocol/mesh/job.ts";
import type { RunShare } from "../../protocol/mesh/methods.ts";
import type {
  FinishResult,
  FinishTask,
  JoinResult,
  JoinTask,
  MirrorResult,
  MirrorTask,
  PrepareResult,
  PrepareTask,
  ScanResult,
  ScanTask,
} from "../../protocol/mesh/task.ts";
import { toWireError } from "../../protocol/mesh/task_mapping.ts";
import type { Identity } from "../destinations/identity.ts";
import type { KnownDestinations } from "../destinations/known_destinations.ts";
import { CpuMonitor } from "../platform/cpu_monitor.ts";
import type { Credentials } from "../repository/mod.ts";
import { EntryTable } from "../source/entry_table.ts";
import { createExcluder } from "../source/excludes.ts";
import { FanOutReader } from "../source/fan_out_reader.ts";
import { createPriorities } from "../source/priorities.ts";
import { ReaderThreads } from "../source/reader_threads.ts";
import type { Scanned } from "../source/scan.ts";
import { SLOT_BYTES, SlotPool } from "../source/slot_pool.ts";
import { stageNameOf } from "../strategies/mirror/attempt_names.ts";
import { AttemptGuard } from "../strategies/mirror/attempt_guard.ts";
import { encrypts } from "../strategies/mirror/codec/codec.ts";
import type { WantedKeys } from "../strategies/mirror/destination_lane.ts";
import { type CountedPart, partsOf } from "../strategies/mirror/source_parts.ts";
import { NO_JOURNAL, type SnapshotJournal } from "../strategies/snapshot/mod.ts";
import { ThreadClient } from "../threads/thread_rpc.ts";
import { ThreadWatch } from "../threads/thread_watch.ts";
import type { BufferBudget, BufferShare } from "./buffer_budget.ts";
import {
  type Inspected,
  refuseClashes,
  refuseOtherKinds,
  refuseTakenNames,
  type SeenSource,
  warnSharedDisks,
} from "./compare_places.ts";
import { KnownPaths } from "./known_paths.ts";
import { type AttemptContext, mayBeDivided, MirrorAttempt, UNBOUND } from "./mirror_attempt.ts";
import type { ReadNamedKeys } from "./named_keys.ts";
import { elsewhereIfNotHere, notHere } from "./not_here.ts";
import type { Roots } from "./roots.ts";
import { type OpenMirrorRequest, RunMirrors } from "./run_mirrors.ts";
import { RunRepositories } from "./run_repositories.ts";
import { SourceLists } from "./source_lists.ts";
import { SourcePlaces } from "./source_places.ts";
import { type OpenFiles, pageOf, type TaskFiles } from "./task_files.ts";

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

/** How long a release waits for what still works. */
const RELEASE_WAITS_MS = 2000;
/** A trim takes a millisecond or two. */
const TRIM_EVERY_MS = 250;
/** Slots that keep reading and `n` destinations going at the same time. */
const SLOTS_BASE = 4;
const SLOTS_PER_DESTINATION = 3;

export class RunContext {
  readonly #deps: RunDeps;
  readonly #abort = new AbortController();
  #readers: ReaderThreads | undefined;
  readonly #sources: SourcePlaces;
  #mirrors: RunMirrors | undefined;
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
  /** By task, while an attempt at it goes on. */
  readonly #openFiles = new Map<string, OpenFiles>();

  constructor(deps: RunDeps) {
    this.#deps = deps;
    this.#sources = new SourcePlaces(deps.hostId, deps.roots);
    this.#lists = new SourceLists(deps.clock, () => this.#idleReader());
  }

  async prepare(task: PrepareTask, { signal }: AttemptContext): Promise<PrepareResult> {
    checkPatterns(task.options);
    const { keys, repository, warnings } = await this.#readKeys(task);
    this.#start(task);
    const { results, sources } = await this.#compareAll(task.sources, task.destinations);
    refuseOtherKinds(results);
    refuseTakenNames(task.sources, results, this.#sources);
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
    const request: OpenMirrorRequest = {
      runId: task.runId,
      wanted: readable.map((source) => this.#sources.binding(source)),
      keys,
      dryRun: task.options.dryRun,
      deadlineMs: this.#deps.clock.monotonicMs() + task.options.waitMs,
      signal,
    };
    // A password is slow to try on purpose; the source can be listed meanwhile.
    const [first] = readable.flatMap((source) => this.#sources.hereIfAny(source) ?? []);
    if (first !== undefined && !this.#repositories!.isEmpty) {
      this.#lists.begin(first, task.options);
    }
    const prepared = await Promise.all(
      results.map(async (one) =>
        one.error === undefined && this.#repositories!.has(one.spec.key)
          ? (await repositories).get(one.spec.key)!
          : await this.#mirrors!.open(one, request)
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
  async join(task: JoinTask, { signal }: AttemptContext): Promise<JoinResult> {
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
    const wanted = task.sources.map((source) => this.#sources.binding(source));
    const destinations = await Promise.all(results.map(async ({ spec, error }, at) => {
      try {
        if (error === undefined && this.#repositories!.has(spec.key)) {
          return elsewhereIfNotHere((await repositories).get(spec.key)!);
        }
        // That the path was known as another destination here is for the marker to say.
        if (error !== undefined && error.code !== "destination_changed") throw error;
        signal.throwIfAborted();
        return await this.#mirrors!.join(spec, {
          runId: task.runId,
          wanted,
          keys,
          expectedId: task.destinations[at]!.destinationId,
        });
      } catch (thrown) {
        await this.#mirrors!.close(spec.key);
        return {
          destination: spec.key,
          error: toWireError(notHere(asBackupError(thrown))),
          warnings: [],
        };
      }
    }));
    destinations[0]?.warnings.unshift(...warnings);
    return { op: "join", destinations };
  }

  async scan(task: ScanTask, { progress, signal }: AttemptContext): Promise<ScanResult> {
    let seq = 0;
    const { source, options } = task;
    const scanned = await this.#lists.walk({
      source: this.#sources.here(source),
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
    const mirrors = this.#mirrors!.lanes();
    const isPlain = mayBeDivided(source, options) && this.#repositories!.isEmpty &&
      mirrors.every(([key]) => this.#mirrors!.opened(key)?.foldsCase !== true);
    if (!isPlain) return whole();
    const parts = partsOf(table, codec, { partsMax });
    if (parts.length === 1) return parts;
    try {
      await Promise.all(mirrors.map(([key, lane]) =>
        lane.readyForParts({
          task: `${runId}:${source.name}`,
          name: source.name,
          bindingKey: this.#mirrors!.opened(key)?.keys[source.name] ?? UNBOUND,
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
    context: AttemptContext,
    guard = new AttemptGuard(),
  ): Promise<MirrorResult> {
    const working = this.#attempt(task, context, guard);
    this.#working.add(working);
    const ended = () => this.#working.delete(working);
    working.then(ended, ended);
    return working;
  }

  async #attempt(
    task: MirrorTask,
    context: AttemptContext,
    guard: AttemptGuard,
  ): Promise<MirrorResult> {
    if (this.#reader === undefined) throw notPrepared();
    const attempt = new MirrorAttempt(task, context, guard, {
      clock: this.#deps.clock,
      sources: this.#sources,
      lists: this.#lists,
      reader: this.#reader,
      mirrors: this.#mirrors!,
      repositories: this.#repositories!,
      idleReader: () => this.#idleReader(),
      openFiles: this.#openFiles,
      countedAt: (destination, work) => this.#countedAt(destination, work),
      released: this.#abort.signal,
    });
    return await attempt.run();
  }

  /** Undefined when no attempt at the task goes on here. */
  filesOf(taskId: string, offset: number, limit: number): TaskFiles | undefined {
    const open = this.#openFiles.get(taskId);
    return open === undefined ? undefined : pageOf(open, offset, limit);
  }

  async finish({ destination }: FinishTask): Promise<FinishResult> {
    // The thread of a repository stays: late replicas may have to borrow from it.
    const has = [this.#repositories, this.#mirrors].find((some) => some?.has(destination));
    if (has === undefined) {
      throw new BackupError("rejected", `${destination} was not prepared here`);
    }
    try {
      await has.finish(destination);
      return { op: "finish" };
    } catch (thrown) {
      return { op: "finish", error: toWireError(asBackupError(thrown)) };
    }
  }

  /** What is left to this agent of the run's limits. */
  share(share: Pick<RunShare, "workersMax" | "limits">): void {
    this.#mirrors?.share(share);
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
    this.#mirrors?.drop(destination);
    this.#repositories?.drop(destination);
  }

  /** Gives back what it holds of one destination, which is at its end for the whole run, however that is. */
  async leave(destination: string): Promise<void> {
    await this.#untilEnded(this.#workingAt.get(destination) ?? new Set());
    if (this.#abort.signal.aborted) return;
    if (this.#repositories?.has(destination)) {
      // What it has failed of is known; here it is about the lock.
      await this.#repositories.finish(destination).catch(() => {});
    }
    await this.#mirrors?.leave(destination);
  }

  /** Files that are in hand are ended, and no further one is begun until it goes on. */
  pause(isPaused: boolean): void {
    this.#isPaused = isPaused;
    this.#mirrors?.pause(isPaused);
    this.#repositories?.pause(isPaused);
  }

  async release(): Promise<void> {
    this.#stopTrimming();
    this.#abort.abort(new BackupError("cancelled", "The run was released"));
    this.#mirrors?.cancel();
    this.#lists.close();
    this.#repositories?.cancel();
    this.#readers?.cancel();
    await this.#untilEnded(this.#working);
    await Promise.all([this.#mirrors?.closeAll(), this.#repositories?.close()]);
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

  #start(task: Pick<PrepareTask, "options" | "destinations" | "expectedIds" | "knownIds">): void {
    // Released before it had begun: what is opened now, nobody would close.
    this.#abort.signal.throwIfAborted();
    if (this.#reader !== undefined) throw new BackupError("rejected", "This run is prepared");
    const { clock, spawn } = this.#deps;
    const { options, destinations } = task;
    const known = new KnownPaths(this.#deps.known, task);
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
    this.#reader = new FanOutReader(this.#readers, pool, () => this.#mirrors?.count ?? 0);
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
        known,
        knownPlace: (spec) => known.place(spec),
        lane,
        group,
        journal: this.#deps.journal ?? NO_JOURNAL,
      },
      destinations.filter(({ kind }) => kind === "restic"),
    );
    this.#repositories.pause(this.#isPaused);
    this.#mirrors = new RunMirrors(
      {
        clock,
        known,
        knownPlace: (spec) => known.place(spec),
        spawn,
        watch,
        slots: pool.memory,
        roots: this.#deps.roots.destinations,
        reader: this.#reader,
        processors: this.#deps.processors,
        cpuBusyFraction: () => this.#cpu?.busyFraction(),
      },
      mirrors,
      options,
    );
    this.#mirrors.pause(this.#isPaused);
  }

  /** Looks at everything that is to be used, without changing anything. @throws {BackupError} `usage` when places clash */
  async #compareAll(
    sources: SourceSpec[],
    destinations: DestinationSpec[],
  ): Promise<{ results: Inspected[]; sources: SeenSource[] }> {
    const names = sources.map((source) => source.name);
    const results = await Promise.all(destinations.map((spec) => this.#inspect(spec, names)));
    const seen = await Promise.all(sources.map(async (source) => {
      const here = this.#sources.hereIfAny(source);
      const ancestors = here === undefined ? [] : await this.#ancestry(here);
      return { source, isHere: here !== undefined, ancestors };
    }));
    refuseClashes(seen, results);
    return { results, sources: seen };
  }

  async #inspect(spec: DestinationSpec, names: string[]): Promise<Inspected> {
    try {
      if (this.#repositories!.has(spec.key)) {
        return { spec, inspection: await this.#repositories!.inspect(spec), error: undefined };
      }
      return await this.#mirrors!.inspect(spec, names);
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

  #idleReader(): ThreadClient {
    if (this.#readers === undefined) throw notPrepared();
    return this.#readers.idlest();
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

function notPrepared(): BackupError {
  return new BackupError("rejected", "This run was not prepared here", { retry: "elsewhere" });
}
