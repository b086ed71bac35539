/** `restore` from repositories: a snapshot, or a part of it, back into a folder. Rule: what touches the target is done in a thread. */
import { BackupError } from "../../protocol/base/errors.ts";
import type { CommandCall } from "../../protocol/cli/command.ts";
import {
  isRepositoryAddress,
  parseRepositoryAddresses,
  type RepositoryAddress,
} from "../../protocol/cli/repository_address.ts";
import { typedPath } from "../../protocol/cli/surroundings.ts";
import type { StoredSnapshot } from "../repository/mod.ts";
import type { Overwrite } from "../strategies/snapshot/mod.ts";
import { ReadyThread } from "../threads/ready_thread.ts";
import type { RepositoryWorld } from "./repository_world.ts";
import { RESTORE_ROLES, restoreInThread } from "./restore_in_thread.ts";
import type { RestoreDone } from "./restore_thread.ts";
import { RestoreReport } from "./restore_report.ts";
import { Selection, type SelectionOptions } from "./selection.ts";
import { filterOf, findInReplicas, LATEST, parseSnapshotWord } from "./snapshot_choice.ts";
import { lockOfReader, tellWarning } from "./telling.ts";
import {
  type Opened,
  type OpenedRepository,
  replicasOfFirst,
  useRepositories,
} from "./use_repositories.ts";

const SYNOPSIS = "restore restic:PATH [restic:REPLICA ...] --target DIR [PATH...]";

interface RestoreRequest {
  addresses: RepositoryAddress[];
  /** As typed, and absolute. */
  target: { shown: string; path: string };
  snapshot: { id: string; folder: string };
  selection: SelectionOptions;
  overwrite: Overwrite;
  delete: boolean;
  sparse: boolean;
  verify: boolean;
  dryRun: boolean;
}

export async function runRestore(world: RepositoryWorld, call: CommandCall): Promise<number> {
  const request = requestOf(call);
  // Threads take a while to begin, and so does trying the password, which keeps this one busy.
  const threads: ReadyThreads = new Map(
    RESTORE_ROLES.map((role) => [role, new ReadyThread(world.spawn(role))]),
  );
  try {
    return await restoreBy(threads, world, call, request);
  } finally {
    for (const thread of threads.values()) thread.endUnlessTaken();
  }
}

/** By their roles. */
type ReadyThreads = ReadonlyMap<string, ReadyThread>;

async function restoreBy(
  threads: ReadyThreads,
  world: RepositoryWorld,
  call: CommandCall,
  request: RestoreRequest,
): Promise<number> {
  const options = { ...lockOfReader(call), isTolerant: true };
  return await useRepositories(world, call, request.addresses, options, async (opened) => {
    const report = new RestoreReport(call, request.target.shown, request.dryRun);
    const replicas = replicasOfFirst(opened);
    const tell = (message: string) => tellWarning(call, message);
    for (const warning of opened.warnings) tell(warning);
    const snapshot = await findInReplicas(replicas, request.snapshot.id, filterOf(call), {
      tell,
      failed(error) {
        if (error.code === "usage") throw error;
        if (error.code === "damaged") tell(error.message);
      },
      unread: () => report.unreadSnapshots++,
    });
    report.snapshot = snapshot;
    report.start();
    try {
      const from = { snapshot, replicas, opened };
      report.done = await restore(threads, world, call, request, from, report);
    } finally {
      report.stop();
    }
    if (report.isNothing && !new Selection(request.selection).isWhole) {
      tell("No file in the snapshot matches what was asked for");
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
  const selection: SelectionOptions = {
    paths,
    includes: settings.get("include").value,
    excludes: settings.get("exclude").value,
  };
  const { isWhole } = new Selection(selection);
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
  if (request.delete && target.path === "/" && isWhole) {
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

async function restore(
  threads: ReadyThreads,
  world: RepositoryWorld,
  call: CommandCall,
  request: RestoreRequest,
  { snapshot, replicas, opened }: {
    snapshot: StoredSnapshot;
    replicas: readonly OpenedRepository[];
    opened: Opened;
  },
  report: RestoreReport,
): Promise<RestoreDone> {
  const { clock, settings } = call;
  const { summary } = snapshot;
  const [done] = await restoreInThread({
    replicas,
    roots: [],
    repositoryRoots: [],
    target: request.target.path,
    process: world.lockContext(call).owner.process,
    timeoutMs: settings.get("timeout").value,
    clock,
    spawn: (role) => threads.get(role)!.take(),
    listen: (event) => report.hear(event),
    signal: opened.signal,
  }, [{
    ...request,
    target: request.target.path,
    tree: snapshot.tree,
    folder: request.snapshot.folder,
    ...(summary === undefined ? {} : {
      totals: { files: summary.total_files_processed, bytes: summary.total_bytes_processed },
    }),
    counts: !settings.get("quiet").value,
    progress: report.shared,
  }]);
  return done!;
}
