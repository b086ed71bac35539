/**
 * The last step of a lane, decided on the main thread: what goes from the copy, and which earlier versions. Rule: nothing is
 * deleted unless all of the source was read, all of it is verified here, and the source was asked once more about each entry.
 */
import { asBackupError, BackupError } from "../../../protocol/base/errors.ts";
import type { MirrorOptions } from "../../../protocol/mesh/job.ts";
import type { LaneHistory, LaneReport } from "../../../protocol/mesh/task.ts";
import { KIND_DIRECTORY } from "../../platform/posix.ts";
import { type EntryTable, FLAG_LISTING_FAILED, utf8OfLatin1 } from "../../source/entry_table.ts";
import type { EntryMarks } from "../../source/moved_in_source.ts";
import type { ThreadClient } from "../../threads/thread_rpc.ts";
import { type Deleted, type Gone, GONE_FILE, GONE_FOLDER } from "./deletion.ts";
import { deletionGuard } from "./deletion_guard.ts";
import type { DeleteRequest } from "./lane_history.ts";
import { parentPath } from "./recorded_state.ts";
import type { Pruned } from "./version_pruning.ts";

/** The source, asked about what the walk did not list. */
export interface GoneSource {
  /** How much of it the scan could not read. */
  unreadable: number;
  /** 1 for each path that it does not have and no rule leaves out; see `goneInSource`. */
  judge(paths: string[], folders: Uint8Array): Promise<Uint8Array>;
  /**
   * What is there now and was not listed so; see `movedInSource`.
   * @throws {BackupError} when part of the source cannot be looked at again
   */
  moved(): Promise<EntryMarks[]>;
}

export interface LastStep {
  task: string;
  /** The copy's top name. */
  name: string;
  control: ThreadClient;
  table: EntryTable;
  options: MirrorOptions;
  source: GoneSource | undefined;
  signal: AbortSignal;
  /** How many files were recorded before; see `deletion_measure.ts`. */
  filesBefore: number;
  warn(warnings: string[]): void;
}

export interface Doomed {
  /** In walk order, one byte a character. */
  paths: string[];
  files: number;
  /** 1 for each of `paths` that is a file. */
  isFile: Uint8Array;
  /** Found gone, and more than one run removes. */
  unnamed: number;
}

const JUDGED_AT_ONCE = 4096;
const NAMES_PLANNED_MAX = 20;

export function wantsHistory({ deleteGone, keepVersions }: MirrorOptions): boolean {
  return deleteGone === true || (keepVersions ?? 0) > 0;
}

export const NO_HISTORY: LaneHistory = {
  entriesDeleted: 0,
  foldersDeleted: 0,
  versionsKept: 0,
  versionsRemoved: 0,
};

/**
 * Why nothing may be deleted after a run that went so; undefined when it may. A file that moved within the source and could
 * not be read under its new name must not lose its old copy.
 */
export function unfinishedReason(
  { source, table }: Pick<LastStep, "source" | "table">,
  failures: { here: number; inSource: number },
): string | undefined {
  if (source === undefined) return "the source was not asked";
  const isListed = everythingListed(table);
  if (source.unreadable > 0 || failures.inSource > 0 || !isListed) {
    return "not all of the source could be read";
  }
  return failures.here > 0 ? "not everything is verified here" : undefined;
}

/** Entries of the copy that the source does not have: neither where they were nor, moved, where nobody had looked yet. */
export async function findDoomed(step: LastStep): Promise<Doomed> {
  const { task, control, source, signal } = step;
  const gone = await control.call<Gone>("listGone", task);
  const { paths, kinds, unnamed } = gone;
  const isDoomed = new Uint8Array(paths.length);
  for (let at = 0; at < paths.length; at += JUDGED_AT_ONCE) {
    signal.throwIfAborted();
    const some = paths.slice(at, at + JUDGED_AT_ONCE);
    const folders = kinds.slice(at, at + JUDGED_AT_ONCE)
      .map((kind) => kind === GONE_FOLDER ? 1 : 0);
    isDoomed.set(await source!.judge(some, folders), at);
  }
  // After the judgement: whatever moved before it is found now.
  if (isDoomed.includes(1)) await spareMoved(step, paths, isDoomed);
  // A folder stays with what stays in it.
  const holding = new Set<string>();
  paths.forEach((path, k) => {
    if (isDoomed[k] === 1) return;
    for (let above = parentPath(path); !holding.has(above); above = parentPath(above)) {
      holding.add(above);
    }
  });
  const doomed: Doomed = { paths: [], files: 0, isFile: new Uint8Array(paths.length), unnamed };
  paths.forEach((path, k) => {
    if (isDoomed[k] !== 1 || (kinds[k] === GONE_FOLDER && holding.has(path))) return;
    doomed.paths.push(path);
    if (kinds[k] !== GONE_FILE) return;
    doomed.files++;
    doomed.isFile[doomed.paths.length - 1] = 1;
  });
  return doomed;
}

/** Takes the doom from what lies elsewhere in the source now; from all of it when that cannot be told. */
async function spareMoved(
  { task, name, control, source, warn }: LastStep,
  paths: readonly string[],
  isDoomed: Uint8Array,
): Promise<void> {
  let marks: EntryMarks[];
  try {
    marks = await source!.moved();
  } catch (thrown) {
    const { code, message } = asBackupError(thrown);
    if (code === "internal" || code === "cancelled") throw thrown;
    isDoomed.fill(0);
    return warn([`Nothing was deleted from ${name}: ${message}`]);
  }
  if (marks.length === 0) return;
  const moved = new Set(await control.call<string[]>("movedLines", { task, marks }));
  let spared = 0;
  paths.forEach((path, k) => {
    if (isDoomed[k] === 0 || !moved.has(path)) return;
    isDoomed[k] = 0;
    spared++;
  });
  if (spared === 0) return;
  warn([
    `${spared === 1 ? "One entry" : `${spared} entries`} of ${name} moved while the source was ` +
    "listed: the next run copies what is new and removes what is old",
  ]);
}

/** Why `--delete` needs `--delete-anyway`; undefined when it does not. */
export function guardReason(step: LastStep, doomed: Doomed): string | undefined {
  if (step.options.deleteAnyway === true) return undefined;
  const { kind } = step.table.columns;
  let inSource = 0;
  for (let i = 0; i < step.table.count; i++) if (kind[i] !== KIND_DIRECTORY) inSource++;
  const emptied = mostEmptied(step.table, doomed);
  return deletionGuard({
    filesGone: doomed.files + doomed.unnamed,
    filesBefore: step.filesBefore,
    inSource,
    ...(emptied && {
      emptied: { ...emptied, folder: `${step.name}/${utf8OfLatin1(emptied.folder)}` },
    }),
  });
}

/** The folder of the source with nothing in it that would lose most files here; undefined when none would lose any. */
function mostEmptied(
  table: EntryTable,
  { paths, isFile }: Doomed,
): { folder: string; filesGone: number } | undefined {
  const { kind, parent } = table.columns;
  const holdsSomething = new Uint8Array(table.count);
  for (let i = 1; i < table.count; i++) holdsSomething[parent[i]!] = 1;
  const lost = new Map<string, number>();
  for (let i = 1; i < table.count; i++) {
    if (kind[i] === KIND_DIRECTORY && holdsSomething[i] === 0) lost.set(table.pathLatin1(i), 0);
  }
  let most: { folder: string; filesGone: number } | undefined;
  paths.forEach((path, k) => {
    if (isFile[k] === 0) return;
    for (let folder = parentPath(path); folder !== ""; folder = parentPath(folder)) {
      const before = lost.get(folder);
      if (before === undefined) continue;
      lost.set(folder, before + 1);
      if (most === undefined || before + 1 > most.filesGone) {
        most = { folder, filesGone: before + 1 };
      }
    }
  });
  return most;
}

/**
 * Deletes what is gone. Cancelled in between, what was done until then is in the manifest.
 * @throws {BackupError} `rejected` when the guard says no: nothing was deleted then
 */
export async function deleteDoomed(
  step: LastStep,
  request: Pick<DeleteRequest, "versionsAt" | "createdAt">,
  history: LaneHistory,
): Promise<void> {
  const doomed = await findDoomed(step);
  if (doomed.paths.length === 0) return await settleMeasure(step);
  const guard = guardReason(step, doomed);
  if (guard !== undefined) {
    history.refused = guard;
    throw new BackupError(
      "rejected",
      `${step.name} is copied and verified, but nothing was deleted: ${guard}`,
      { path: step.name, hint: "If that is right, run it again with --delete-anyway" },
    );
  }
  step.signal.throwIfAborted();
  const deleted = await step.control.callFlush<Deleted>("deleteGone", {
    task: step.task,
    paths: doomed.paths,
    keepsVersions: (step.options.keepVersions ?? 0) > 0,
    ...request,
  });
  step.warn(deleted.warnings);
  if (doomed.unnamed > 0) {
    step.warn([
      `${doomed.unnamed} more entries are gone from ${step.name}: the next run removes them`,
    ]);
  }
  history.entriesDeleted += deleted.entries;
  history.foldersDeleted += deleted.folders;
  history.versionsKept += deleted.versions;
  if (!step.signal.aborted) await settleMeasure(step);
}

async function settleMeasure(step: LastStep): Promise<void> {
  await step.control.call("forgetMeasure", step.task);
}

/** Removes versions beyond `--keep-versions`. */
export async function pruneOld(step: LastStep, history: LaneHistory): Promise<void> {
  const keepVersions = step.options.keepVersions ?? 0;
  if (keepVersions === 0) return;
  const pruned = await step.control.callFlush<Pruned>("pruneVersions", {
    task: step.task,
    keepVersions,
  });
  step.warn(pruned.warnings);
  history.versionsRemoved += pruned.removed;
}

/** What `--delete` would do, for a dry run. */
export async function planDeletion(
  step: LastStep,
): Promise<
  Pick<NonNullable<LaneReport["plan"]>, "filesToDelete" | "entriesToDelete" | "deletionNames">
> {
  const reason = unfinishedReason(step, { here: 0, inSource: 0 });
  if (reason !== undefined) {
    step.warn([`Nothing would be deleted: ${reason}`]);
    return { filesToDelete: 0, entriesToDelete: 0, deletionNames: [] };
  }
  const doomed = await findDoomed(step);
  const guard = guardReason(step, doomed);
  if (guard !== undefined) {
    step.warn([`Nothing would be deleted without --delete-anyway: ${guard}`]);
  }
  return {
    filesToDelete: doomed.files,
    entriesToDelete: doomed.paths.length,
    deletionNames: doomed.paths.slice(0, NAMES_PLANNED_MAX)
      .map((path) => `${step.name}/${utf8OfLatin1(path)}`),
  };
}

function everythingListed(table: EntryTable): boolean {
  const { flags } = table.columns;
  for (let i = 0; i < table.count; i++) {
    if ((flags[i]! & FLAG_LISTING_FAILED) !== 0) return false;
  }
  return true;
}
