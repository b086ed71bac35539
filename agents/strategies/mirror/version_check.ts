/** Reads earlier versions back and compares them with their lists. Rule: what is listed and is not right is named. */
import { asBackupError } from "../../../protocol/base/errors.ts";
import type { FileFailure } from "../../../protocol/mesh/job.ts";
import { OWN_DIRECTORY, VERSIONS_DIRECTORY } from "../../destinations/layout.ts";
import { ENOENT, ENOTDIR, errnoCode, errnoText, posixError } from "../../platform/errno.ts";
import { cName, type DirectoryHandle, type Posix } from "../../platform/posix.ts";
import { utf8OfLatin1 } from "../../source/entry_table.ts";
import type { ThreadCells } from "../../threads/thread_rpc.ts";
import type { CopyDestination, ListKeys } from "./list_keys.ts";
import type { FileVerifier } from "./file_verifier.ts";
import { LastDirectory } from "./last_directory.ts";
import type { ManifestEntry } from "./manifest_line.ts";
import { isConfined, lastName, parentPath } from "./recorded_state.ts";
import { storedContent, storedPathLatin1 } from "./stored_form.ts";
import type { StoredResult } from "./stored_copy.ts";
import { cNameOfLatin1 } from "./tree_removal.ts";
import {
  linesOf,
  listedFolders,
  openList,
  openVersions,
  versionsDisplay,
} from "./version_lists.ts";

export interface VersionTotals {
  files: number;
  bytes: number;
}

export interface VersionCheck {
  bindingKey: string;
  /** This thread checks every `parts`-th file, beginning with number `part`. */
  part: number;
  parts: number;
  /** Files done and bytes done, added to what is there. */
  progress: SharedArrayBuffer;
}

/** How much `checkVersions` will read. Lists that cannot be read count nothing here and are named there. */
export function countVersions(
  posix: Posix,
  destination: CopyDestination,
  bindingKey: string,
  tick: () => void,
): VersionTotals {
  const totals: VersionTotals = { files: 0, bytes: 0 };
  eachFolder(posix, destination, bindingKey, (versions, folder, display) => {
    try {
      for (const entry of filesOf(posix, versions, folder, display, destination.keys)) {
        tick();
        totals.files++;
        totals.bytes += storedContent(entry).sizeBytes;
      }
    } catch {
      // Named by the check itself.
    }
  });
  return totals;
}

/** @throws {BackupError} when `versions/` itself cannot be listed */
export function checkVersions(
  posix: Posix,
  destination: CopyDestination,
  verifier: FileVerifier,
  cells: ThreadCells,
  check: VersionCheck,
): StoredResult {
  const result: StoredResult = {
    files: 0,
    bytes: 0,
    fromDisk: 0,
    fromCache: 0,
    damaged: [],
    missing: [],
    unreadable: [],
    extra: [],
    recordedOnly: 0,
  };
  const { bindingKey, part, parts } = check;
  const progress = new Float64Array(check.progress);
  const isCancelled = () => Atomics.load(cells.cancelled, 0) !== 0;
  let number = 0;
  eachFolder(posix, destination, bindingKey, (versions, folder, display) => {
    const shown = `${OWN_DIRECTORY}/${VERSIONS_DIRECTORY}/${bindingKey}/${folder}`;
    const root = posix.openDirectory(versions, cName(folder));
    const last = new LastDirectory(posix, root, false);
    try {
      for (const entry of filesOf(posix, versions, folder, display, destination.keys)) {
        if (isCancelled()) return;
        Atomics.add(cells.operations, 0, 1);
        if (number++ % parts !== part) continue;
        checkOne(posix, verifier, root < 0 ? root : last, entry, shown, result);
        progress[0]! += 1;
        progress[1]! += storedContent(entry).sizeBytes;
      }
    } catch (thrown) {
      if (part !== 0) return;
      const { code, message } = asBackupError(thrown);
      const group = code === "damaged" ? result.damaged : result.unreadable;
      group.push({ path: `${shown}.jsonl`, code, message, attempts: 1 });
    } finally {
      last.close();
      if (root >= 0) posix.closeDirectory(root);
    }
  });
  return result;
}

function checkOne(
  posix: Posix,
  verifier: FileVerifier,
  root: LastDirectory | number,
  entry: ManifestEntry,
  shown: string,
  result: StoredResult,
): void {
  const path = storedPathLatin1(entry);
  const display = `${shown}/${utf8OfLatin1(path)}`;
  if (!isConfined(path) || path === "") {
    result.damaged.push(named(display, "damaged", "Its list names it by a path that leads out"));
    return;
  }
  const at = typeof root === "number" ? root : root.open(parentPath(path));
  const fd = at < 0 ? at : posix.openRead(at, cNameOfLatin1(lastName(path)));
  if (fd === -ENOENT || fd === -ENOTDIR) {
    result.missing.push(named(display, "not_found", "Listed as an earlier version, but not there"));
    return;
  }
  if (fd < 0) {
    result.unreadable.push(named(display, errnoCode(-fd), errnoText(-fd)));
    return;
  }
  const { sizeBytes, sha256 = "" } = storedContent(entry);
  const dropped = verifier.dropCache(fd, sizeBytes);
  const verdict = verifier.verify({ fd, sizeBytes, sha256 }, dropped);
  posix.close(fd);
  if (verdict.ok) {
    result.files++;
    result.bytes += sizeBytes;
    if (verdict.fromDisk) result.fromDisk++;
    else result.fromCache++;
  } else if (verdict.kind === "error") {
    result.unreadable.push(named(display, errnoCode(-verdict.result), errnoText(-verdict.result)));
  } else if (verdict.kind !== "cancelled") {
    const what = verdict.kind === "size" ? "size" : "checksum";
    result.damaged.push(named(display, "damaged", `The ${what} is not the recorded one`));
  }
}

/** Entries that are files with a checksum. @throws {BackupError} when the list cannot be read */
function* filesOf(
  posix: Posix,
  versions: DirectoryHandle,
  folder: string,
  display: string,
  keys: ListKeys,
): Generator<ManifestEntry> {
  const list = openList(posix, versions, folder, display, keys);
  if (list === undefined) return;
  for (const { entry } of linesOf(list)) {
    const isFile = entry.type === "file" && entry.sha256 !== undefined;
    if (isFile && entry.recordedOnly !== true) yield entry;
  }
}

function eachFolder(
  posix: Posix,
  destination: CopyDestination,
  bindingKey: string,
  use: (versions: DirectoryHandle, folder: string, display: string) => void,
): void {
  const versions = openVersions(posix, destination, bindingKey, false);
  if (versions === -ENOENT) return;
  const display = versionsDisplay(destination, bindingKey);
  if (versions < 0) throw posixError(versions, "open", display);
  try {
    for (const folder of listedFolders(posix, versions, display)) use(versions, folder, display);
  } finally {
    posix.closeDirectory(versions);
  }
}

function named(path: string, code: string, message: string): FileFailure {
  return { path, code, message, attempts: 1 };
}
