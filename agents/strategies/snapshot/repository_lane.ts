/**
 * One repository as a destination of one run: its thread, seen from the main one. Rule: a thread past its deadline is given up and
 * the destination fails, alone; what stands there stays harmless, since it is named by its content.
 */
import type { Clock } from "../../../protocol/base/clock.ts";
import { asBackupError, BackupError } from "../../../protocol/base/errors.ts";
import type { DestinationSpec } from "../../../protocol/mesh/job.ts";
import type { LaneGauges } from "../../../protocol/mesh/progress.ts";
import type { Credentials } from "../../repository/mod.ts";
import { ThreadClient } from "../../threads/thread_rpc.ts";
import type { ThreadWatch } from "../../threads/thread_watch.ts";
import type { StoreCall } from "./asked_object_store.ts";
import type {
  CheckedObject,
  CreateRequest,
  LendRequest,
  LockRequest,
  NewFiles,
  OpenRepositoryRequest,
  PutRequest,
  ReplaceRequest,
  RepositoryFacts,
  RepositoryInspection,
  RepositoryThreadStart,
} from "./repository_thread.ts";

export interface RepositoryLaneDeps {
  clock: Clock;
  spawn: (role: string) => Worker;
  watch: ThreadWatch;
  /** Where destinations may lie; empty: anywhere. */
  roots: readonly string[];
  hostId: string;
}

/** From here on a lane that does not move says so. */
const STALL_SHOWN_AFTER_MS = 3000;
/** The rate shown is that of about so long. */
const RATE_OVER_MS = 2000;

export class RepositoryLane {
  readonly spec: DestinationSpec;
  readonly #clock: Clock;
  readonly #watch: ThreadWatch;
  readonly #thread: ThreadClient;
  #facts: RepositoryFacts | undefined;
  #fatal: BackupError | undefined;
  readonly #ended = Promise.withResolvers<never>();
  #measured: { atMs: number; bytes: number };
  #bytesPerSecond = 0;
  #paused: PromiseWithResolvers<void> | undefined;

  constructor(deps: RepositoryLaneDeps, spec: DestinationSpec) {
    this.spec = spec;
    this.#clock = deps.clock;
    this.#watch = deps.watch;
    const start: RepositoryThreadStart = {
      path: spec.path,
      roots: deps.roots,
      limitBytesPerSecond: spec.limitBytesPerSecond ?? 0,
      hostId: deps.hostId,
    };
    this.#thread = new ThreadClient(deps.spawn("repository"), start);
    this.#watch.add(this.#thread, spec.key);
    // Not everybody waits for it.
    this.#ended.promise.catch(() => {});
    this.#measured = { atMs: deps.clock.monotonicMs(), bytes: 0 };
  }

  get key(): string {
    return this.spec.key;
  }

  /** Undefined until it is open. */
  get facts(): RepositoryFacts | undefined {
    return this.#facts;
  }

  get error(): BackupError | undefined {
    return this.#fatal;
  }

  /** Rejects when the destination is given up. */
  get ended(): Promise<never> {
    return this.#ended.promise;
  }

  inspect(): Promise<RepositoryInspection> {
    return this.#thread.call("inspect", undefined);
  }

  async open(request: OpenRepositoryRequest): Promise<RepositoryFacts> {
    return this.#facts = await this.#thread.callFlush<RepositoryFacts>("open", request);
  }

  async create(request: CreateRequest): Promise<RepositoryFacts> {
    return this.#facts = await this.#thread.callFlush<RepositoryFacts>("create", request);
  }

  newFiles(credentials: Credentials): Promise<NewFiles> {
    return this.#thread.callFlush("newFiles", { credentials });
  }

  /** None where nothing was begun, or not with this password. */
  begunFiles(credentials: Credentials): Promise<NewFiles> {
    return this.#thread.callFlush("begunFiles", { credentials });
  }

  keyFiles(): Promise<NewFiles> {
    return this.#thread.call("keyFiles", undefined);
  }

  lock(request: LockRequest): Promise<void> {
    return this.#thread.callFlush("lock", request);
  }

  async put(request: PutRequest): Promise<void> {
    await this.#paused?.promise;
    return await this.#use(() => this.#thread.callFlush("put", request));
  }

  async check(name: string): Promise<CheckedObject> {
    await this.#paused?.promise;
    return await this.#use(() => this.#thread.callFlush("check", { name }));
  }

  /** What is not there, or cannot be read, is not whole. */
  isWhole(name: string): Promise<boolean> {
    return this.#use(() => this.#thread.call("isWhole", { name }));
  }

  /** The path still leads to the repository that was opened. @throws {BackupError} `destination_lost` */
  stillThere(): Promise<void> {
    return this.#use(() => this.#thread.call("stillThere", undefined));
  }

  /** Takes packs that are not what their names say out of the lists, with a snapshot that needs them. */
  replace(request: ReplaceRequest): Promise<void> {
    return this.#use(() => this.#thread.callFlush("replace", request));
  }

  /** For another replica; also after this destination has ended. */
  lend(name: string, room: SharedArrayBuffer): Promise<Uint8Array> {
    return this.#thread.callFlush("lend", { name, room } satisfies LendRequest);
  }

  store(call: StoreCall): Promise<unknown> {
    return this.#use(() => this.#thread.call("store", call));
  }

  /** After all tasks: others may work on it again. */
  async finish(): Promise<void> {
    try {
      if (this.#fatal !== undefined) throw this.#fatal;
    } finally {
      if (!this.#thread.isClosed) await this.#thread.callFlush("unlock", undefined);
    }
  }

  fail(error: BackupError): void {
    this.#fatal ??= error;
    this.#ended.reject(this.#fatal);
    this.cancel();
  }

  /** What is being stored is ended, and nothing further is begun until it goes on. */
  pause(isPaused: boolean): void {
    if (isPaused) this.#paused ??= Promise.withResolvers<void>();
    else this.#resume();
  }

  #resume(): void {
    this.#paused?.resolve();
    this.#paused = undefined;
  }

  /** Ends this destination alone, as cancelled, while the run goes on elsewhere. */
  drop(): void {
    this.fail(new BackupError("cancelled", "This destination was cancelled"));
  }

  cancel(): void {
    this.#resume();
    this.#thread.cancel();
  }

  /** Gives lock and thread back. Idempotent; does not wait for a thread that is stuck. */
  async close(): Promise<void> {
    if (!this.#thread.isClosed && this.#watch.stillForMs(this.#thread) < STALL_SHOWN_AFTER_MS) {
      await this.#thread.callFlush("close", undefined).catch(() => {});
    }
    this.#watch.remove(this.#thread);
    this.#thread.close();
  }

  gauges(queueDepth: number): LaneGauges {
    const nowMs = this.#clock.monotonicMs();
    const { atMs, bytes } = this.#measured;
    if (nowMs - atMs >= RATE_OVER_MS) {
      this.#bytesPerSecond = (this.#thread.bytes - bytes) / (nowMs - atMs) * 1000;
      this.#measured = { atMs: nowMs, bytes: this.#thread.bytes };
    }
    const stillMs = this.#watch.stillForMs(this.#thread);
    return {
      workers: this.#thread.isClosed ? 0 : 1,
      workersTarget: 1,
      bytesPerSecond: Math.round(this.#bytesPerSecond),
      queueDepth,
      stalledForMs: stillMs >= STALL_SHOWN_AFTER_MS ? Math.round(stillMs) : 0,
      currentFiles: [],
    };
  }

  async #use<R>(call: () => Promise<R>): Promise<R> {
    if (this.#fatal !== undefined) throw this.#fatal;
    try {
      return await call();
    } catch (thrown) {
      throw this.#fatal ?? asBackupError(thrown);
    }
  }
}
