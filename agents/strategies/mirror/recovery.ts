/**
 * What an interrupted run left in the stage. Rule: a replaced file whose successor was never verified is put back, so the
 * destination is what its manifest says; files that were new are kept and only verified again.
 */
import { BackupError } from "../../../protocol/base/errors.ts";
import { ENOENT, ENOTDIR, posixError } from "../../platform/errno.ts";
import { cName, type DirectoryHandle, newStat, type Posix } from "../../platform/posix.ts";
import { utf8OfLatin1 } from "../../source/entry_table.ts";
import { readJournal } from "./journal.ts";
import type { ManifestEntry } from "./manifest_line.ts";
import { storedPathLatin1 } from "./stored_form.ts";
import { isEarlier, isLater } from "./attempt_names.ts";
import { lastName, parentPath } from "./recorded_state.ts";
import {
  cNameOfLatin1,
  type MoveBack,
  moveFilesBack,
  openPath,
  removeTree,
} from "./tree_removal.ts";

export const KEPT_DIRECTORY = "kept";

export interface Recovered {
  /** What was published and not verified, by path (one byte a character). */
  journal: Map<string, ManifestEntry>;
  /** The stage of this attempt has files in `kept/` that an earlier attempt of the same run had replaced. */
  hasTakenOver: boolean;
}

/**
 * Takes what is still wanted out of the stage of a complete task, before it is removed. False when that could not be done:
 * the stage then stays.
 */
export type SettleStage = (stage: DirectoryHandle) => boolean;

export interface Recovery {
  /** Top name of the copy. */
  name: string;
  /** Folder of the stages in `stage/`. */
  stageKey: string;
  /** Of this attempt; it is left alone, and so is what it takes over. Absent: nobody's. */
  stageName?: string;
  /** The stage that the list says was completed: what it kept is not needed any more. */
  completedStage: string | undefined;
  settle?: SettleStage;
  /** Stages that are meant; absent: all. */
  isMeant?(stageName: string): boolean;
  /** Called with all that was found before any stage is removed. */
  keep?(journal: ReadonlyMap<string, ManifestEntry>): void;
  /** Opens this attempt's stage, made when missing. Given: it takes over what earlier attempts of its run have done. */
  ownStage?(): DirectoryHandle;
  tick(): void;
}

/** Begins the name of a stage whose task is complete: what it kept is older than what stands, and only to be removed. */
export const DONE_PREFIX = "done-";

/**
 * Clears `stage/<stageKey>/` of earlier attempts.
 * @throws {BackupError} when something could not be put back or looked at; that stage then stays as it is. `superseded`
 * when a later attempt of the same run has begun: nothing was touched then
 */
export function recover(
  posix: Posix,
  root: DirectoryHandle,
  stages: DirectoryHandle,
  task: Recovery,
): Recovered {
  const found: Recovered = { journal: new Map(), hasTakenOver: false };
  const { stageName, tick } = task;
  const display = `.backup-agent/stage/${task.stageKey}`;
  if (stageName !== undefined) refuseLater(task.completedStage, stageName);
  const above = posix.openDirectory(stages, cName(task.stageKey));
  if (above === -ENOENT) return found;
  if (above < 0) throw posixError(above, "open", display);
  try {
    const names = posix.list(above);
    if (typeof names === "number") throw posixError(names, "list", display);
    const others = names.filter((name) => name !== stageName && task.isMeant?.(name) !== false)
      .sort(byAttempt);
    if (stageName !== undefined) { for (const name of others) refuseLater(name, stageName); }
    const toRemove: string[] = [];
    for (const name of others) {
      tick();
      if (name === task.completedStage) {
        removeCompleted(posix, above, name, display, tick, task.settle);
      } else if (name.startsWith(DONE_PREFIX)) {
        if (isSettled(posix, above, cNameOfLatin1(name), task.settle)) toRemove.push(name);
      } else if (
        stageName !== undefined && task.ownStage !== undefined && isEarlier(name, stageName)
      ) {
        takeOver(posix, above, name, task.ownStage, display, found, tick);
        toRemove.push(name);
      } else {
        recoverStage(posix, root, above, name, task.name, display, found, tick);
        toRemove.push(name);
      }
    }
    if (toRemove.length > 0) task.keep?.(found.journal);
    for (const name of toRemove) removeTree(posix, above, cNameOfLatin1(name), tick);
  } finally {
    posix.closeDirectory(above);
  }
  return found;
}

/** @throws {BackupError} `superseded` */
function refuseLater(found: string | undefined, own: string): void {
  const name = found?.startsWith(DONE_PREFIX) ? found.slice(DONE_PREFIX.length) : found;
  if (name === undefined || !isLater(name, own)) return;
  throw new BackupError("superseded", "A later attempt at the same task has begun");
}

/** Attempts of one run in their order; otherwise any order that is always the same. */
function byAttempt(a: string, b: string): number {
  if (isLater(a, b)) return 1;
  return isLater(b, a) || a < b ? -1 : 1;
}

/**
 * What an earlier attempt of this run has published stays, to be verified; what it had replaced comes to this attempt's own
 * `kept/`. Where two attempts kept something under one name the earlier has the version that was verified.
 * @throws {BackupError} when something could not be moved: then that stage stays
 */
function takeOver(
  posix: Posix,
  above: DirectoryHandle,
  stageName: string,
  ownStage: () => DirectoryHandle,
  display: string,
  found: Recovered,
  tick: () => void,
): void {
  const stage = posix.openDirectory(above, cNameOfLatin1(stageName));
  if (stage === -ENOTDIR) return;
  const where = `${display}/${stageName}`;
  if (stage < 0) throw posixError(stage, "open", where);
  const open: DirectoryHandle[] = [stage];
  try {
    readJournal(posix, stage, found.journal, new Map());
    const kept = posix.openDirectory(stage, cName(KEPT_DIRECTORY));
    if (kept === -ENOENT) return;
    if (kept < 0) throw posixError(kept, "open", `${where}/${KEPT_DIRECTORY}`);
    open.push(kept);
    const own = ownStage();
    if (own < 0) throw posixError(own, "write to", display);
    posix.makeDirectory(own, cName(KEPT_DIRECTORY), 0o700);
    const into = posix.openDirectory(own, cName(KEPT_DIRECTORY));
    if (into < 0) throw posixError(into, "open", display);
    open.push(into);
    found.hasTakenOver = true;
    let failed: BackupError | undefined;
    const isKept = (path: string): boolean => {
      const at = openPath(posix, into, parentPath(path), false);
      if (at < 0) return false;
      const is = posix.statAt(at, cNameOfLatin1(lastName(path)), newStat()) === 0;
      posix.closeDirectory(at);
      return is;
    };
    moveFilesBack(posix, kept, into, "", {
      onMoved: () => {},
      onFailed: (path, result) => {
        failed ??= posixError(result, "keep the earlier version of", utf8OfLatin1(path));
      },
      stays: isKept,
      tick,
    });
    if (failed !== undefined) throw failed;
  } finally {
    for (const handle of open) posix.closeDirectory(handle);
  }
}

/**
 * Of what was taken over, only what adopted files have replaced is still needed; everything else goes back to its place,
 * so that the destination is what the list says of it.
 * @throws {BackupError} when something could not be put back; it is then still in `kept/`
 */
export function putBackUnless(
  posix: Posix,
  root: DirectoryHandle,
  stage: DirectoryHandle,
  name: string,
  isNeeded: (path: string) => boolean,
  tick: () => void,
): void {
  const kept = posix.openDirectory(stage, cName(KEPT_DIRECTORY));
  if (kept === -ENOENT) return;
  if (kept < 0) throw posixError(kept, "open", KEPT_DIRECTORY);
  let failed: BackupError | undefined;
  try {
    putAllBack(posix, root, kept, name, {
      onMoved: () => {},
      onFailed: (path, result) => {
        failed ??= posixError(result, "put back the earlier", `${name}/${utf8OfLatin1(path)}`);
      },
      stays: isNeeded,
      tick,
    });
  } finally {
    posix.closeDirectory(kept);
  }
  if (failed !== undefined) throw failed;
}

/** Adds the journals of all stages there, as they are: those of runs that were cut off before parts were made. */
export function readJournals(
  posix: Posix,
  stages: DirectoryHandle,
  stageKey: string,
  into: Map<string, ManifestEntry>,
): void {
  const above = posix.openDirectory(stages, cName(stageKey));
  if (above < 0) return;
  const names = posix.list(above);
  for (const name of typeof names === "number" ? [] : names.sort()) {
    if (name.startsWith(DONE_PREFIX)) continue;
    const stage = posix.openDirectory(above, cNameOfLatin1(name));
    if (stage < 0) continue;
    const found = new Map<string, ManifestEntry>();
    readJournal(posix, stage, found, new Map());
    for (const [path, entry] of found) if (!into.has(path)) into.set(path, entry);
    posix.closeDirectory(stage);
  }
  posix.closeDirectory(above);
}

/**
 * The run was cut off after its manifest was written. The next manifest will not name this stage any more, so it must not
 * be taken for an interrupted one then: its old files would be put over newer ones.
 */
function removeCompleted(
  posix: Posix,
  above: DirectoryHandle,
  name: string,
  display: string,
  tick: () => void,
  settle?: SettleStage,
): void {
  const from = cNameOfLatin1(name);
  const done = cNameOfLatin1(DONE_PREFIX + name);
  const renamed = posix.rename(above, from, above, done);
  if (!isSettled(posix, above, renamed < 0 ? from : done, settle)) {
    // As a complete one it is nobody's to put back, and may wait there.
    if (renamed >= 0) return;
    throw posixError(renamed, "rename", `${display}/${name}`);
  }
  if (removeTree(posix, above, renamed < 0 ? from : done, tick) > 0 && renamed < 0) {
    const error = posixError(renamed, "rename", `${display}/${name}`);
    throw new BackupError(error.code, `${error.message}, and it cannot be removed`, {
      path: `${display}/${name}`,
      hint: "All it keeps is older than what stands in the copy: remove it, then run again",
      retry: error.retry,
    });
  }
}

function isSettled(
  posix: Posix,
  above: DirectoryHandle,
  name: Uint8Array,
  settle: SettleStage | undefined,
): boolean {
  if (settle === undefined) return true;
  const stage = posix.openDirectory(above, name);
  // What cannot be opened cannot be removed either.
  if (stage < 0) return true;
  try {
    return settle(stage);
  } finally {
    posix.closeDirectory(stage);
  }
}

function recoverStage(
  posix: Posix,
  root: DirectoryHandle,
  above: DirectoryHandle,
  stageName: string,
  name: string,
  display: string,
  found: Recovered,
  tick: () => void,
): void {
  const stage = posix.openDirectory(above, cNameOfLatin1(stageName));
  if (stage === -ENOTDIR) return;
  const byStored = new Map<string, string>();
  let failures = 0;
  let first: BackupError | undefined;
  const onFailed = (path: string, result: number) => {
    failures++;
    first ??= posixError(
      result,
      "put back the earlier",
      path === "" ? name : `${name}/${utf8OfLatin1(path)}`,
    );
  };
  if (stage < 0) onFailed("", stage);
  else {
    readJournal(posix, stage, found.journal, byStored);
    const kept = posix.openDirectory(stage, cName(KEPT_DIRECTORY));
    if (kept >= 0) {
      putAllBack(posix, root, kept, name, {
        onMoved: (path) => forgetStoredAt(found.journal, byStored, path),
        onFailed,
        tick,
      });
      posix.closeDirectory(kept);
    } else if (kept !== -ENOENT) onFailed("", kept);
    posix.closeDirectory(stage);
  }
  if (first === undefined) return;
  const more = failures > 1 ? `, and ${failures - 1} more` : "";
  throw new BackupError(first.code, first.message + more, {
    path: first.path,
    hint: `An interrupted backup kept it in ${display}/${stageName}/${KEPT_DIRECTORY}: ` +
      "run again when the disk and the rights there are in order, or move it to its place yourself",
    retry: first.retry,
  });
}

/** An earlier file was put back under `path`: what the journal says was published there does not stand any more. */
function forgetStoredAt(
  journal: Map<string, ManifestEntry>,
  byStored: ReadonlyMap<string, string>,
  path: string,
): void {
  for (const name of [path, byStored.get(path)]) {
    const entry = name === undefined ? undefined : journal.get(name);
    if (entry !== undefined && storedPathLatin1(entry) === path) journal.delete(name!);
  }
}

function putAllBack(
  posix: Posix,
  root: DirectoryHandle,
  kept: DirectoryHandle,
  name: string,
  report: MoveBack,
): void {
  const names = posix.list(kept);
  if (typeof names === "number") return report.onFailed("", names);
  if (names.length === 0) return;
  let copy = posix.openDirectory(root, cName(name));
  if (copy === -ENOENT) {
    const made = posix.makeDirectory(root, cName(name), 0o700);
    copy = made < 0 ? made : posix.openDirectory(root, cName(name));
  }
  if (copy < 0) return report.onFailed("", copy);
  moveFilesBack(posix, kept, copy, "", report);
  posix.closeDirectory(copy);
}
