/**
 * The replicas of one repository in one run: each source is read, divided, sealed and packed once for all of them. Rule: each
 * replica ends by itself, with its own verdict, and none waits for another; a snapshot is told as verified only when all that
 * was stored for it was read back and is what its name says.
 */
import { hostname } from "node:os";
import type { Clock } from "../../../protocol/base/clock.ts";
import {
  asBackupError,
  BackupError,
  type ErrorCode,
  IntegrityError,
} from "../../../protocol/base/errors.ts";
import type { FileFailure, MirrorOptions } from "../../../protocol/mesh/job.ts";
import {
  type LaneCounters,
  type LaneProgress,
  type LaneState,
  ZERO_COUNTERS,
} from "../../../protocol/mesh/progress.ts";
import { nothingDone } from "../../../protocol/mesh/lane_report.ts";
import type { LaneReport, SnapshotReport, WireError } from "../../../protocol/mesh/task.ts";
import { toWireError } from "../../../protocol/mesh/task_mapping.ts";
import type { EntryTableShare } from "../../source/entry_table.ts";
import { LEND_THREAD, lendThread, type LendThreadRequest } from "../../threads/lent_thread.ts";
import { Moved, ThreadClient, type ThreadEnd } from "../../threads/thread_rpc.ts";
import type { ThreadWatch } from "../../threads/thread_watch.ts";
import {
  ARCHIVE_COUNTERS_BYTES,
  type ArchiveCounters,
  archiveCountersOf,
  type ArchiveRequest,
  type ArchiveResult,
  type ArchiveThreadStart,
  type CatchUpRequest,
  type CheckpointRequest,
  type FeedRequest,
  type ForgetRequest,
  type LostReplica,
} from "./archive_thread.ts";
import type { StoreRequest } from "./asked_object_store.ts";
import { type Borrowed, FeedMemory, ReplicaFeed, type StoredObject } from "./replica_feed.ts";
import type { RepositoryLane } from "./repository_lane.ts";
import { mendLists } from "./standing_lists.ts";
import type { RepositoryConfig } from "../../repository/mod.ts";
import type { SnapshotJournal, SnapshotSource } from "./snapshot_journal.ts";
import type { CheckedObject } from "./repository_thread.ts";

export interface SnapshotGroupDeps {
  clock: Clock;
  spawn: (role: string) => ThreadEnd;
  watch: ThreadWatch;
  /** Where sources may lie; empty: anywhere. */
  roots: readonly string[];
  /** As snapshots note it. */
  program: string;
  operationTimeoutMs: number;
  memory: SnapshotMemory;
  /** Of packs that wait in memory for late replicas. */
  feedBudgetBytes?: number;
}

/** What a run does not know by itself. */
export interface SnapshotMemory {
  journal: SnapshotJournal;
  clock: Clock;
  /** Paths of replicas that take no part in the run, by the id of their repository. */
  absent: (repository: string) => readonly string[];
}

export interface SnapshotInput {
  source: { path: string; name: string };
  table: EntryTableShare;
  filesTotal: number;
  bytesTotal: number;
  /** Keys of the destinations that this task serves. */
  destinations: readonly string[];
  options: MirrorOptions;
  /** True when the attempt must not publish anything any more. */
  isOver: () => boolean;
  signal: AbortSignal;
  /** What could not be read, once. */
  onUnreadable: (failures: readonly FileFailure[]) => void;
}

export interface LaneWork {
  destination: string;
  report: Promise<LaneReport>;
  progress(): LaneProgress;
}

const FEED_BUDGET_BYTES = 32 << 20;

interface Lane {
  lane: RepositoryLane;
  state: LaneState;
  verify: Pick<
    LaneCounters,
    "verifyFilesTotal" | "verifyBytesTotal" | "verifyFilesDone" | "verifyBytesDone"
  >;
  error: BackupError | undefined;
  /** As far as it was ever told to be. */
  reached: ArchiveCounters;
}

/** A further archive for one replica. */
interface Again {
  result: ArchiveResult;
  feed: ReplicaFeed;
}

export class SnapshotGroup {
  readonly #deps: SnapshotGroupDeps;
  readonly #lanes: readonly RepositoryLane[];
  #thread: ThreadClient | undefined;
  /** Threads that it has borrowed. */
  readonly #lent: ThreadEnd[] = [];
  #loaded: Promise<LostReplica[]> | undefined;
  /** Sources go one after the other: what the first has stored, the next finds. */
  #last: Promise<unknown> = Promise.resolve();
  readonly #memory: FeedMemory;
  #feed: ReplicaFeed | undefined;
  #input: SnapshotInput | undefined;

  /** All are open and replicas of each other. */
  constructor(deps: SnapshotGroupDeps, lanes: readonly RepositoryLane[]) {
    this.#deps = deps;
    this.#lanes = lanes;
    this.#memory = new FeedMemory(deps.feedBudgetBytes ?? FEED_BUDGET_BYTES);
  }

  /** Backs one source up to all replicas that the task serves. */
  archive(input: SnapshotInput): LaneWork[] {
    const lanes: Lane[] = this.#lanes.filter(({ key }) => input.destinations.includes(key))
      .map((lane) => ({
        lane,
        state: "analyze",
        verify: NOTHING_VERIFIED,
        error: undefined,
        reached: NOTHING_ARCHIVED,
      }));
    const { feed, failed } = this.#newFeed(lanes);
    const counters = new SharedArrayBuffer(ARCHIVE_COUNTERS_BYTES);
    const ran = this.#inTurn(() => this.#run(input, lanes, feed, counters), input.signal);
    const reports = lanes.map((lane) => {
      const { key, ended } = lane.lane;
      return this.#end(lane, Promise.race([ran, failed.get(key)!.promise, ended]), feed, input);
    });
    void Promise.all(reports).then(() => feed.close());
    return lanes.map((lane, at) => ({
      destination: lane.lane.key,
      report: reports[at]!,
      progress: () => ({
        destination: lane.lane.key,
        state: lane.state,
        counters: countersOf(lane, feed, archiveCountersOf(counters), input),
        gauges: lane.lane.gauges(feed.depth(lane.lane.key)),
      }),
    }));
  }

  async close(): Promise<void> {
    const thread = this.#thread;
    if (thread === undefined) return;
    this.#thread = undefined;
    this.#loaded = undefined;
    thread.cancel();
    if (!thread.isClosed && thread.pendingCount === 0) {
      await thread.call("close", undefined).catch(() => {});
    }
    this.#deps.watch.remove(thread);
    thread.close();
    for (const worker of this.#lent.splice(0)) worker.terminate();
  }

  /** `failed`: reject when a replica is out of the feed. */
  #newFeed(lanes: readonly Lane[]) {
    const failed = new Map(lanes.map(({ lane }) => [lane.key, Promise.withResolvers<never>()]));
    for (const { promise } of failed.values()) promise.catch(() => {});
    const feed = new ReplicaFeed(
      lanes.map(({ lane }) => lane),
      this.#memory,
      {
        failed: (key, error, isItsOwn) => {
          if (isItsOwn) lanes.find(({ lane }) => lane.key === key)!.lane.fail(error);
          failed.get(key)!.reject(error);
        },
        released: (name) => void this.#thread?.call("release", { name }).catch(() => {}),
      },
    );
    return { feed, failed };
  }

  /** One archive at a time. */
  #inTurn<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const before = this.#last;
    const turn = (async () => {
      await before;
      signal.throwIfAborted();
      return await work();
    })();
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #run(
    input: SnapshotInput,
    lanes: readonly Lane[],
    feed: ReplicaFeed,
    counters: SharedArrayBuffer,
  ): Promise<ArchiveResult> {
    const result = await this.#withThread(input, feed, async (thread) => {
      this.#loaded ??= thread.call<LostReplica[]>("load", undefined);
      for (const { destination, error } of await this.#loaded) {
        if (input.destinations.includes(destination)) feed.fail(destination, ofWire(error));
      }
      const open = lanes.filter(({ lane }) => lane.error === undefined && feed.isOpen(lane.key));
      if (open.length === 0) throw feed.whyNone();
      for (const lane of open) lane.state = "copy";
      const request = this.#request(input, open, counters);
      return await thread.call<ArchiveResult>("archive", request);
    });
    input.onUnreadable(result.unreadable);
    if (!input.options.dryRun) this.#note(input, lanes, result.snapshot);
    return result;
  }

  /**
   * Stores again what one replica has lost on its disk and nobody else has: what those packs held counts as not stored, so
   * that the files are read once more. The snapshot that needed them is replaced.
   */
  async #again(
    lane: Lane,
    input: SnapshotInput,
    first: ArchiveResult,
    packs: readonly string[],
  ): Promise<Again> {
    const { feed, failed } = this.#newFeed([lane]);
    const counters = new SharedArrayBuffer(ARCHIVE_COUNTERS_BYTES);
    const result = await Promise.race([
      failed.get(lane.lane.key)!.promise,
      this.#inTurn(() =>
        this.#withThread(input, feed, async (thread) => {
          await thread.call("forget", { packs, snapshot: first.snapshot } satisfies ForgetRequest);
          const left = { tree: first.tree, atMs: this.#deps.memory.clock.nowMs() };
          const request = { ...this.#request(input, [lane], counters), left };
          return await thread.call<ArchiveResult>("archive", request);
        }), input.signal),
    ]);
    await feed.drained(lane.lane.key);
    await lane.lane.replace({ packs, snapshot: first.snapshot });
    return { result, feed };
  }

  async #withThread<T>(
    input: SnapshotInput,
    feed: ReplicaFeed,
    work: (thread: ThreadClient) => Promise<T>,
  ): Promise<T> {
    this.#feed = feed;
    this.#input = input;
    const thread = this.#thread ??= this.#spawn();
    const onAbort = () => thread.cancel();
    input.signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await work(thread);
    } finally {
      input.signal.removeEventListener("abort", onAbort);
      // One that was told to end, or was given up, is of no use to the next task.
      if (input.signal.aborted || thread.isClosed) await this.close();
    }
  }

  #request(
    input: SnapshotInput,
    lanes: readonly Lane[],
    counters: SharedArrayBuffer,
  ): ArchiveRequest {
    const { options, source } = input;
    const { repository } = options;
    return {
      path: source.path,
      name: source.name,
      table: input.table,
      destinations: lanes.map(({ lane }) => lane.key),
      compression: repository?.compression ?? "auto",
      tags: repository?.tags ?? [],
      excludes: options.excludes.map(({ pattern }) => pattern),
      host: repository?.host,
      timeMs: repository?.timeMs,
      attemptsMax: options.attemptsMax,
      program: this.#deps.program,
      dryRun: options.dryRun,
      left: this.#deps.memory.journal.left(this.#source(input)),
      owed: Object.fromEntries(lanes.map(({ lane }) => [lane.key, this.#owed(lane)])),
      counters,
    };
  }

  /** Whoever does not get the snapshot now is to get it later. */
  #note(input: SnapshotInput, lanes: readonly Lane[], snapshot: string): void {
    const { journal, absent } = this.#deps.memory;
    const { id } = this.#repository;
    journal.dropLeft(this.#source(input));
    const paths = [...lanes.map(({ lane }) => lane.spec.path), ...absent(id)];
    if (paths.length === 1) return;
    for (const path of paths) journal.owe(path, id, snapshot);
  }

  get #repository(): RepositoryConfig {
    return this.#lanes[0]!.facts!.config;
  }

  #source({ source, options }: SnapshotInput): SnapshotSource {
    const host = options.repository?.host ?? hostname();
    return { repository: this.#repository.id, host, path: source.path };
  }

  #owed({ spec }: RepositoryLane): readonly string[] {
    return this.#deps.memory.journal.owed(spec.path, this.#repository.id);
  }

  #spawn(): ThreadClient {
    const start: ArchiveThreadStart = {
      roots: this.#deps.roots,
      replicas: this.#lanes.map(({ key, facts, spec }) => ({
        destination: key,
        display: spec.path,
        facts: facts!,
      })),
      operationTimeoutMs: this.#deps.operationTimeoutMs,
    };
    const thread = new ThreadClient(
      this.#deps.spawn("archive"),
      start,
      (method, argument) => this.#answer(method, argument),
    );
    this.#deps.watch.add(thread, "The source");
    return thread;
  }

  #lend(request: LendThreadRequest): ThreadEnd {
    return lendThread(request, this.#deps.spawn, (message) =>
      this.#thread?.abandon(
        new BackupError("internal", `A thread that reads and encodes failed: ${message}`),
      ));
  }

  /** Nobody waits for a disk that does not answer once the attempt is cancelled. */
  #answer(method: string, argument: unknown): Promise<unknown> {
    return untilAborted(this.#carryOut(method, argument), this.#input!.signal);
  }

  async #carryOut(method: string, argument: unknown): Promise<unknown> {
    switch (method) {
      case "store": {
        const { destination, call } = argument as StoreRequest;
        const result = await this.#lanes.find(({ key }) => key === destination)!.store(call);
        // On their way from thread to thread they are nobody's here.
        return result instanceof Uint8Array ? new Moved(result) : result;
      }
      case "feed": {
        const request = argument as FeedRequest;
        if (request.kind === "snapshot" && this.#input!.isOver()) {
          throw new BackupError("superseded", "The task belongs to another attempt now");
        }
        return await this.#feed!.put(request);
      }
      case "checkpoint": {
        const { tree } = argument as CheckpointRequest;
        const { journal, clock } = this.#deps.memory;
        return journal.noteLeft(this.#source(this.#input!), { tree, atMs: clock.nowMs() });
      }
      case LEND_THREAD:
        return void this.#lent.push(this.#lend(argument as LendThreadRequest));
      case "catchUp":
        return this.#feed!.catchUp(argument as CatchUpRequest);
      default:
        throw new TypeError(`Unknown question: ${method}`);
    }
  }

  /** The rest of one lane once its archive is made. Never throws. */
  async #end(
    lane: Lane,
    archived: Promise<ArchiveResult>,
    feed: ReplicaFeed,
    input: SnapshotInput,
  ): Promise<LaneReport> {
    const { key } = lane.lane;
    let result: ArchiveResult | undefined;
    const verified = new Verification();
    const all = new AbortController();
    try {
      const beside = this.#verifyBeside(lane, feed, verified, input, all.signal);
      beside.catch(() => {});
      result = await archived;
      if (input.options.dryRun) {
        lane.state = "manifest";
        return planned(key, result);
      }
      lane.state = "flush";
      // It may have found fewer files than the walk before it.
      lane.reached = { ...result, files: Infinity, bytes: Infinity };
      const owed = this.#owed(lane.lane);
      await untilAborted(Promise.race([feed.drained(key), lane.lane.ended]), input.signal);
      lane.state = "verify";
      all.abort();
      await untilAborted(Promise.race([beside, lane.lane.ended]), input.signal);
      await Promise.race([this.#verify(lane, feed, verified, input), lane.lane.ended]);
      for (let attempt = 2; attempt <= input.options.attemptsMax; attempt++) {
        const lost = verified.failures.flatMap(({ path }) =>
          /\/data\/..\/(.*)$/.exec(path)?.[1] ?? []
        );
        if (lost.length === 0 || lost.length < verified.failures.length) break;
        const again: Again = await Promise.race([
          untilAborted(this.#again(lane, input, result, lost), input.signal),
          lane.lane.ended,
        ]);
        result = { ...result, snapshot: again.result.snapshot, tree: again.result.tree };
        verified.writtenAgain();
        await Promise.race([this.#verify(lane, again.feed, verified, input), lane.lane.ended]);
        again.feed.close();
      }
      await Promise.race([
        untilAborted(this.#mendLists(lane, feed, verified), input.signal),
        lane.lane.ended,
      ]);
      await Promise.race([untilAborted(lane.lane.stillThere(), input.signal), lane.lane.ended]);
      lane.state = verified.failures.length === 0 ? "verified" : "failed";
      if (lane.state === "verified") {
        this.#deps.memory.journal.paid(lane.lane.spec.path, [...owed, result.snapshot]);
      }
    } catch (thrown) {
      const error = input.signal.aborted && lane.lane.error === undefined
        ? new BackupError("cancelled", "Cancelled")
        : lane.lane.error ?? asBackupError(thrown);
      lane.error = error;
      lane.state = error.code === "cancelled" ? "cancelled" : "failed";
      feed.fail(key, error);
    } finally {
      all.abort();
    }
    return reportOf(lane, result, verified);
  }

  /** One alone has read its lists itself. */
  async #mendLists({ lane }: Lane, feed: ReplicaFeed, verified: Verification): Promise<void> {
    if (this.#lanes.length === 1) return;
    const seen = new Set(feed.stored(lane.key).map(({ name }) => name));
    const { mended, broken } = await mendLists(lane, feed, seen);
    verified.rewritten.push(...mended.map((name) => `${lane.key}/${name}`));
    verified.failures.push(...broken.map((name): FileFailure => ({
      path: `${lane.key}/${name}`,
      code: "damaged",
      message: "It is damaged, and no other replica has it whole",
      attempts: 1,
    })));
  }

  /** Reads back what is stored whenever nothing waits to be stored, until all of it is there. */
  async #verifyBeside(
    lane: Lane,
    feed: ReplicaFeed,
    verified: Verification,
    input: SnapshotInput,
    all: AbortSignal,
  ): Promise<void> {
    const { key } = lane.lane;
    const isAll = new Promise<void>((resolve) =>
      all.addEventListener("abort", () => resolve(), { once: true })
    );
    while (!all.aborted && feed.isOpen(key)) {
      const object = feed.stored(key)[verified.ofFeed];
      if (object === undefined || feed.depth(key) > 0) {
        await Promise.race([feed.rested(key), isAll]);
      } else {
        await verifyObject(lane.lane, feed, object.name, input.options.attemptsMax, verified);
        verified.count(object);
      }
    }
  }

  /** Reads back all that was stored, and writes again what is not right there from whoever has it. */
  async #verify(
    lane: Lane,
    feed: ReplicaFeed,
    verified: Verification,
    { options, signal }: SnapshotInput,
  ): Promise<void> {
    const objects = feed.stored(lane.lane.key).slice(verified.ofFeed);
    const verifyFilesTotal = verified.objects + objects.length;
    const verifyBytesTotal = objects.reduce((sum, one) => sum + one.sizeBytes, verified.bytes);
    const tell = () => {
      lane.verify = {
        verifyFilesTotal,
        verifyBytesTotal,
        verifyFilesDone: verified.objects,
        verifyBytesDone: verified.bytes,
      };
    };
    tell();
    for (const object of objects) {
      await untilAborted(
        verifyObject(lane.lane, feed, object.name, options.attemptsMax, verified),
        signal,
      );
      verified.count(object);
      tell();
    }
  }
}

/** What was read back at one replica. */
class Verification {
  objects = 0;
  bytes = 0;
  /** Of the feed in hand. */
  ofFeed = 0;
  fromDisk = 0;
  readonly rewritten: string[] = [];
  readonly failures: FileFailure[] = [];

  count({ sizeBytes }: StoredObject): void {
    this.objects++;
    this.ofFeed++;
    this.bytes += sizeBytes;
  }

  /** What was wrong has been replaced. */
  writtenAgain(): void {
    this.rewritten.push(...this.failures.splice(0).map(({ path }) => path));
    this.ofFeed = 0;
  }

  get kind(): LaneReport["verification"] {
    if (this.objects === 0) return "none";
    if (this.fromDisk === this.objects) return "disk";
    return this.fromDisk === 0 ? "cache" : "mixed";
  }
}

async function verifyObject(
  lane: RepositoryLane,
  feed: ReplicaFeed,
  name: string,
  attemptsMax: number,
  verified: Verification,
): Promise<void> {
  for (let attempt = 1;; attempt++) {
    const { isGood, fromDisk } = await checkOf(lane, name);
    if (isGood) {
      if (fromDisk) verified.fromDisk++;
      if (attempt > 1) verified.rewritten.push(`${lane.key}/${name}`);
      feed.seen(name, lane.key);
      return;
    }
    const fail = (message: string) =>
      verified.failures.push({
        path: `${lane.key}/${name}`,
        code: "damaged",
        message,
        attempts: attempt,
      });
    if (attempt >= attemptsMax) {
      fail("It does not read back as it was written");
      return;
    }
    let right: Borrowed;
    try {
      right = await feed.borrow(name, lane.key);
    } catch {
      fail("It does not read back as it was written, and no other replica has it");
      return;
    }
    await lane.put({ name, bytes: right.bytes });
    right.done();
  }
}

/** What is not there, or cannot be read, is not good. */
async function checkOf(lane: RepositoryLane, name: string): Promise<CheckedObject> {
  try {
    return await lane.check(name);
  } catch (thrown) {
    const { code } = asBackupError(thrown);
    if (code === "io" || code === "not_found") return { isGood: false, fromDisk: false };
    throw thrown;
  }
}

function reportOf(
  { lane, state, error }: Lane,
  result: ArchiveResult | undefined,
  verified: Verification,
): LaneReport {
  const failure = error ??
    (verified.failures.length === 0
      ? undefined
      : new IntegrityError("What was stored does not read back as it was written", {
        path: lane.key,
        hint: "Run check --read-data, and look at the disk and the memory of this machine",
      }));
  return {
    destination: lane.key,
    state: state === "verified" || state === "cancelled" ? state : "failed",
    ...(failure === undefined ? {} : { error: toWireError(failure) }),
    filesTotal: result?.files ?? 0,
    filesCopied: (result?.filesNew ?? 0) + (result?.filesChanged ?? 0),
    bytesCopied: (result?.bytes ?? 0) - (result?.bytesUnmodified ?? 0),
    filesUnchanged: result?.filesUnmodified ?? 0,
    filesVerified: verified.objects,
    bytesVerified: verified.bytes,
    verification: verified.kind,
    failures: verified.failures,
    failureCount: verified.failures.length,
    rewritten: verified.rewritten,
    warnings: result?.warnings ?? [],
    ...(result === undefined ? {} : { snapshot: snapshotOf(result) }),
  };
}

function snapshotOf(result: ArchiveResult): SnapshotReport {
  const { snapshot, tree, parent, filesNew, filesChanged, addedBytes, storedBytes } = result;
  return {
    id: snapshot,
    tree,
    ...(parent === undefined ? {} : { parent }),
    filesNew,
    filesChanged,
    addedBytes,
    storedBytes,
  };
}

function planned(destination: string, result: ArchiveResult): LaneReport {
  const { files, filesNew, filesChanged, filesUnmodified, bytes, bytesUnmodified } = result;
  return {
    destination,
    state: "planned",
    ...nothingDone(),
    filesTotal: files,
    filesUnchanged: filesUnmodified,
    warnings: result.warnings,
    plan: {
      filesToCopy: filesNew + filesChanged,
      bytesToCopy: bytes - bytesUnmodified,
      filesUnchanged: filesUnmodified,
      filesGone: 0,
    },
    snapshot: snapshotOf(result),
  };
}

/** A replica that has everything put so far is as far as the archive; another one as far as what it has last got. */
function countersOf(
  lane: Lane,
  feed: ReplicaFeed,
  archived: ArchiveCounters,
  { filesTotal, bytesTotal }: SnapshotInput,
): LaneCounters {
  const { verify } = lane;
  const { key } = lane.lane;
  const now = feed.depth(key) === 0 ? archived : feed.counters(key) ?? NOTHING_ARCHIVED;
  // The next pack is begun before anything of it is there: nothing that was told is taken back.
  const reached = lane.reached = furthest(lane.reached, now);
  const filesDone = Math.min(reached.files, filesTotal);
  const bytesDone = Math.min(reached.bytes, bytesTotal);
  return {
    ...ZERO_COUNTERS,
    filesTotal,
    bytesTotal,
    filesDone,
    bytesDone,
    filesUnchanged: Math.min(reached.filesUnmodified, filesDone),
    bytesUnchanged: Math.min(reached.bytesUnmodified, bytesDone),
    ...verify,
  };
}

function furthest(a: ArchiveCounters, b: ArchiveCounters): ArchiveCounters {
  return {
    files: Math.max(a.files, b.files),
    bytes: Math.max(a.bytes, b.bytes),
    filesUnmodified: Math.max(a.filesUnmodified, b.filesUnmodified),
    bytesUnmodified: Math.max(a.bytesUnmodified, b.bytesUnmodified),
  };
}

const NOTHING_ARCHIVED: ArchiveCounters = {
  files: 0,
  bytes: 0,
  filesUnmodified: 0,
  bytesUnmodified: 0,
};

const NOTHING_VERIFIED = {
  verifyFilesTotal: 0,
  verifyBytesTotal: 0,
  verifyFilesDone: 0,
  verifyBytesDone: 0,
};

function ofWire({ code, message, path, hint, retry }: WireError): BackupError {
  return new BackupError(code as ErrorCode, message, { path, hint, retry });
}

/** The promise's result; when it is cancelled before, whoever works on it is not waited for. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => {});
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
