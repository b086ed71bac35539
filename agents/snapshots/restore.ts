/** `restore` from repositories: a snapshot, or a part of it, back into a folder. */
import { mkdirSync } from "node:fs";
import { BackupError } from "../../protocol/base/errors.ts";
import type { CommandCall } from "../../protocol/cli/command.ts";
import {
  isRepositoryAddress,
  parseRepositoryAddresses,
  type RepositoryAddress,
} from "../../protocol/cli/repository_address.ts";
import { typedPath } from "../../protocol/cli/surroundings.ts";
import {
  type ByteString,
  type RestoreCounts,
  restoreTree,
  type StoredSnapshot,
  type TargetFolder,
} from "../repository/mod.ts";
import { openRestoreTarget, type Overwrite } from "../strategies/snapshot/mod.ts";
import { type BlobGroup, openBlobGroup } from "./blob_group.ts";
import { type DryCounts, openDryTarget } from "./dry_target.ts";
import { lazyTarget } from "./lazy_target.ts";
import type { RepositoryWorld } from "./repository_world.ts";
import { RestoreReport } from "./restore_report.ts";
import { Selection } from "./selection.ts";
import {
  chooseSnapshot,
  filterOf,
  LATEST,
  parseSnapshotWord,
  treeOfFolder,
} from "./snapshot_choice.ts";
import { lockOfReader, tellWarning } from "./telling.ts";
import {
  type Opened,
  type OpenedRepository,
  replicasOfFirst,
  useRepositories,
} from "./use_repositories.ts";
import { verifyRestored } from "./verify_restored.ts";
import { walkSnapshot } from "./walk_snapshot.ts";

const SYNOPSIS = "restore restic:PATH [restic:REPLICA ...] --target DIR [PATH...]";

/** As often Ctrl-C and the display get their turn while files are read. */
const TURN_MS = 40;

interface RestoreRequest {
  addresses: RepositoryAddress[];
  /** As typed, and absolute. */
  target: { shown: string; path: string };
  snapshot: { id: string; folder: string };
  selection: Selection;
  overwrite: Overwrite;
  delete: boolean;
  sparse: boolean;
  verify: boolean;
  dryRun: boolean;
}

export async function runRestore(world: RepositoryWorld, call: CommandCall): Promise<number> {
  const request = requestOf(call);
  const options = { ...lockOfReader(call), isTolerant: true };
  return await useRepositories(world, call, request.addresses, options, async (opened) => {
    const report = new RestoreReport(call, request.target.shown, request.dryRun);
    try {
      const { snapshot, group } = await openSource(call, request, opened);
      const tree = await treeOfFolder(group.reader, snapshot.tree, request.snapshot.folder);
      report.snapshot = snapshot;
      await countWork(call, request, group, { tree, snapshot }, report, opened.signal);
      report.start();
      if (request.dryRun) {
        report.dry = await rehearse(world, request, group, tree, report, opened.signal);
      } else {
        report.counts = await restoreInto(world, request, group, tree, report, opened.signal);
        if (request.verify) {
          report.verified = await verify(world, call, request, group, tree, report, opened.signal);
        }
      }
    } finally {
      report.stop();
    }
    return report.end();
  });
}

function requestOf(call: CommandCall): RestoreRequest {
  const { settings, surroundings, positionals } = call;
  const named = positionals.filter(isRepositoryAddress);
  const addresses = parseRepositoryAddresses(
    [...settings.get("from").value, ...named],
    surroundings.folder,
  )!;
  const typed = typedTarget(call);
  if (typed === undefined) {
    throw new BackupError("usage", "No folder is given to restore into", { hint: SYNOPSIS });
  }
  const target = {
    shown: typed.replace(/(?<=.)\/+$/, ""),
    path: typedPath(typed, surroundings.folder),
  };
  const paths = positionals.filter((word) => !isRepositoryAddress(word));
  const selection = new Selection({
    paths,
    includes: settings.get("include").value,
    excludes: settings.get("exclude").value,
  });
  const request: RestoreRequest = {
    addresses,
    target,
    snapshot: parseSnapshotWord(settings.get("snapshot").value ?? LATEST),
    selection,
    overwrite: settings.get("overwrite").value ?? "refuse",
    delete: settings.get("delete").value,
    sparse: settings.get("sparse").value,
    verify: settings.get("verify").source === "flag",
    dryRun: settings.get("dryRun").value,
  };
  if (request.delete && target.path === "/" && selection.isWhole) {
    throw new BackupError("usage", "--delete in / would delete the system", {
      hint: "Name what to restore, or another folder",
    });
  }
  return request;
}

/** `--to` means the same here, when it was typed here. */
function typedTarget(call: CommandCall): string | undefined {
  const given = [call.settings.get("target").value, ...call.settings.get("to").value]
    .filter((text) => text !== undefined);
  if (given.length > 1) {
    throw new BackupError("usage", "More than one folder is given to restore into");
  }
  return given[0];
}

/** The snapshot, and the blobs of all replicas that may have them. */
async function openSource(
  call: CommandCall,
  request: RestoreRequest,
  opened: Opened,
): Promise<{ snapshot: StoredSnapshot; group: BlobGroup }> {
  const replicas = replicasOfFirst(opened);
  for (const warning of opened.warnings) tellWarning(call, warning);
  const tell = (message: string) => tellWarning(call, message);
  const snapshot = await findSnapshot(call, request.snapshot.id, replicas, tell);
  return { snapshot, group: await openBlobGroup(replicas, call.clock, tell) };
}

/** A replica that came late may lack it: the newest of all is the latest. */
async function findSnapshot(
  call: CommandCall,
  id: string,
  replicas: readonly OpenedRepository[],
  tell: (message: string) => void,
): Promise<StoredSnapshot> {
  let failure: unknown;
  const found: StoredSnapshot[] = [];
  for (const { repository } of replicas) {
    try {
      found.push(
        await chooseSnapshot(repository, id, filterOf(call), (error) => tell(error.message)),
      );
    } catch (error) {
      if (!(error instanceof BackupError) || error.code === "usage") throw error;
      failure ??= error;
      if (error.code === "damaged") tell(error.message);
    }
  }
  if (found.length === 0) throw failure;
  return found.reduce((best, one) => Date.parse(one.time) > Date.parse(best.time) ? one : best);
}

/** Totals for the display: from the snapshot's own summary where everything is wanted, else by a walk over its trees. */
async function countWork(
  call: CommandCall,
  { selection, snapshot: { folder } }: RestoreRequest,
  { reader }: BlobGroup,
  { tree, snapshot }: { tree: string; snapshot: StoredSnapshot },
  report: RestoreReport,
  signal: AbortSignal,
): Promise<void> {
  if (call.settings.get("quiet").value) return;
  const { summary } = snapshot;
  if (summary !== undefined && selection.isWhole && folder === "") {
    report.setTotals(summary.total_files_processed, summary.total_bytes_processed);
    return;
  }
  let [files, bytes] = [0, 0];
  const walk = walkSnapshot(reader, tree, {
    enters: (path) => selection.looksAt(path, true),
    // The restore itself will tell.
    onFailure() {},
    skipsBadNames: true,
    signal,
  });
  for await (const { path, node } of walk) {
    if (node.type !== "file" || !selection.asksFor(path, false)) continue;
    files++;
    bytes += node.sizeBytes ?? 0;
  }
  report.setTotals(files, bytes);
}

/** What is asked for at a path, for walks and for what may be deleted. */
function selectOf(selection: Selection, report: RestoreReport) {
  return (path: ByteString, type: string): boolean => {
    const isWanted = selection.looksAt(path, type === "dir");
    if (isWanted && type === "file") report.begin(path);
    return isWanted;
  };
}

async function rehearse(
  world: RepositoryWorld,
  request: RestoreRequest,
  { reader }: BlobGroup,
  tree: string,
  report: RestoreReport,
  signal: AbortSignal,
): Promise<DryCounts> {
  const { selection, overwrite } = request;
  const { target, counts } = openDryTarget(request.target.path, {
    posix: world.posix,
    overwrite,
    delete: request.delete,
    isAsked: (path, isFolder) => selection.asksFor(path, isFolder),
    onAction: (action, path) => report.rehearsed(action, path),
  });
  try {
    await restoreTree(reader, tree, target, {
      select: selectOf(selection, report),
      onFailure: (path, error) => report.failed(path, error),
      signal,
    });
  } finally {
    target.close();
  }
  return counts;
}

async function restoreInto(
  world: RepositoryWorld,
  request: RestoreRequest,
  { reader }: BlobGroup,
  tree: string,
  report: RestoreReport,
  signal: AbortSignal,
): Promise<RestoreCounts> {
  const { selection, target: { path }, overwrite, sparse } = request;
  makeTarget(path);
  const real = openRestoreTarget(path, {
    posix: world.posix,
    overwrite,
    sparse,
    delete: request.delete,
    isAsked: (place, isFolder) => selection.asksFor(place, isFolder),
    onDelete: () => report.deleted++,
    onProblem: (place, error) => report.metadataFailed(place, error),
  });
  try {
    const target: TargetFolder<readonly string[]> = selection.isSparse
      ? lazyTarget(real, (place) => selection.asksFor(place, true))
      : real;
    return await restoreTree(reader, tree, target, {
      select: selectOf(selection, report),
      onFailure: (place, error) => report.failed(place, error),
      onFile: (_, sizeBytes) => report.wrote(sizeBytes),
      signal,
    });
  } finally {
    real.close();
  }
}

async function verify(
  world: RepositoryWorld,
  { clock }: CommandCall,
  request: RestoreRequest,
  { reader }: BlobGroup,
  tree: string,
  report: RestoreReport,
  signal: AbortSignal,
): Promise<number> {
  let turnEndsAtMs = clock.monotonicMs() + TURN_MS;
  report.startVerify();
  return await verifyRestored({
    posix: world.posix,
    reader,
    tree,
    target: request.target.path,
    selection: request.selection,
    overwrite: request.overwrite,
    onFailure: (path, error) => report.failed(path, error),
    async turn() {
      if (clock.monotonicMs() < turnEndsAtMs) return;
      await clock.sleep(0);
      turnEndsAtMs = clock.monotonicMs() + TURN_MS;
    },
    signal,
  });
}

function makeTarget(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const why = code === "EEXIST" || code === "ENOTDIR" ? "a file is in the way" : message;
    throw new BackupError("not_a_directory", `Cannot make the folder ${path}: ${why}`, {
      path,
      cause,
    });
  }
}
