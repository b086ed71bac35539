/**
 * `restore` from repositories as a task of the mesh: what the command does, for a coordinator. Rule: it reads and writes only
 * where this worker's roots allow, and the password is this worker's own, by its name.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { parseRepositoryAddresses } from "../../protocol/cli/repository_address.ts";
import type { SecretSource } from "../../protocol/cli/secret_source.ts";
import type { FileFailure } from "../../protocol/mesh/job.ts";
import type { TaskProgress } from "../../protocol/mesh/progress.ts";
import type { RestoreResult, RestoreTask } from "../../protocol/mesh/task.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import { createKernels } from "../kernels/mod.ts";
import {
  type Credentials,
  type LockContext,
  lockRepository,
  openRepository,
  type RepositoryLock,
  writerOf,
} from "../repository/mod.ts";
import { restoreInThread } from "../snapshots/restore_in_thread.ts";
import {
  RESTORE_PROGRESS_BYTES,
  type RestoreDone,
  type RestoreEvent,
  type RestoreRequest,
} from "../snapshots/restore_thread.ts";
import { findInReplicas, LATEST } from "../snapshots/snapshot_choice.ts";
import { type OpenedRepository, replicasOfFirst } from "../snapshots/use_repositories.ts";
import { lockContextOfThisProcess, openStoreInThread } from "../strategies/snapshot/mod.ts";
import { namedKeysOf } from "./named_keys.ts";
import { refuseOutside, type Roots } from "./roots.ts";

const FAILURES_NAMED_MAX = 1_000;
const WARNINGS_MAX = 100;
const OPERATION_TIMEOUT_MS = 60_000;
const TELL_EVERY_MS = 250;
const NO_FILTER = { hosts: [], tags: [], paths: [] };

export interface RestoreRepositoryDeps {
  clock: Clock;
  hostId: string;
  roots: Roots;
  secrets: ReadonlyMap<string, SecretSource>;
  spawn: (role: string) => Worker;
}

/** @throws {BackupError} `rejected` for what lies outside the roots, `wrong_key`, `not_found`, and as `restoreInThread` */
export async function restoreRepository(
  task: RestoreTask,
  { progress, signal }: { progress(progress: TaskProgress): void; signal: AbortSignal },
  deps: RestoreRepositoryDeps,
): Promise<RestoreResult> {
  const { clock, roots, spawn } = deps;
  const { target } = task;
  refuseOutside(target, roots.sources);
  const heard = new Heard();
  const context = lockContextOfThisProcess(clock, deps.hostId);
  const opened = await openAll(task, deps, context, signal, heard);
  const shared = new SharedArrayBuffer(RESTORE_PROGRESS_BYTES);
  let seq = 0;
  const tell = () => {
    const [filesDone = 0, bytesDone = 0] = new Float64Array(shared);
    const { files, bytes } = heard.totals;
    const restore = { filesDone, filesTotal: files, bytesDone, bytesTotal: bytes };
    progress({ seq: seq++, restore, lanes: [] });
  };
  const stop = clock.every(TELL_EVERY_MS, tell);
  try {
    const done = await restoreInThread({
      replicas: opened.replicas,
      roots: roots.sources,
      repositoryRoots: roots.destinations,
      target,
      process: context.owner.process,
      timeoutMs: OPERATION_TIMEOUT_MS,
      clock,
      spawn,
      listen: (event) => heard.hear(event),
      signal: opened.signal,
    }, await requestsOf(task, opened.replicas, shared, heard));
    tell();
    return resultOf(done, heard);
  } finally {
    stop();
    await opened.close();
  }
}

/** What the thread tells, as far as it is told on. */
class Heard {
  readonly totals = { files: 0, bytes: 0 };
  readonly failures: FileFailure[] = [];
  readonly warnings: string[] = [];
  failureCount = 0;

  hear(event: RestoreEvent): void {
    switch (event.kind) {
      case "totals":
        this.totals.files += event.files;
        this.totals.bytes += event.bytes;
        return;
      case "warning":
        return this.warn(event.message);
      case "failed":
      case "metadata": {
        const { path, error: { code, message } } = event;
        this.fail({ path, code, message, attempts: 1 });
      }
    }
  }

  fail(failure: FileFailure): void {
    this.failureCount++;
    if (this.failures.length < FAILURES_NAMED_MAX) this.failures.push(failure);
  }

  warn(message: string): void {
    if (this.warnings.length < WARNINGS_MAX) this.warnings.push(message);
  }
}

interface Opened {
  replicas: OpenedRepository[];
  /** Aborted with the task, and when a lock is lost. */
  signal: AbortSignal;
  close(): Promise<void>;
}

/** One that opens is enough; the others are told. */
async function openAll(
  { destinations, keys = {} }: RestoreTask,
  { clock, roots, secrets, spawn }: RestoreRepositoryDeps,
  context: LockContext,
  signal: AbortSignal,
  heard: Heard,
): Promise<Opened> {
  const addresses = parseRepositoryAddresses(destinations, "/") ?? [];
  for (const { path } of addresses) refuseOutside(path, roots.destinations);
  const { repository: credentialsOf } = await namedKeysOf(secrets)(keys);
  const kernels = createKernels();
  const stores: ObjectStore[] = [];
  const locks: RepositoryLock[] = [];
  const repositories: OpenedRepository[] = [];
  const close = async () => {
    await Promise.allSettled(locks.map((lock) => lock.release()));
    for (const store of stores) store.close();
  };
  try {
    let failure: unknown;
    for (const address of addresses) {
      try {
        signal.throwIfAborted();
        const { path } = address;
        const store = await openStoreInThread({
          ...{ path, make: false, timeoutMs: OPERATION_TIMEOUT_MS, roots: roots.destinations },
          writer: writerOf(context.owner.process),
          clock,
          spawn,
        });
        stores.push(store);
        const given = requirePassword(credentialsOf(path), address.key);
        const repository = await openRepository(store, kernels, given);
        try {
          locks.push(await lockRepository(repository, context, { signal }));
        } catch (error) {
          // Where nobody can write, nobody removes anything either.
          if (!(error instanceof BackupError) || error.code !== "read_only") throw error;
          heard.warn(`${address.key} is read without a lock, since it cannot be written`);
        }
        repositories.push({ address, repository });
      } catch (error) {
        if (!(error instanceof BackupError) || error.code === "cancelled") throw error;
        failure ??= error;
        heard.warn(`${address.key} is left out: ${error.message}`);
      }
    }
    if (repositories.length === 0) throw failure;
    const all = AbortSignal.any([signal, ...locks.map((lock) => lock.signal)]);
    const warnings: string[] = [];
    const replicas = replicasOfFirst({ repositories, signal: all, warnings });
    for (const warning of warnings) heard.warn(warning);
    return { replicas, signal: all, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** @throws {BackupError} `wrong_key` */
function requirePassword(credentials: Credentials | undefined, address: string): Credentials {
  if (credentials !== undefined) return credentials;
  throw new BackupError("wrong_key", `${address} needs a password`, {
    hint: "Name the secret of this agent that holds it, as repositoryPassword",
  });
}

/** One for each snapshot; without a path the newest of all. Paths begin with a snapshot's id, as they are listed. */
async function requestsOf(
  { target, paths, overwrite }: RestoreTask,
  replicas: readonly OpenedRepository[],
  progress: SharedArrayBuffer,
  heard: Heard,
): Promise<RestoreRequest[]> {
  const pathsById = new Map<string, string[]>();
  for (const path of paths.length === 0 ? [LATEST] : paths) {
    const [id = LATEST, ...rest] = path.split("/").filter(Boolean);
    pathsById.set(id, [...pathsById.get(id) ?? [], rest.join("/")]);
  }
  const requests: RestoreRequest[] = [];
  for (const [id, chosen] of pathsById) {
    const { tree, summary } = await findInReplicas(replicas, id, NO_FILTER, {
      tell: (text) => heard.warn(text),
      unread: (unread) =>
        heard.fail({
          path: `snapshots/${unread}`,
          code: "damaged",
          message: "This snapshot cannot be read, and may be newer than what is restored",
          attempts: 1,
        }),
    });
    requests.push({
      tree,
      folder: "",
      ...(summary === undefined ? {} : {
        totals: { files: summary.total_files_processed, bytes: summary.total_bytes_processed },
      }),
      counts: true,
      target,
      // The snapshot itself is everything in it.
      selection: { paths: chosen.includes("") ? [] : chosen, includes: [], excludes: [] },
      overwrite: overwrite ? "always" : "refuse",
      ...{ delete: false, sparse: false, verify: false, dryRun: false },
      progress,
    });
  }
  return requests;
}

function resultOf(done: readonly RestoreDone[], heard: Heard): RestoreResult {
  const sum = { files: 0, bytes: 0, alreadyThere: 0 };
  for (const { counts } of done) {
    sum.files += counts?.files ?? 0;
    sum.bytes += counts?.bytes ?? 0;
    sum.alreadyThere += counts?.skipped ?? 0;
  }
  const { failures, failureCount, warnings } = heard;
  return { op: "restore", ...sum, failures, failureCount, kept: 0, warnings };
}
