/** `restore` as a task of the mesh: what the command does, for a coordinator. Rule: it reads and writes only where this worker's roots allow. */
import { isRepositoryAddress } from "../../protocol/cli/repository_address.ts";
import type { TaskProgress } from "../../protocol/mesh/progress.ts";
import type { RestoreResult, RestoreTask } from "../../protocol/mesh/task.ts";
import { restoreFrom } from "../strategies/mirror/restore/restore_run.ts";
import { keySourcesOf } from "./named_keys.ts";
import { restoreRepository, type RestoreRepositoryDeps } from "./restore_repository.ts";
import { refuseOutside, type Roots } from "./roots.ts";

const FAILURES_NAMED_MAX = 1_000;
const OPERATION_TIMEOUT_MS = 60_000;

/** @throws {BackupError} `rejected` for what lies outside the roots; otherwise as `restoreFrom` */
export async function restoreTask(
  task: RestoreTask,
  context: { progress(progress: TaskProgress): void; signal: AbortSignal },
  deps: RestoreRepositoryDeps,
): Promise<RestoreResult> {
  if (task.destinations.some(isRepositoryAddress)) {
    return await restoreRepository(task, context, deps);
  }
  const { runId, destinations, target, paths, overwrite, keys = {} } = task;
  const { progress, signal } = context;
  const { clock, roots, secrets, spawn } = deps;
  let seq = 0;
  const outcome = await restoreFrom({
    sources: destinations,
    target,
    paths,
    overwrite,
    withGone: false,
    dryRun: false,
    keys: keySourcesOf(secrets, keys),
    id: runId,
    roots: rootsOfRestore(roots, destinations, target),
    timeoutMs: OPERATION_TIMEOUT_MS,
    waitMs: 0,
    onProgress: ({ filesDone, filesTotal, bytesDone, bytesTotal }) =>
      progress({
        seq: seq++,
        restore: { filesDone, filesTotal, bytesDone, bytesTotal },
        lanes: [],
      }),
    signal,
    clock,
  }, spawn);
  const { counts, failures, warnings } = outcome;
  return {
    op: "restore",
    files: counts.files,
    bytes: counts.bytes,
    alreadyThere: counts.alreadyThere,
    failures: failures.slice(0, FAILURES_NAMED_MAX),
    failureCount: counts.failed,
    kept: counts.kept,
    warnings,
  };
}

/** What its threads may open: empty where neither side is limited. @throws {BackupError} `rejected` */
function rootsOfRestore(roots: Roots, destinations: readonly string[], target: string): string[] {
  for (const path of destinations) refuseOutside(path, roots.destinations);
  refuseOutside(target, roots.sources);
  if (roots.destinations.length === 0 && roots.sources.length === 0) return [];
  return [
    ...(roots.destinations.length > 0 ? roots.destinations : destinations),
    // The target may have to be made, in the folder above it.
    ...(roots.sources.length > 0 ? roots.sources : [target.replace(/\/+[^/]*$/, "") || "/"]),
  ];
}
