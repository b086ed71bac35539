/**
 * Writes the manifest of a finished lane: the old one merged with what this run verified. Rule: a line says what really
 * stands at the destination – what failed keeps its earlier line, what the source lost or a rule now leaves out keeps its
 * line with the date.
 */
import { ENOENT } from "../../platform/errno.ts";
import { KIND_DIRECTORY, KIND_FILE, newStat, type Posix } from "../../platform/posix.ts";
import { FLAG_ABOVE, FLAG_DIVIDED, FLAG_LISTING_FAILED, NONE } from "../../source/entry_table.ts";
import type { CopyDestination } from "./list_keys.ts";
import { NewList } from "./list_writer.ts";
import { OldEntries } from "./diff.ts";
import {
  STATUS_FAILED,
  STATUS_PUBLISHED,
  STATUS_RECORDED,
  STATUS_REVERIFIED,
  STATUS_UNCHANGED,
  STATUS_UNFINISHED,
  STATUS_VERIFIED,
} from "./entry_status.ts";
import { posixError } from "../../platform/errno.ts";
import { FoldedPlaces } from "./folded_places.ts";
import type { LaneTask } from "./lane_task.ts";
import { MANIFEST_FORMAT, MANIFEST_VERSION, type ManifestLine } from "./manifest_file.ts";
import {
  listDisplay,
  manifestName,
  openTaskList,
  partHeaderOf,
  taskListName,
} from "./part_list.ts";
import { type FileVersion, lineOfRow } from "./manifest_line.ts";
import { withXxh64OfFirst, xxh64OfRow } from "./mhl/recorded_xxh64.ts";
import { recordedLine } from "./recorded_only.ts";
import { hasOldForm, isDisplacedByForm } from "./old_forms.ts";
import type { ReplacedLines } from "./replaced_versions.ts";

export interface ManifestUpdate {
  posix: Posix;
  destination: CopyDestination;
  task: LaneTask;
  /** Rows whose copied version is not the table's. */
  versions: ReadonlyMap<number, FileVersion>;
  /** Further names that are files of their own here, read from the source for themselves. */
  ownFiles: ReadonlySet<number>;
  verifiedAtMs: number;
  createdAt: string;
  /** Gets the lines of replaced files, and is flushed before the new manifest stands. */
  replaced?: ReplacedLines | undefined;
  /** Called before anything of the new list can be seen; throws when it is not to be. */
  beforeCommit?(): void;
  tick(): void;
}

export { manifestName };

/** Replaces the manifest of the task's source at its destination, or writes the list of its part. */
export function updateManifest(input: ManifestUpdate): void {
  const { posix, destination, task } = input;
  const { share, table, status } = task;
  const old = openTaskList(posix, destination, share);
  const { manifests: at, keys } = destination;
  const name = taskListName(share);
  const display = listDisplay(destination, name);
  // From a stage that a successor has removed nothing can be renamed.
  const temporaryAt = share.isShared === true ? task.stage() : at;
  if (temporaryAt < 0) throw posixError(temporaryAt, "write", display);
  let list: NewList | undefined;
  try {
    const writer = list = new NewList({ posix, at, temporaryAt, name, display, keys }, {
      format: MANIFEST_FORMAT,
      version: MANIFEST_VERSION,
      name: share.name,
      sourcePath: share.sourcePath,
      runId: share.runId,
      stage: share.stageName,
      createdAt: input.createdAt,
      ...(task.encoded === undefined || task.encoded.recipients.length === 0
        ? {}
        : { recipients: task.encoded.recipients }),
      ...(share.part !== undefined && { part: partHeaderOf(task, share.part) }),
    });
    const unknownBelow = unlistedDirectories(task);
    const hashOfFirst = firstNames(task);
    const places = new FoldedPlaces(task, destination.foldsCase, input.tick);
    const entries = new OldEntries(old?.lines);
    /** A path whose folder gave way to something else, with a slash: what was below it lies in `displaced/` now. */
    let displacedBelow: string | undefined;
    /** A row that is stored beside the folder that had its path: an interrupted run may have moved that away. */
    let besides: number | undefined;
    const onGone = ({ entry, text }: ManifestLine, path: string) => {
      input.tick();
      if (displacedBelow !== undefined && path.startsWith(displacedBelow)) return;
      if (besides !== undefined && path.startsWith(`${task.path(besides)}/`)) {
        if (!folderStands(posix, task, besides)) {
          displacedBelow = `${task.path(besides)}/`;
          return;
        }
        besides = undefined;
      }
      if (isDisplacedByForm(task, entry)) return;
      if (places.isTaken(path)) return;
      const known = entry.goneAtMs === undefined && !isBelow(path, unknownBelow);
      writer.add(known ? `${text.slice(0, -1)},"goneAtMs":${input.verifiedAtMs}}` : text);
    };
    for (let i = 0; i < table.count; i++) {
      if ((i & 255) === 0) input.tick();
      if ((table.columns.flags[i]! & FLAG_ABOVE) !== 0) continue;
      const path = task.path(i);
      const oldLine = entries.find(path, onGone);
      const kind = table.columns.kind[i]!;
      // A folder is not in the way of a file that is stored under another name: it stays, with what it holds.
      const isInTheWay = task.storedPath(i) === path;
      if (kind !== KIND_DIRECTORY && isInPlace(status[i]!)) {
        if (isInTheWay) displacedBelow = `${path}/`;
        else besides = i;
      }
      if (kind === KIND_DIRECTORY) {
        // One that cannot stand here has no line, unless it stood here before. One that other parts lie in too is finished
        // when the lists are put together, by what this line says.
        const isDivided = (table.columns.flags[i]! & FLAG_DIVIDED) !== 0;
        const isMade = status[i] !== STATUS_FAILED &&
          (status[i] !== STATUS_UNFINISHED || oldLine === undefined || isDivided);
        if (isMade) writer.add(lineOfRow(table, i, path, {}));
        else if (oldLine !== undefined) writer.add(oldLine.text);
      } else if (status[i] === STATUS_UNCHANGED && oldLine !== undefined) {
        writer.add(withXxh64OfFirst(task, i, oldLine));
        if (hashOfFirst.has(i)) hashOfFirst.set(i, oldLine.entry.sha256 ?? "");
      } else if (status[i] === STATUS_VERIFIED || status[i] === STATUS_REVERIFIED) {
        if (kind !== KIND_FILE) {
          if (oldLine !== undefined) input.replaced?.add(oldLine, undefined);
          writer.add(lineOfRow(table, i, path, {}));
          continue;
        }
        const first = input.ownFiles.has(i) ? NONE : table.columns.linkTo[i]!;
        const version = input.versions.get(first === NONE ? i : first);
        const sha256 = first === NONE
          ? task.expectedHex(i, status[i] === STATUS_REVERIFIED, version)
          : hashOfFirst.get(first)!;
        if (hashOfFirst.has(i)) hashOfFirst.set(i, sha256);
        if (oldLine !== undefined) input.replaced?.add(oldLine, sha256);
        const { verifiedAtMs } = input;
        const stored = task.encoded?.form(i);
        const xxh64 = xxh64OfRow(task, i, sha256, oldLine);
        // A further name is what its first one was when that was read, however this row was listed before.
        const contentRow = first === NONE ? i : first;
        const content = { sha256, version, verifiedAtMs, xxh64, stored, contentRow };
        writer.add(lineOfRow(table, i, path, content));
      } else if (status[i] === STATUS_RECORDED) {
        if (oldLine !== undefined) input.replaced?.add(oldLine, undefined);
        writer.add(recordedLine(table, i, path));
      } else if (
        oldLine !== undefined &&
        (status[i] !== STATUS_PUBLISHED || hasOldForm(task, i, oldLine.entry))
      ) {
        // It failed or could not be read: the earlier copy stands, and so does its line.
        writer.add(oldLine.text);
      }
    }
    entries.finish(onGone);
    input.replaced?.finish();
    writer.finish();
    input.beforeCommit?.();
  } catch (thrown) {
    list?.abandon();
    input.replaced?.close();
    throw thrown;
  } finally {
    old?.close();
  }
  list.commit();
}

/** Something of this run was put under the name, or the name made free of what stood there. */
function isInPlace(status: number): boolean {
  return status === STATUS_VERIFIED || status === STATUS_REVERIFIED ||
    status === STATUS_PUBLISHED || status === STATUS_RECORDED;
}

/** False only when it is certain that there is no folder under the row's path. */
function folderStands(posix: Posix, task: LaneTask, row: number): boolean {
  const parent = task.parentHandle(row);
  if (parent < 0) return true;
  const stat = newStat();
  const found = posix.statAt(parent, task.table.cName(row), stat);
  return found >= 0 ? stat.kind === KIND_DIRECTORY : found !== -ENOENT;
}

/** The rows that other rows are further names of; their hashes are collected on the way, since they come first. */
function firstNames(task: LaneTask): Map<number, string> {
  const found = new Map<number, string>();
  const { linkTo } = task.table.columns;
  for (let i = 0; i < task.table.count; i++) {
    if (linkTo[i] !== NONE) found.set(linkTo[i]!, "");
  }
  return found;
}

/** Of these not every entry was listed: what is missing below them may well be in the source. */
function unlistedDirectories(task: LaneTask): Set<string> {
  const found = new Set<string>();
  const { flags } = task.table.columns;
  for (let i = 0; i < task.table.count; i++) {
    if ((flags[i]! & FLAG_LISTING_FAILED) !== 0) found.add(task.table.pathLatin1(i));
  }
  return found;
}

function isBelow(path: string, directories: ReadonlySet<string>): boolean {
  if (directories.size === 0) return false;
  if (directories.has("")) return true;
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
    if (directories.has(path.slice(0, end))) return true;
  }
  return false;
}
