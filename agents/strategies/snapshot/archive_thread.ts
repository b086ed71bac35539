/**
 * The thread that reads sources and makes packs of them, once for all replicas of a repository. Rule: it touches no destination
 * itself; what it makes goes to its owner, who hands it to each replica at its own pace.
 */
import { realpathSync } from "node:fs";
import { hostname } from "node:os";
import { backoffMs } from "../../../protocol/base/backoff.ts";
import type { Clock } from "../../../protocol/base/clock.ts";
import { BackupError } from "../../../protocol/base/errors.ts";
import type { FileFailure } from "../../../protocol/mesh/job.ts";
import { toWireError } from "../../../protocol/mesh/task_mapping.ts";
import type { WireError } from "../../../protocol/mesh/task.ts";
import { createKernels } from "../../kernels/mod.ts";
import { confine, isInRoots } from "../../platform/confined_posix.ts";
import { Garbage } from "../../platform/garbage.ts";
import { cName, type Posix } from "../../platform/posix.ts";
import {
  BlobReader,
  BlobWriter,
  Chunker,
  type Compression,
  encodeIndex,
  encodeSnapshot,
  findParent,
  INDEX_BLOBS_MAX,
  type IndexedPack,
  instantOfMs,
  markUsed,
  msOf,
  type PackSink,
  Repository,
  sealSnapshot,
  SnapshotBuilder,
  throwProblem,
  timeOf,
  WINDOWS_FOR_TREES,
} from "../../repository/mod.ts";
import { EntryTable, type EntryTableShare, latin1OfUtf8 } from "../../source/entry_table.ts";
import { countingPosix } from "../../threads/counting_posix.ts";
import { borrowThread } from "../../threads/lent_thread.ts";
import { ThreadWatch } from "../../threads/thread_watch.ts";
import type { Ask, Methods, ThreadCells, ThreadEnd } from "../../threads/thread_rpc.ts";
import { PathChain } from "../mirror/restore/path_chain.ts";
import { type AccountNames, readAccountNames } from "./account_names.ts";
import { hedgedStore } from "./hedged_store.ts";
import { archiveSource } from "./archive_source.ts";
import { askedObjectStore } from "./asked_object_store.ts";
import { Encoders, type EncoderThreads, startEncoderThreads } from "./encoders.ts";
import {
  readReplicaLists,
  type Replica,
  type ReplicaLists,
  withoutPacks,
} from "./replica_lists.ts";
import type { LeftTree } from "./snapshot_journal.ts";
import type { RepositoryFacts } from "./repository_thread.ts";
import { userName } from "./lock_context.ts";

export interface ArchiveThreadStart {
  /** Where sources may lie; empty: anywhere. */
  roots: readonly string[];
  replicas: ReplicaStart[];
  /** A thread that reads and stands still so long is given up. */
  operationTimeoutMs: number;
}

export interface ReplicaStart {
  destination: string;
  /** As people see it. */
  display: string;
  facts: RepositoryFacts;
}

export interface ArchiveRequest {
  /** Absolute, on this machine. */
  path: string;
  /** How files of it are named in messages. */
  name: string;
  /** What the walk found, and so what the snapshot holds. */
  table: EntryTableShare;
  /** Destinations that still take part. */
  destinations: readonly string[];
  compression: Compression;
  tags: readonly string[];
  excludes: readonly string[];
  host?: string | undefined;
  /** Of the snapshot, instead of now. */
  timeMs?: number | undefined;
  /** How often a file is read that changes while it is read. */
  attemptsMax: number;
  program: string;
  /** Nothing is stored. */
  dryRun: boolean;
  /** What an interrupted backup of the same source has left. */
  left?: LeftTree | undefined;
  /** Ids of snapshots that a replica has missed, by destination. */
  owed: Readonly<Record<string, readonly string[]>>;
  counters: SharedArrayBuffer;
}

/** What the archive has got through, in shared memory while it goes on. */
export interface ArchiveCounters {
  files: number;
  bytes: number;
  filesUnmodified: number;
  bytesUnmodified: number;
}

export const ARCHIVE_COUNTERS_BYTES = 32;

export interface ArchiveResult extends ArchiveCounters {
  filesNew: number;
  filesChanged: number;
  tree: string;
  snapshot: string;
  parent?: string;
  /** Plain bytes that were not there yet, and what they take. */
  addedBytes: number;
  storedBytes: number;
  unreadable: FileFailure[];
  unreadableCount: number;
  warnings: string[];
}

/** Goes to all replicas, in this order at each. */
export interface FeedRequest {
  name: string;
  /** In shared memory. */
  bytes: Uint8Array;
  kind: "pack" | "index" | "snapshot";
  counters: ArchiveCounters;
}

/** What one replica lacks and others have. */
export interface CatchUpRequest {
  destination: string;
  /** In this order; those without bytes are with another replica. */
  objects: { name: string; sizeBytes: number; bytes?: Uint8Array }[];
}

/** A tree of what is safe so far. */
export interface CheckpointRequest {
  tree: string;
}

/** Packs that were lost where they were stored, and the snapshot that needs them. */
export interface ForgetRequest {
  packs: readonly string[];
  snapshot: string;
}

/** A replica whose lists cannot be read takes no part. */
export interface LostReplica {
  destination: string;
  error: WireError;
}

const TICK_MS = 200;
/** What a killed backup has to read again at most, about. */
export const CHECKPOINT_EVERY_MS = 2 * 60_000;
/** A checkpoint takes at most one part of so many of the time. */
const CHECKPOINT_SHARE = 20;
const NAMED_MAX = 10_000;
/** What an entry leaves behind, with its share of what trees of the snapshot before are read into. */
const ENTRY_GARBAGE_BYTES = 256;

export function archiveCountersOf(shared: SharedArrayBuffer): ArchiveCounters {
  const [files, bytes, filesUnmodified, bytesUnmodified] = new Float64Array(shared);
  return {
    files: files!,
    bytes: bytes!,
    filesUnmodified: filesUnmodified!,
    bytesUnmodified: bytesUnmodified!,
  };
}

export function openArchiveThread(
  raw: Posix,
  start: ArchiveThreadStart,
  cells: ThreadCells,
  ask: Ask,
  clock: Clock,
  /** How threads that read and encode are started. */
  spawn: (role: string) => ThreadEnd = (role) => borrowThread(ask, role),
): Methods {
  const archiver = new ArchiveThread(raw, start, cells, ask, clock, spawn);
  return {
    load: () => archiver.load(),
    archive: (request: ArchiveRequest) => archiver.archive(request),
    forget: (request: ForgetRequest) => archiver.forget(request),
    release: ({ name }: { name: string }) => archiver.release(name),
    close: () => archiver.close(),
  };
}

class ArchiveThread {
  readonly #spawn: (role: string) => ThreadEnd;
  readonly #raw: Posix;
  readonly #start: ArchiveThreadStart;
  readonly #cells: ThreadCells;
  readonly #ask: Ask;
  readonly #clock: Clock;
  readonly #kernels = createKernels();
  readonly #garbage = new Garbage();
  readonly #accounts: AccountNames = readAccountNames();
  readonly #cancel = new AbortController();
  #isCancelled = false;
  readonly #stopTicking: () => void;
  readonly #watch: ThreadWatch;
  /** Of packs that somebody may be storing: gives their memory back. */
  readonly #releases = new Map<string, () => void>();
  #threads: EncoderThreads | undefined;
  #lists: ReplicaLists | undefined;
  #counters: Float64Array | undefined;
  #builder: SnapshotBuilder | undefined;

  constructor(
    raw: Posix,
    start: ArchiveThreadStart,
    cells: ThreadCells,
    ask: Ask,
    clock: Clock,
    spawn: (role: string) => ThreadEnd,
  ) {
    this.#spawn = spawn;
    this.#raw = raw;
    this.#start = start;
    this.#cells = cells;
    this.#ask = ask;
    this.#clock = clock;
    this.#watch = new ThreadWatch(clock, start.operationTimeoutMs);
    // Waiting for a destination is no standing still of the source.
    this.#stopTicking = clock.every(TICK_MS, () => {
      Atomics.add(cells.operations, 0, 1);
      this.#look();
    });
  }

  async close(): Promise<void> {
    this.#stopTicking();
    const threads = this.#threads;
    this.#threads = undefined;
    // The owner ends them when this is over.
    await threads?.close();
    this.#watch.close();
  }

  /** What was in these packs counts as not stored from now on. */
  forget({ packs, snapshot }: ForgetRequest): void {
    const lists = this.#lists!;
    const lost = new Set(packs);
    lists.index = withoutPacks(lists.index, lost);
    for (const [key, own] of lists.own) lists.own.set(key, withoutPacks(own, lost));
    for (const id of lost) for (const missing of lists.missing.values()) missing.delete(id);
    lists.snapshots.delete(snapshot);
  }

  /** Nobody needs the memory of a pack any more. */
  release(name: string): void {
    this.#releases.get(name)?.();
    this.#releases.delete(name);
  }

  /** Reads the lists of all replicas. Those whose lists cannot be read are told and left out. */
  async load(): Promise<LostReplica[]> {
    this.#lists = await readReplicaLists(
      this.#start.replicas.map(({ destination, display, facts }) => {
        const store = askedObjectStore(this.#ask, destination, display);
        const { config, opened } = facts;
        return { destination, repository: new Repository(store, this.#kernels, config, opened) };
      }),
      this.#clock,
    );
    // What lists were read into.
    this.#garbage.made(Infinity);
    return this.#lists.lost.map(({ replica: { destination }, error }) => ({
      destination,
      error: toWireError(error),
    }));
  }

  async archive(request: ArchiveRequest): Promise<ArchiveResult> {
    const lists = this.#lists;
    const replicas =
      lists?.replicas.filter(({ destination }) => request.destinations.includes(destination)) ?? [];
    const [first] = replicas;
    if (lists === undefined || first === undefined) {
      throw new BackupError("internal", "No replica is left");
    }
    const { index, snapshots } = lists;
    this.#counters = new Float64Array(request.counters);
    const { repository } = first;
    const startedAt = instantOfMs(this.#clock.nowMs());
    const time = request.timeMs === undefined ? startedAt : instantOfMs(request.timeMs);
    const host = request.host ?? hostname();
    const parent = findParent(snapshots.values(), host, [request.path], time);
    // What an interrupted backup had got through is newer than the snapshot before, and has that in it.
    const isLeft = request.left !== undefined && index.has("tree", request.left.tree) &&
      (parent === undefined || request.left.atMs > msOf(timeOf(parent)));
    const comparedWith = isLeft ? request.left!.tree : parent?.tree;
    const warnings: string[] = [...lists.warnings];
    const stores = replicas.map((replica) => replica.repository.store);
    const reader = new BlobReader(hedgedStore(stores, this.#clock), repository.key, index, {
      windows: WINDOWS_FOR_TREES,
      // What one has damaged another may have whole.
      fallbacks: stores.length > 1 ? stores : [],
    });
    const writer = new BlobWriter(repository, index, {
      clock: this.#clock,
      compression: request.compression,
      sink: request.dryRun ? NOWHERE : this.#feed(),
    });
    const encoders = this.#encoders(request, repository, writer);
    const table = EntryTable.fromShare(request.table);
    if (comparedWith === undefined) {
      // All is new: an index that grows by and by would be copied each time.
      index.reserve(index.rowCount + table.count);
      if (encoders !== undefined) this.#threads?.clients();
    }
    const builder = new SnapshotBuilder(
      writer,
      new Chunker(this.#kernels.createScanner(repository.config.polynomial)),
      comparedWith === undefined ? {} : {
        parent: { tree: comparedWith, reader },
        onParentDamage: ({ message }) =>
          void warnings.push(`The snapshot before cannot be read everywhere: ${message}`),
      },
    );
    this.#builder = builder;
    const problems = new Map<string, FileFailure>();
    let problemCount = 0;
    const endCheckpoints = request.dryRun ? () => {} : this.#checkpoints(builder, writer);
    try {
      await archiveSource(builder, request.path, table, {
        posix: this.#posix(),
        accounts: this.#accounts,
        ...(encoders === undefined
          ? {}
          : { encoders: { encoders, folder: latin1OfUtf8(request.path.slice(1)) } }),
        onEntry: () => this.#step(),
        again: {
          attempts: request.attemptsMax,
          pause: (attempt) => this.#clock.sleep(backoffMs(attempt), this.#cancel.signal),
        },
        onProblem: (path, error, attempts) => {
          problemCount++;
          if (problems.size >= NAMED_MAX) return;
          const named = pathWithin(request, path);
          const { code, message } = error;
          problems.set(named, { path: named, code, message, attempts });
        },
      });
      endCheckpoints();
      const sealed = await sealSnapshot(builder, writer, {
        time,
        startedAt,
        endedAt: instantOfMs(this.#clock.nowMs()),
        paths: [request.path],
        hostname: host,
        username: userName(),
        uid: Deno.uid() ?? 0,
        gid: Deno.gid() ?? 0,
        program: request.program,
        ...(request.tags.length === 0 ? {} : { tags: request.tags }),
        ...(request.excludes.length === 0 ? {} : { excludes: request.excludes }),
        ...(parent === undefined ? {} : { parent: parent.id }),
      });
      this.#count();
      let snapshot = "";
      if (!request.dryRun) {
        await this.#catchUp(replicas, sealed.tree, reader, request.owed);
        const { id, bytes } = repository.sealFile(encodeSnapshot(sealed));
        await this.#send(`snapshots/${id}`, [bytes], "snapshot");
        snapshots.set(id, { id, ...sealed });
        snapshot = id;
      }
      const { counts } = builder;
      return {
        ...this.#now(),
        filesNew: counts.filesNew,
        filesChanged: counts.filesChanged,
        tree: sealed.tree,
        snapshot,
        ...(parent === undefined ? {} : { parent: parent.id }),
        addedBytes: writer.counts.addedBytes,
        storedBytes: writer.counts.addedStoredBytes,
        unreadable: [...problems.values()],
        unreadableCount: problemCount,
        warnings: [...new Set(warnings)].slice(0, 10),
      };
    } catch (thrown) {
      // What they have in hand belongs to an archive that is over.
      void this.#threads?.close();
      this.#threads = undefined;
      throw thrown;
    } finally {
      endCheckpoints();
      this.#builder = undefined;
      this.#counters = undefined;
    }
  }

  /**
   * Undefined where links lead to the source, or a folder above it cannot be opened: those threads follow no links, and open
   * folder by folder.
   */
  #encoders(
    { path }: ArchiveRequest,
    repository: Repository,
    writer: BlobWriter,
  ): Encoders | undefined {
    if (realpathSync(path) !== path || !this.#opensAllAbove(path)) return undefined;
    this.#threads ??= startEncoderThreads(repository, {
      watch: this.#watch,
      spawn: this.#spawn,
    });
    return new Encoders(this.#threads, writer);
  }

  #opensAllAbove(path: string): boolean {
    const root = this.#raw.openRoot(cName("/"));
    const folders = new PathChain(this.#raw, root);
    const result = folders.folder(latin1OfUtf8(path.slice(1)));
    folders.close();
    this.#raw.closeDirectory(root);
    return result >= 0;
  }

  /**
   * Folders above the source are only looked at. With roots, what lies in them is opened so that nothing leads out, and
   * what lies above them as the names of the roots say.
   */
  #posix(): Posix {
    const { roots } = this.#start;
    const confined = confine(this.#raw, roots);
    const isAbove = (path: string) => !isInRoots(path, roots) || path === "/";
    return countingPosix(
      {
        ...this.#raw,
        openRoot: (path) => {
          const text = new TextDecoder().decode(path.subarray(0, path.length - 1));
          return isAbove(text) ? this.#raw.openRoot(path) : confined.openRoot(path);
        },
      },
      this.#cells,
      (call) => {
        if (call === "openRead" || call === "read") this.#step();
      },
    );
  }

  /** The archive goes on, unless it was cancelled. */
  #step(): void {
    Atomics.add(this.#cells.operations, 0, 1);
    this.#garbage.made(ENTRY_GARBAGE_BYTES);
    this.#count();
    this.#look();
    if (this.#isCancelled) this.#cancel.signal.throwIfAborted();
  }

  #look(): void {
    if (Atomics.load(this.#cells.cancelled, 0) === 0) return;
    this.#isCancelled = true;
    this.#cancel.abort(new BackupError("cancelled", "Cancelled"));
  }

  #count(): void {
    const counters = this.#counters;
    const counts = this.#builder?.counts;
    if (counters === undefined || counts === undefined) return;
    counters[0] = counts.files;
    counters[1] = counts.bytes;
    counters[2] = counts.filesUnmodified;
    counters[3] = counts.bytesUnmodified;
  }

  #now(): ArchiveCounters {
    const { files, bytes, filesUnmodified, bytesUnmodified } = this.#builder!.counts;
    return { files, bytes, filesUnmodified, bytesUnmodified };
  }

  #feed(): PackSink {
    return {
      storePack: ({ id, parts, release }) => {
        const name = `data/${id.slice(0, 2)}/${id}`;
        if (release !== undefined) this.#releases.set(name, release);
        return this.#send(name, parts, "pack");
      },
      storeIndex: (id, bytes) => this.#send(`index/${id}`, [bytes], "index"),
    };
  }

  async #send(
    name: string,
    parts: readonly Uint8Array[],
    kind: FeedRequest["kind"],
  ): Promise<void> {
    const bytes = shared(parts);
    await this.#ask<void>(
      "feed",
      { name, bytes, kind, counters: this.#now() } satisfies FeedRequest,
    );
  }

  /**
   * Now and then what is there so far is made durable, with trees that a later backup can be compared with: it will not read
   * again what is safe. Until the returned function is called.
   */
  #checkpoints(builder: SnapshotBuilder, writer: BlobWriter): () => void {
    let isOver = false;
    let isWorking = false;
    let dueAtMs = this.#clock.monotonicMs() + CHECKPOINT_EVERY_MS;
    const checkpoint = async () => {
      isWorking = true;
      const startedAtMs = this.#clock.monotonicMs();
      try {
        const tree = await builder.checkpoint();
        await writer.checkpoint();
        if (tree !== undefined && !isOver) {
          await this.#ask<void>("checkpoint", { tree } satisfies CheckpointRequest);
        }
      } catch {
        // What has failed is told by the archive itself.
      }
      const nowMs = this.#clock.monotonicMs();
      dueAtMs = nowMs + Math.max(CHECKPOINT_EVERY_MS, CHECKPOINT_SHARE * (nowMs - startedAtMs));
      isWorking = false;
    };
    const stop = this.#clock.every(TICK_MS, () => {
      if (!isWorking && this.#clock.monotonicMs() >= dueAtMs) void checkpoint();
    });
    return () => {
      isOver = true;
      stop();
    };
  }

  /** Packs that a replica has never got and needs for this snapshot, or for those of runs that it missed, and these. */
  async #catchUp(
    replicas: readonly Replica[],
    tree: string,
    reader: BlobReader,
    owed: ArchiveRequest["owed"],
  ): Promise<void> {
    const { index: all, missing, own, snapshots } = this.#lists!;
    for (const { destination, repository } of replicas) {
      const lacks = missing.get(destination);
      // Those that have been forgotten since are nobody's.
      const missed = (owed[destination] ?? []).flatMap((id) => snapshots.get(id) ?? []);
      if (lacks === undefined || (lacks.size === 0 && missed.length === 0)) continue;
      const here = own.get(destination)!;
      const used = await markUsed(all, reader, [tree, ...missed.map((one) => one.tree)], {
        onProblem: throwProblem,
        signal: this.#cancel.signal,
      });
      const { rows, starts } = all.rowsByPack();
      const wanted: IndexedPack[] = [];
      for (const id of lacks) {
        const pack = all.packNumber(id)!;
        const blobs = rows.subarray(starts[pack], starts[pack + 1]);
        const isNeeded = blobs.some((row) =>
          used[row] === 1 && !here.has(all.typeOf(row), all.idOf(row))
        );
        if (isNeeded) wanted.push({ id, blobs: Array.from(blobs, (row) => all.blob(row)) });
      }
      const objects: CatchUpRequest["objects"] = [];
      for (const packs of batches(wanted)) {
        for (const { id, blobs } of packs) {
          const sizeBytes = blobs.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
          objects.push({ name: `data/${id.slice(0, 2)}/${id}`, sizeBytes });
          lacks.delete(id);
        }
        const { id, bytes } = repository.sealFile(encodeIndex(packs));
        objects.push({ name: `index/${id}`, sizeBytes: bytes.length, bytes });
      }
      for (const { id } of missed) objects.push({ name: `snapshots/${id}`, sizeBytes: 0 });
      await this.#ask<void>("catchUp", { destination, objects } satisfies CatchUpRequest);
    }
  }
}

function* batches(packs: readonly IndexedPack[]): Generator<IndexedPack[]> {
  let batch: IndexedPack[] = [];
  let blobs = 0;
  for (const pack of packs) {
    batch.push(pack);
    blobs += pack.blobs.length;
    if (blobs < INDEX_BLOBS_MAX) continue;
    yield batch;
    batch = [];
    blobs = 0;
  }
  if (batch.length > 0) yield batch;
}

/** Packs are in shared memory already. */
function shared(parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts;
  if (parts.length === 1 && first!.buffer instanceof SharedArrayBuffer) return first!;
  const sizeBytes = parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(new SharedArrayBuffer(sizeBytes));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** A dry run. */
const NOWHERE: PackSink = {
  storePack: ({ release }) => Promise.resolve(release?.()),
  storeIndex: () => Promise.resolve(),
};

function pathWithin({ path: source, name }: ArchiveRequest, path: string): string {
  if (path === source) return name;
  const start = source === "/" ? source : `${source}/`;
  return path.startsWith(start) ? `${name}/${path.slice(start.length)}` : path;
}
