/**
 * Copies under names that their entries had with another codec. Rule: the earlier form of a file leaves its name only
 * after the new one was read back, by way of the stage, so that a crash before the new manifest brings it back; what is
 * not exactly what was recorded is left alone.
 */
import { Buffer } from "node:buffer";
import { errnoText, posixError } from "../../platform/errno.ts";
import {
  type DirectoryHandle,
  KIND_BLOCK_DEVICE,
  KIND_CHARACTER_DEVICE,
  KIND_DIRECTORY,
  KIND_FIFO,
  KIND_FILE,
  KIND_SYMLINK,
  newStat,
  type Posix,
} from "../../platform/posix.ts";
import { utf8OfLatin1 } from "../../source/entry_table.ts";
import { OldEntries } from "./diff.ts";
import { nameOfStored } from "./codec/stored_name.ts";
import {
  STATUS_FAILED,
  STATUS_PUBLISHED,
  STATUS_REVERIFIED,
  STATUS_UNFINISHED,
  STATUS_VERIFIED,
} from "./entry_status.ts";
import type { ItemProblem } from "./item_problem.ts";
import type { KeptFiles } from "./kept_files.ts";
import type { LaneTask } from "./lane_task.ts";
import type { ManifestLine } from "./manifest_file.ts";
import type { ManifestEntry } from "./manifest_line.ts";
import { nameOf, storedContent, storedPathLatin1 } from "./stored_form.ts";

const KINDS: Readonly<Record<string, number>> = {
  symlink: KIND_SYMLINK,
  fifo: KIND_FIFO,
  character: KIND_CHARACTER_DEVICE,
  block: KIND_BLOCK_DEVICE,
};
/** Times that a file system keeps only so exactly are equal. */
const TIME_TOLERANCE_MS = 2000;

/** The copy that `entry` records of row `i` lies under another name than the row's copy gets now. */
export function hasOldForm(task: LaneTask, i: number, entry: ManifestEntry): boolean {
  return entry.type !== "directory" && storedPathLatin1(entry) !== task.storedPath(i);
}

/** `entry` records a folder, and row `i` is a file that is stored beside it under another name. */
export function isBareFolder(task: LaneTask, i: number, entry: ManifestEntry): boolean {
  return entry.type === "directory" && task.table.columns.kind[i] !== KIND_DIRECTORY &&
    task.storedPath(i) !== task.path(i);
}

/**
 * Something of this run was put where the copy of `entry`, or a folder above it, lay: what was there is in `displaced/`
 * now. Only where a codec is or was: a file under its own name is the caller's to know.
 */
export function isDisplacedByForm(task: LaneTask, entry: ManifestEntry): boolean {
  const { encoded } = task;
  const path = storedPathLatin1(entry);
  if (encoded === undefined) return entry.codec !== undefined && isTaken(task, path);
  for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) {
    const above = path.slice(0, end);
    if (nameOfStored(nameOf(above), encoded.codec) !== undefined && isTaken(task, above)) {
      return true;
    }
  }
  return false;
}

function isTaken(task: LaneTask, path: string): boolean {
  const owner = task.rowStoredAt(path);
  if (owner === undefined || task.table.columns.kind[owner] !== KIND_FILE) return false;
  const status = task.status[owner];
  return status === STATUS_VERIFIED || status === STATUS_REVERIFIED || status === STATUS_PUBLISHED;
}

/**
 * Before folders get their final times. Where the earlier form cannot go, the new one goes again and the file fails by
 * name: two forms of one file would be one that nobody knows of.
 * @throws {BackupError} when neither can go: then the manifest must stay as it is
 */
export function retireOldForms(
  posix: Posix,
  kept: KeptFiles,
  task: LaneTask,
  oldLines: Iterator<ManifestLine>,
  tick: () => void,
): { problems: ItemProblem[]; warnings: string[] } {
  const done = { problems: [] as ItemProblem[], warnings: [] as string[] };
  const entries = new OldEntries(oldLines);
  const { table, status } = task;
  for (let i = 1; i < table.count; i++) {
    if ((i & 255) === 0) tick();
    const line = entries.find(task.path(i), () => {});
    if (line === undefined) continue;
    const isNew = status[i] === STATUS_VERIFIED || status[i] === STATUS_REVERIFIED;
    if (isBareFolder(task, i, line.entry)) {
      if (!isNew) continue;
      tick();
      // An empty one is of no use to anybody. What it holds has lines, or is somebody else's: then it stays.
      const above = task.parentHandle(i);
      if (above >= 0 && posix.removeDirectory(above, task.table.cName(i)) >= 0) {
        status[table.columns.parent[i]!] = STATUS_UNFINISHED;
      }
      continue;
    }
    const isFile = table.columns.kind[i] === KIND_FILE;
    if (isFile ? !isNew : status[i] === STATUS_FAILED) continue;
    const { entry } = line;
    if (!hasOldForm(task, i, entry)) continue;
    if (task.rowStoredAt(storedPathLatin1(entry)) !== undefined) continue;
    if (!standsAs(posix, task, i, entry)) continue;
    tick();
    const name = storedCName(entry);
    // As when a file takes a link's own name: nothing of a link is kept.
    const toPeople = table.columns.kind[i] === KIND_DIRECTORY;
    const result = entry.type === "file"
      ? kept.retireForm(task, i, name, toPeople, done.warnings)
      : posix.unlink(task.parentHandle(i), name);
    if (result < 0) done.problems.push(goBack(posix, task, i, entry, result));
  }
  return done;
}

/** Takes the new form away, so that the earlier one is the only one and its line stays. */
function goBack(
  posix: Posix,
  task: LaneTask,
  i: number,
  entry: ManifestEntry,
  result: number,
): ItemProblem {
  const { kind, linkTo } = task.table.columns;
  const what = `${task.share.name}/${utf8OfLatin1(storedPathLatin1(entry))}`;
  const error = posixError(result, "replace the earlier form", what);
  // Its further names have their records from it.
  const canGo = kind[i] === KIND_FILE && !linkTo.includes(i);
  const gone = canGo ? posix.unlink(task.parentHandle(i), task.storedName(i)) : result;
  if (gone < 0) throw error;
  task.status[i] = STATUS_FAILED;
  const message = `Cannot replace the earlier form ${what}: ${errnoText(-result)}`;
  return { row: i, code: error.code, message, retry: error.retry };
}

/** Removes what an interrupted run published under a name that nothing has now, when it is exactly that. */
export function removeStrays(
  posix: Posix,
  task: LaneTask,
  strays: readonly { row: number; entry: ManifestEntry }[],
  tick: () => void,
): void {
  for (const { row, entry } of strays) {
    tick();
    if (task.rowStoredAt(storedPathLatin1(entry)) !== undefined) continue;
    if (standsAs(posix, task, row, entry)) {
      posix.unlink(task.parentHandle(row), storedCName(entry));
    }
  }
}

function standsAs(posix: Posix, task: LaneTask, row: number, entry: ManifestEntry): boolean {
  const stat = newStat();
  const parent = task.parentHandle(row);
  if (parent < 0 || posix.statAt(parent, storedCName(entry), stat) < 0) return false;
  const foundMs = stat.mtimeSec * 1000 + stat.mtimeNsec / 1e6;
  const apartMs = Math.abs(foundMs - Number(entry.mtimeNs) / 1e6);
  if (entry.type !== "file") return isOther(posix, parent, stat.kind, entry);
  return stat.kind === KIND_FILE && stat.sizeBytes === storedContent(entry).sizeBytes &&
    apartMs <= TIME_TOLERANCE_MS;
}

/** A link that points where it should, or a node of that kind: none of them has content. */
function isOther(
  posix: Posix,
  parent: DirectoryHandle,
  kind: number,
  entry: ManifestEntry,
): boolean {
  if (kind !== KINDS[entry.type]) return false;
  if (kind !== KIND_SYMLINK) return true;
  const target = posix.readLink(parent, storedCName(entry));
  if (typeof target === "number") return false;
  const bytes = Buffer.from(target);
  return entry.targetBase64 === undefined
    ? bytes.toString("utf8") === entry.target
    : bytes.toString("base64") === entry.targetBase64;
}

function storedCName(entry: ManifestEntry): Uint8Array {
  return Buffer.from(`${nameOf(storedPathLatin1(entry))}\0`, "latin1");
}
