/** Restores in a thread of their own, seen from its owner. Rule: it ends when it is cancelled, at the latest a little later. */
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import type { ProcessFacts } from "../platform/process_identity.ts";
import { carryOut, type StoreRequest } from "../strategies/snapshot/mod.ts";
import { Moved, ThreadClient, type ThreadEnd } from "../threads/thread_rpc.ts";
import { ThreadWatch } from "../threads/thread_watch.ts";
import type {
  RestoreDone,
  RestoreEvent,
  RestoreRequest,
  RestoreThreadStart,
} from "./restore_thread.ts";
import type { OpenedRepository } from "./use_repositories.ts";

/** For what is under way when it is cancelled, and for taking back what was begun. */
const GRACE_MS = 5_000;

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
  /** How long one operation at the target may take. */
  timeoutMs: number;
  clock: Clock;
  spawn(role: string): ThreadEnd;
  listen(event: RestoreEvent): void;
  signal: AbortSignal;
}

/** One restore after the other. @throws {BackupError} `deadline` when the target hangs, `cancelled` */
export async function restoreInThread(
  options: RestoreInThreadOptions,
  requests: readonly RestoreRequest[],
): Promise<RestoreDone[]> {
  const { replicas, clock, signal } = options;
  signal.throwIfAborted();
  // Where there is no other, it need not be passed over, and its bytes go through one thread only.
  const isAlone = replicas.length === 1;
  const start: RestoreThreadStart = {
    roots: options.roots,
    repositoryRoots: options.repositoryRoots,
    process: options.process,
    replicas: replicas.map(({ repository: { store, config, keyId, master } }, at) => ({
      key: String(at),
      display: store.display,
      ...(isAlone && store.folder !== undefined ? { folder: store.folder } : {}),
      config,
      opened: { keyId, master },
    })),
  };
  const answer = async (method: string, argument: unknown): Promise<unknown> => {
    if (method === "tell") return options.listen(argument as RestoreEvent);
    const { destination, call } = argument as StoreRequest;
    const { store } = replicas[Number(destination)]!.repository;
    const result = await carryOut(store, call);
    // What came from a store's thread is nobody else's.
    const isOurs = store.folder !== undefined && call.call === "getRange";
    return isOurs ? new Moved(result as Uint8Array) : result;
  };
  const watch = new ThreadWatch(clock, options.timeoutMs);
  const thread = new ThreadClient(options.spawn("repositoryRestore"), start, answer);
  const first = start.replicas[0]?.folder;
  watch.add(thread, first === undefined ? options.target : `${options.target} or ${first}`);
  const end = () => {
    thread.cancel();
    const error = asBackupError(signal.reason ?? new BackupError("cancelled", "Cancelled"));
    void clock.sleep(GRACE_MS).then(() => thread.abandon(error));
  };
  signal.addEventListener("abort", end, { once: true });
  try {
    const done: RestoreDone[] = [];
    for (const request of requests) done.push(await thread.call("restore", request));
    return done;
  } finally {
    if (!thread.isClosed) await thread.callLast("close").catch(() => {});
    signal.removeEventListener("abort", end);
    watch.close();
    thread.close();
  }
}
