/**
 * Removes earlier versions beyond the number that is kept of a path. Rule: newest first they are counted, and what is
 * removed is removed before its line, so that no file is left that nothing lists.
 */
import { asBackupError } from "../../../protocol/base/errors.ts";
import { EISDIR, ENOENT, ENOTDIR, errnoText } from "../../platform/errno.ts";
import { cName, type DirectoryHandle, type Posix } from "../../platform/posix.ts";
import { utf8OfLatin1 } from "../../source/entry_table.ts";
import type { CopyDestination, ListKeys } from "./list_keys.ts";
import { LastDirectory } from "./last_directory.ts";
import { entryPathLatin1 } from "./manifest_line.ts";
import { isConfined, lastName, parentPath } from "./recorded_state.ts";
import { storedPathLatin1 } from "./stored_form.ts";
import { cNameOfLatin1, openPath } from "./tree_removal.ts";
import {
  linesOf,
  listedFolders,
  openList,
  openVersions,
  replaceList,
  versionsDisplay,
} from "./version_lists.ts";

export interface Pruned {
  removed: number;
  warnings: string[];
}

/** Keeps the newest `keepVersions` (≥ 1) of every path of one source. What cannot be removed is a warning, no failure. */
export function pruneVersions(
  posix: Posix,
  destination: CopyDestination,
  bindingKey: string,
  keepVersions: number,
  tick: () => void,
  isStopped: () => boolean,
): Pruned {
  const pruned: Pruned = { removed: 0, warnings: [] };
  const { keys } = destination;
  const versions = openVersions(posix, destination, bindingKey, false);
  if (versions === -ENOENT) return pruned;
  const display = versionsDisplay(destination, bindingKey);
  if (versions < 0) {
    pruned.warnings.push(`${display} cannot be opened: ${errnoText(-versions)}`);
    return pruned;
  }
  try {
    const seen = new Map<string, number>();
    for (const folder of listedFolders(posix, versions, display).reverse()) {
      if (isStopped()) break;
      try {
        const doomed = beyond(posix, versions, folder, display, keys, keepVersions, seen, tick);
        if (doomed.size === 0) continue;
        pruned.removed += pruneFolder(posix, versions, folder, display, keys, doomed, pruned, tick);
      } catch (thrown) {
        pruned.warnings.push(`Older versions stay: ${asBackupError(thrown).message}`);
      }
    }
  } catch (thrown) {
    pruned.warnings.push(`Older versions stay: ${asBackupError(thrown).message}`);
  } finally {
    posix.closeDirectory(versions);
  }
  return pruned;
}

/** Paths of which newer lists have enough versions. */
function beyond(
  posix: Posix,
  versions: DirectoryHandle,
  folder: string,
  display: string,
  keys: ListKeys,
  keepVersions: number,
  seen: Map<string, number>,
  tick: () => void,
): Set<string> {
  const doomed = new Set<string>();
  const list = openList(posix, versions, folder, display, keys);
  if (list === undefined) return doomed;
  for (const { entry } of linesOf(list)) {
    tick();
    const path = entryPathLatin1(entry);
    const count = (seen.get(path) ?? 0) + 1;
    seen.set(path, count);
    if (count > keepVersions) doomed.add(path);
  }
  return doomed;
}

function pruneFolder(
  posix: Posix,
  versions: DirectoryHandle,
  folder: string,
  display: string,
  keys: ListKeys,
  doomed: ReadonlySet<string>,
  pruned: Pruned,
  tick: () => void,
): number {
  const list = openList(posix, versions, folder, display, keys);
  if (list === undefined) return 0;
  const root = posix.openDirectory(versions, cName(folder));
  const last = new LastDirectory(posix, root, false);
  const emptied = new Set<string>();
  let removed = 0;
  try {
    const left = replaceList(posix, versions, folder, display, keys, list.header, (add) => {
      for (const { entry, text } of linesOf(list)) {
        tick();
        const path = storedPathLatin1(entry);
        if (!doomed.has(entryPathLatin1(entry)) || !isConfined(path)) {
          add(text);
          continue;
        }
        emptied.add(entry.type === "directory" ? path : parentPath(path));
        if (entry.type === "directory" || entry.recordedOnly === true) continue;
        const at = root < 0 ? root : last.open(parentPath(path));
        const result = at < 0 ? at : posix.unlink(at, cNameOfLatin1(lastName(path)));
        if (result >= 0) removed++;
        else if (result !== -ENOENT && result !== -ENOTDIR && result !== -EISDIR) {
          add(text);
          pruned.warnings.push(
            `${display}/${folder}/${utf8OfLatin1(path)} cannot be removed: ${errnoText(-result)}`,
          );
        }
      }
      last.close();
    });
    if (root >= 0) removeEmptied(posix, root, emptied, tick);
    // With anything left in it the folder stays.
    if (left === 0) posix.removeDirectory(versions, cName(folder));
    return removed;
  } finally {
    list.close();
    last.close();
    if (root >= 0) posix.closeDirectory(root);
  }
}

/** These folders and those above them, as far as they are empty. */
function removeEmptied(
  posix: Posix,
  root: DirectoryHandle,
  emptied: ReadonlySet<string>,
  tick: () => void,
): void {
  const deepestFirst = [...emptied].sort((a, b) => b.length - a.length);
  for (const start of deepestFirst) {
    for (let path = start; path !== ""; path = parentPath(path)) {
      tick();
      const above = openPath(posix, root, parentPath(path), false);
      if (above < 0) continue;
      const result = posix.removeDirectory(above, cNameOfLatin1(lastName(path)));
      posix.closeDirectory(above);
      if (result < 0 && result !== -ENOENT) break;
    }
  }
}
