/**
 * What an interrupted run left in the stage. Rule: a replaced file whose successor was never verified is put back, so the
 * destination is what its manifest says; files that were new are kept and only verified again.
 */
import { Buffer } from "node:buffer";
import { BackupError } from "../../../protocol/base/errors.ts";
import { ENOENT, ENOTDIR, posixError } from "../../platform/errno.ts";
import { cName, type DirectoryHandle, type Posix } from "../../platform/posix.ts";
import { utf8OfLatin1 } from "../../source/entry_table.ts";
import { entryPathLatin1, type ManifestEntry } from "./manifest_line.ts";
import { storedPathLatin1 } from "./stored_form.ts";
import { cNameOfLatin1, type MoveBack, moveFilesBack, removeTree } from "./tree_removal.ts";

export const JOURNAL_FILE = "journal.jsonl";
export const KEPT_DIRECTORY = "kept";
/** Entries of one journal that are used; what lies beyond is copied again. */
const JOURNAL_ENTRIES_MAX = 500_000;
const JOURNAL_READ_BYTES = 1 << 20;

export interface Recovered {
  /** What was published and not verified, by path (one byte a character). */
  journal: Map<string, ManifestEntry>;
}

/**
 * Takes what is still wanted out of the stage of a complete task, before it is removed. False when that could not be done:
 * the stage then stays.
 */
export type SettleStage = (stage: DirectoryHandle) => boolean;

/** Begins the name of a stage whose task is complete: what it kept is older than what stands, and only to be removed. */
export const DONE_PREFIX = "done-";

/**
 * Clears `stage/<bindingKey>/` of earlier attempts. `completedStage` is the stage that the manifest says was completed:
 * what it kept is not needed any more.
 * @throws {BackupError} when something could not be put back or looked at; that stage then stays as it is
 */
export function recover(
  posix: Posix,
  root: DirectoryHandle,
  stages: DirectoryHandle,
  task: { name: string; bindingKey: string; stageName: string },
  completedStage: string | undefined,
  tick: () => void,
  settle?: SettleStage,
): Recovered {
  const found: Recovered = { journal: new Map() };
  const display = `.backup-agent/stage/${task.bindingKey}`;
  const above = posix.openDirectory(stages, cName(task.bindingKey));
  if (above === -ENOENT) return found;
  if (above < 0) throw posixError(above, "open", display);
  try {
    const names = posix.list(above);
    if (typeof names === "number") throw posixError(names, "list", display);
    for (const name of names.sort()) {
      if (name === task.stageName) continue;
      tick();
      if (name === completedStage) removeCompleted(posix, above, name, display, tick, settle);
      else {
        if (!name.startsWith(DONE_PREFIX)) {
          recoverStage(posix, root, above, name, task.name, display, found, tick);
        } else if (!isSettled(posix, above, cNameOfLatin1(name), settle)) continue;
        removeTree(posix, above, cNameOfLatin1(name), tick);
      }
    }
  } finally {
    posix.closeDirectory(above);
  }
  return found;
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

/** The last line may be cut by the crash; it and whatever else does not parse is left out, so that file is copied again. */
function readJournal(
  posix: Posix,
  stage: DirectoryHandle,
  into: Map<string, ManifestEntry>,
  byStored: Map<string, string>,
): void {
  const fd = posix.openRead(stage, cName(JOURNAL_FILE));
  if (fd < 0) return;
  const buffer = Buffer.alloc(JOURNAL_READ_BYTES);
  let carry = Buffer.alloc(0);
  let offset = 0;
  for (;;) {
    const got = posix.readAt(fd, buffer, offset);
    if (got <= 0) break;
    offset += got;
    const chunk = Buffer.concat([carry, buffer.subarray(0, got)]);
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      const text = chunk.toString("utf8", from, end);
      from = end + 1;
      try {
        const entry = JSON.parse(text) as ManifestEntry;
        if (typeof entry.path !== "string" || typeof entry.sha256 !== "string") continue;
        if (into.size >= JOURNAL_ENTRIES_MAX) continue;
        const path = entryPathLatin1(entry);
        into.set(path, entry);
        if (entry.codec !== undefined) byStored.set(storedPathLatin1(entry), path);
      } catch {
        continue;
      }
    }
    carry = Buffer.from(chunk.subarray(from));
  }
  posix.close(fd);
}
