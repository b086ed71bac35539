/**
 * One attempt at the task of copying a source, at all its destinations. Rule: every destination has its own report, told as soon as
 * it is at its end; an attempt that has lost its task ends with that and tells nothing else.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import { BackupError, type ErrorCode } from "../../protocol/base/errors.ts";
import type { FileFailure, MirrorOptions, SourceSpec } from "../../protocol/mesh/job.ts";
import {
  type LaneProgress,
  type TaskProgress,
  type Unreadable,
  ZERO_COUNTERS,
  ZERO_GAUGES,
} from "../../protocol/mesh/progress.ts";
import type { LaneReport, MirrorResult, MirrorTask } from "../../protocol/mesh/task.ts";
import { EntryTable, latin1OfUtf8 } from "../source/entry_table.ts";
import type { FanOutReader } from "../source/fan_out_reader.ts";
import type { EntryMarks, MovedRequest } from "../source/moved_in_source.ts";
import type { Scanned } from "../source/scan.ts";
import { AttemptGuard, superseded } from "../strategies/mirror/attempt_guard.ts";
import { stageNameOf } from "../strategies/mirror/attempt_names.ts";
import { newXxh64Column } from "../strategies/mirror/mhl/xxh64_column.ts";
import { RowFinder } from "../strategies/mirror/row_finder.ts";
import { SourceProblems } from "../strategies/mirror/source_problems.ts";
import { partOf, type SourcePart } from "../strategies/mirror/source_parts.ts";
import { planUnmade } from "../strategies/mirror/unmade_lane.ts";
import type { ThreadClient } from "../threads/thread_rpc.ts";
import type { RunMirrors } from "./run_mirrors.ts";
import type { RunRepositories } from "./run_repositories.ts";
import { type KeptList, type Listed, type SourceLists, walkOptions } from "./source_lists.ts";
import type { SourcePlaces } from "./source_places.ts";
import type { OpenFiles } from "./task_files.ts";

/** What an attempt uses of its run. */
export interface AttemptTools {
  clock: Clock;
  sources: SourcePlaces;
  lists: SourceLists;
  reader: FanOutReader;
  mirrors: RunMirrors;
  repositories: RunRepositories;
  idleReader: () => ThreadClient;
  /** By task, while an attempt at it goes on. */
  openFiles: Map<string, OpenFiles>;
  /** What goes on at a destination is waited for before that is given back. */
  countedAt<T>(destination: string, work: Promise<T>): Promise<T>;
  /** The run was released. */
  released: AbortSignal;
}

export interface AttemptContext {
  progress(progress: TaskProgress): void;
  signal: AbortSignal;
}

/** The copy at one destination, under way. */
interface Work {
  report: Promise<LaneReport>;
  progress(): LaneProgress;
}

/** Key of a source that has no name at a destination: nothing is written under it. */
export const UNBOUND = "unbound";
const TICK_MS = 250;

export class MirrorAttempt {
  readonly #task: MirrorTask;
  readonly #context: AttemptContext;
  readonly #guard: AttemptGuard;
  readonly #tools: AttemptTools;
  readonly #source: SourceSpec;
  readonly #options: MirrorOptions;
  readonly #part: SourcePart | undefined;
  /** The task was cancelled, or the run released. */
  readonly #ended: AbortSignal;
  readonly #problems = new SourceProblems();
  #seq = 0;

  /** @throws {BackupError} when the task is none for this agent */
  constructor(
    task: MirrorTask,
    context: AttemptContext,
    guard: AttemptGuard,
    tools: AttemptTools,
  ) {
    this.#task = task;
    this.#context = context;
    this.#guard = guard;
    this.#tools = tools;
    this.#source = tools.sources.here(task.source);
    this.#options = optionsOf(this.#source, task.options);
    this.#part = task.part === undefined ? undefined : partOf(task.part);
    this.#ended = AbortSignal.any([context.signal, tools.released]);
    const isForSnapshots = task.destinations.some((key) => tools.repositories.has(key));
    if (
      this.#part !== undefined && (isForSnapshots || !mayBeDivided(this.#source, this.#options))
    ) {
      throw new BackupError(
        "rejected",
        `What is asked for cannot be done in a part of ${this.#source.name}`,
      );
    }
    if (this.#options.mhl === true && this.#options.encoding !== undefined) {
      throw new BackupError("usage", "ASC MHL describes plain copies, and these would be encoded");
    }
  }

  async run(): Promise<MirrorResult> {
    const { lists, mirrors, openFiles, reader } = this.#tools;
    const { taskId, epoch, destinations } = this.#task;
    const kept = await this.#list();
    const { table } = kept.scanned;
    // Tried again here after an attempt that failed as a whole, it is not walked again.
    if (this.#part === undefined) lists.keep(this.#source.name, kept);
    const attempt = `${taskId}:${epoch}`;
    // Only this attempt ends: the agent may have others of the run in hand.
    const stop = onAbort(this.#ended, () => this.#guard.stop());
    const isMirrored = !this.#options.dryRun && destinations.some((key) => mirrors.has(key));
    const statuses = new Map<string, SharedArrayBuffer>();
    const files = { name: this.#source.name, table, statuses };
    try {
      if (isMirrored) await reader.addSource(attempt, this.#source.path, table);
      openFiles.set(taskId, files);
      return await this.#follow(this.#begin(kept.scanned, attempt, statuses), kept);
    } finally {
      stop();
      if (openFiles.get(taskId) === files) openFiles.delete(taskId);
      if (isMirrored && !this.#tools.released.aborted) {
        await reader.removeSource(attempt).catch(() => {});
      }
    }
  }

  async #list(): Promise<KeptList> {
    const kept = this.#part === undefined ? this.#tools.lists.get(this.#source.name) : undefined;
    if (kept !== undefined) return kept;
    const scanned = await this.#tools.lists.walk({
      source: this.#source,
      options: this.#options,
      stretch: this.#part,
      signal: this.#ended,
      progress: () => this.#tell({ lanes: this.#task.destinations.map(notBegun) }),
    });
    return { scanned, isReported: false };
  }

  /** In the order of the task's destinations. */
  #begin(
    scanned: Listed,
    attempt: string,
    statuses: Map<string, SharedArrayBuffer>,
  ): Work[] {
    const { repositories } = this.#tools;
    const snapshots = this.#beginSnapshots(scanned);
    return this.#task.destinations.map((key) => {
      const snapshot = snapshots.get(key);
      if (snapshot !== undefined) return snapshot;
      if (repositories.has(key) && this.#options.dryRun) return planUnmade(key, scanned.counters);
      const status = new SharedArrayBuffer(scanned.table.count);
      statuses.set(key, status);
      return this.#beginMirror(key, scanned, attempt, status);
    });
  }

  #beginSnapshots({ table, counters }: Listed): Map<string, Work> {
    const { path, name } = this.#source;
    return new Map(
      this.#tools.repositories.groups.flatMap((group) =>
        group.archive({
          source: { path, name },
          table,
          filesTotal: counters.files,
          bytesTotal: counters.bytes,
          destinations: this.#task.destinations,
          options: this.#options,
          isOver: () => this.#guard.isOver,
          signal: this.#ended,
          onUnreadable: (failures) =>
            addUnreadable(this.#problems, EntryTable.fromShare(table), name, failures),
        })
      ).map((work) => [work.destination, work] as const),
    );
  }

  #beginMirror(key: string, scanned: Listed, attempt: string, status: SharedArrayBuffer): Work {
    const { runId, epoch, leaseMs } = this.#task;
    const { mirrors, sources } = this.#tools;
    const { name, path } = this.#source;
    const { table, counters } = scanned;
    const options = this.#options;
    const part = this.#part;
    const lane = mirrors.lane(key);
    const opened = mirrors.opened(key);
    if (lane === undefined || opened === undefined) {
      throw new BackupError("rejected", `${key} was not prepared here`, { retry: "elsewhere" });
    }
    if (options.dryRun && !opened.exists) return planUnmade(key, counters);
    return lane.mirror(
      {
        destination: key,
        share: {
          task: attempt,
          name,
          bindingKey: opened.keys[name] ?? UNBOUND,
          sourcePath: sources.binding(this.#task.source).sourcePath,
          runId,
          stageName: stageNameOf(runId, epoch),
          guard: this.#guard.shared,
          ...(part !== undefined && { part }),
          // Nobody else is asked for a task that has no lease and is the first.
          ...((part ?? leaseMs) !== undefined || epoch > 1 ? { isShared: true } : {}),
          table,
          status,
          knownSha256: new SharedArrayBuffer(table.count * 32),
          ...(options.mhl === true ? { xxh64: newXxh64Column(table.count) } : {}),
        },
        filesTotal: counters.files,
        bytesTotal: counters.bytes,
        options,
        isSequential: this.#source.requires?.includes("backup.sequential") === true,
        source: {
          unreadable: counters.unreadable,
          judge: (paths, folders) => this.#judgeGone(path, scanned, paths, folders),
          moved: () => this.#findMoved(path, scanned),
        },
      },
      this.#problems,
      this.#ended,
    );
  }

  /** Tells how far it is until all have ended. */
  async #follow(
    works: readonly Work[],
    { scanned, isReported }: KeptList,
  ): Promise<MirrorResult> {
    const { clock, countedAt, lists } = this.#tools;
    const verified: LaneReport[] = [];
    const report = () => {
      const lanes = works.map((work) => work.progress());
      const isPartly = lanes.some(({ state }) => state === "verified") &&
        lanes.some(({ state }) => !ENDS.has(state));
      const unreadable = isPartly
        ? this.#unreadable(isReported ? [] : scanned.unreadable)
        : undefined;
      this.#tell({
        lanes,
        ...(verified.length > 0 && { verified }),
        ...(unreadable !== undefined && { unreadable }),
      });
    };
    report();
    const stopTicks = clock.every(TICK_MS, report);
    try {
      const lanes = await Promise.all(works.map(async (work, at) => {
        const lane = await countedAt(this.#task.destinations[at]!, work.report);
        if (lane.state === "verified" && isShort(lane)) verified.push(lane);
        // Others may go on for hours; this one's end is news now.
        report();
        return lane;
      }));
      const isWhole = lanes.every(({ state }) => state === "verified");
      const isLost = lanes.some(({ error }) => error?.code === "superseded");
      // Whose task it is by now does not ask how far this attempt came.
      if (isLost || (!isWhole && !this.#ended.aborted && this.#guard.isOver)) throw superseded();
      // Only now: another attempt at a task that failed as a whole needs them.
      if (this.#part === undefined) lists.drop(this.#source.name);
      return {
        op: "mirror",
        lanes,
        unreadable: this.#problems.named,
        unreadableCount: this.#problems.count,
        ...(!isReported && {
          walked: { counters: scanned.counters, unreadable: scanned.unreadable },
        }),
      };
    } finally {
      stopTicks();
    }
  }

  /** So far, in few words: they are said again with each progress. */
  #unreadable(unlisted: readonly FileFailure[]): Unreadable | undefined {
    const count = this.#problems.count + unlisted.length;
    if (count === 0) return undefined;
    return { named: [...this.#problems.named, ...unlisted].slice(0, SHORT_LINES_MAX), count };
  }

  #tell(progress: Omit<TaskProgress, "seq">): void {
    this.#context.progress({ seq: this.#seq++, ...progress });
  }

  #judgeGone(
    path: string,
    { table }: Scanned,
    paths: string[],
    folders: Uint8Array,
  ): Promise<Uint8Array> {
    return this.#tools.idleReader().call("goneInSource", {
      path,
      options: walkOptions(this.#options),
      paths,
      folders,
      listed: {
        inodeLow: new Uint32Array(table.columns.inodeLow)[0]!,
        inodeHigh: new Uint32Array(table.columns.inodeHigh)[0]!,
      },
    });
  }

  #findMoved(path: string, { table, listedAtMs }: Listed): Promise<EntryMarks[]> {
    const options = walkOptions(this.#options);
    const request: MovedRequest = { path, options, table, listedAtMs };
    return this.#tools.idleReader().call<EntryMarks[]>("movedInSource", request);
  }
}

/** What a run does to the past of a copy, and what stands for all of it, is done by one agent. */
export function mayBeDivided(source: SourceSpec, options: MirrorOptions): boolean {
  const doesHistory = options.deleteGone === true || (options.keepVersions ?? 0) > 0;
  return !doesHistory && options.mhl !== true && !options.dryRun &&
    source.requires?.includes("backup.sequential") !== true;
}

/** What a source asks for itself goes before what the job asks for all. */
function optionsOf({ encoding }: SourceSpec, options: MirrorOptions): MirrorOptions {
  return encoding === undefined ? options : { ...options, encoding };
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

/** Few enough lines to be said again four times a second. */
function isShort({ rewritten, warnings }: LaneReport): boolean {
  return rewritten.length + warnings.length <= SHORT_LINES_MAX;
}

const SHORT_LINES_MAX = 20;

const ENDS: ReadonlySet<string> = new Set(["verified", "failed", "cancelled"]);

/** A lane of a task whose source is being listed. */
function notBegun(destination: string): LaneProgress {
  return { destination, state: "analyze", counters: ZERO_COUNTERS, gauges: ZERO_GAUGES };
}

function onAbort(signal: AbortSignal, act: () => void): () => void {
  if (signal.aborted) act();
  signal.addEventListener("abort", act, { once: true });
  return () => signal.removeEventListener("abort", act);
}
