/**
 * Restores in two threads of their own, seen from their owner: one reads repositories, one writes the target. Rule: the one that
 * does not go on is named and ends the restore; it ends when it is cancelled, at the latest a little later.
 */
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import type { ProcessFacts } from "../platform/process_identity.ts";
import type { SharedIndex } from "../repository/mod.ts";
import { carryOut, type StoreRequest } from "../strategies/snapshot/mod.ts";
import { Moved, ThreadClient, type ThreadEnd } from "../threads/thread_rpc.ts";
import { ThreadWatch } from "../threads/thread_watch.ts";
import type { RestoreLoaderStart } from "./restore_loader.ts";
import { newRestoreMemory } from "./restore_memory.ts";
import type {
  RestoreDone,
  RestoreEvent,
  RestoreRequest,
  RestoreThreadStart,
} from "./restore_thread.ts";
import type { OpenedRepository } from "./use_repositories.ts";

/** For what is under way when it is cancelled, and for taking back what was begun. */
const GRACE_MS = 5_000;
/** People are told who is waited for, from so long on. */
const WAITING_FROM_MS = 3_000;
const LOOK_EVERY_MS = 1_000;

/** What `spawn` is asked for, once each. */
export const RESTORE_ROLES = ["repositoryLoad", "repositoryRestore"] as const;

export interface RestoreInThreadOptions {
  /** Replicas of each other, in the order in which to ask them. */
  replicas: readonly OpenedRepository[];
  /** Where the target may lie; empty: anywhere. */
  roots: readonly string[];
  /** The same of repositories. */
  repositoryRoots: readonly string[];
  /** As people see it. */
  target: string;
  process: ProcessFacts;
  /** How long one operation at the target, or at a repository, may take. */
  timeoutMs: number;
  clock: Clock;
  spawn(role: typeof RESTORE_ROLES[number]): ThreadEnd;
  listen(event: RestoreEvent): void;
  signal: AbortSignal;
}

/** One restore after the other. @throws {BackupError} `deadline` when target or repository hangs, `cancelled` */
export async function restoreInThread(
  options: RestoreInThreadOptions,
  requests: readonly RestoreRequest[],
): Promise<RestoreDone[]> {
  options.signal.throwIfAborted();
  const threads = new RestoreThreads(options);
  try {
    return await threads.run(requests);
  } finally {
    await threads.close();
  }
}

class RestoreThreads {
  readonly #options: RestoreInThreadOptions;
  readonly #watch: ThreadWatch;
  readonly #memory = newRestoreMemory();
  readonly #loader: ThreadClient;
  #writer: ThreadClient | undefined;
  /** Why there is nothing to go on with. */
  #failure: BackupError | undefined;
  readonly #stopLooking: () => void;
  readonly #end = () => this.#cancel(this.#options.signal.reason);

  constructor(options: RestoreInThreadOptions) {
    this.#options = options;
    const { clock, timeoutMs, signal } = options;
    this.#watch = new ThreadWatch(clock, timeoutMs);
    const start = loaderStart(options, this.#memory);
    this.#loader = new ThreadClient(
      options.spawn("repositoryLoad"),
      start,
      (method, argument) => this.#answerLoader(method, argument),
    );
    // Of several each has a deadline of its own.
    this.#watch.add(this.#loader, start.replicas[0]?.display ?? "");
    this.#stopLooking = clock.every(LOOK_EVERY_MS, () => this.#tellWaiting());
    signal.addEventListener("abort", this.#end, { once: true });
  }

  async run(requests: readonly RestoreRequest[]): Promise<RestoreDone[]> {
    const { roots, process, target, spawn } = this.#options;
    const index = await this.#loader.call<SharedIndex>("open", undefined);
    const loading = this.#loader.call("run", undefined);
    loading.catch((error) => {
      this.#failure ??= asBackupError(error);
      this.#cancel(error);
    });
    const start: RestoreThreadStart = { roots, process, index, memory: this.#memory };
    this.#writer = new ThreadClient(
      spawn("repositoryRestore"),
      start,
      (method, argument) => this.#answerWriter(method, argument),
    );
    this.#watch.add(this.#writer, target);
    const done: RestoreDone[] = [];
    try {
      for (const request of requests) done.push(await this.#writer.call("restore", request));
    } catch (error) {
      throw this.#failure ?? error;
    }
    return done;
  }

  async close(): Promise<void> {
    this.#stopLooking();
    for (const thread of [this.#writer, this.#loader]) {
      if (thread?.isClosed === false) await thread.callLast("close").catch(() => {});
    }
    this.#options.signal.removeEventListener("abort", this.#end);
    this.#watch.close();
    this.#writer?.close();
    this.#loader.close();
  }

  #cancel(reason: unknown): void {
    const threads = [this.#writer, this.#loader];
    for (const thread of threads) thread?.cancel();
    const error = asBackupError(reason ?? new BackupError("cancelled", "Cancelled"));
    void this.#options.clock.sleep(GRACE_MS).then(() => {
      for (const thread of threads) thread?.abandon(error);
    });
  }

  async #answerLoader(method: string, argument: unknown): Promise<unknown> {
    if (method === "tell") return this.#options.listen(argument as RestoreEvent);
    const { destination, call } = argument as StoreRequest;
    const { store } = this.#options.replicas[Number(destination)]!.repository;
    const result = await carryOut(store, call);
    // What came from a store's thread is nobody else's.
    const isOurs = store.folder !== undefined && call.call === "getRange";
    return isOurs ? new Moved(result as Uint8Array) : result;
  }

  async #answerWriter(method: string, argument: unknown): Promise<unknown> {
    if (method === "tell") return this.#options.listen(argument as RestoreEvent);
    return new Moved(await this.#loader.call<Uint8Array>("load", argument));
  }

  #tellWaiting(): void {
    const waits = [this.#loader, this.#writer]
      .map((thread) => thread === undefined ? 0 : this.#watch.stillForMs(thread));
    const [loaderMs = 0, writerMs = 0] = waits;
    const forMs = Math.max(loaderMs, writerMs);
    if (forMs < WAITING_FROM_MS) return;
    const { replicas, target } = this.#options;
    const place = loaderMs > writerMs ? replicas[0]?.repository.store.display ?? "" : target;
    this.#options.listen({ kind: "waiting", place, forMs });
  }
}

function loaderStart(
  { replicas, repositoryRoots }: RestoreInThreadOptions,
  memory: RestoreLoaderStart["memory"],
): RestoreLoaderStart {
  // Where there is no other, it need not be passed over, and its bytes go through one thread only.
  const isAlone = replicas.length === 1;
  return {
    roots: repositoryRoots,
    replicas: replicas.map(({ repository: { store, config, keyId, master } }, at) => ({
      key: String(at),
      display: store.display,
      ...(isAlone && store.folder !== undefined ? { folder: store.folder } : {}),
      config,
      opened: { keyId, master },
    })),
    memory,
  };
}
