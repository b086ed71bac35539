/** Removes or moves trees of our own making, through handles and without following links. */
import { ENOENT } from "../../platform/errno.ts";
import {
  cName,
  cNameOfLatin1,
  type DirectoryHandle,
  KIND_DIRECTORY,
  newStat,
  type Posix,
} from "../../platform/posix.ts";

export { cNameOfLatin1 };

/** Deletes everything below `at/name` and then itself; returns how many entries could not be removed, 0 when it is not there. */
export function removeTree(
  posix: Posix,
  at: DirectoryHandle,
  name: Uint8Array,
  tick: () => void,
): number {
  tick();
  const handle = posix.openDirectory(at, name);
  if (handle === -ENOENT) return 0;
  if (handle < 0) return posix.unlink(at, name) < 0 ? 1 : 0;
  let failed = 0;
  const names = posix.list(handle);
  const stat = newStat();
  for (const child of typeof names === "number" ? [] : names) {
    tick();
    const bytes = cNameOfLatin1(child);
    if (posix.statAt(handle, bytes, stat) === 0 && stat.kind === KIND_DIRECTORY) {
      failed += removeTree(posix, handle, bytes, tick);
    } else if (posix.unlink(handle, bytes) < 0) failed++;
  }
  posix.closeDirectory(handle);
  tick();
  if (posix.removeDirectory(at, name) < 0) failed++;
  return failed;
}

/** What `moveFilesBack` says on its way. Paths are relative, one byte a character. */
export interface MoveBack {
  onMoved(path: string): void;
  /** Something at `path` could not be listed, opened or moved; it is still below `from`. */
  onFailed(path: string, result: number): void;
  /** Before every entry. */
  tick(): void;
  /** What stays where it is; absent: nothing. */
  stays?(path: string): boolean;
}

/** Moves every file below `from` to the same relative place below `to`, where missing directories are made. */
export function moveFilesBack(
  posix: Posix,
  from: DirectoryHandle,
  to: DirectoryHandle,
  path: string,
  report: MoveBack,
): void {
  const { onMoved, onFailed, tick } = report;
  const names = posix.list(from);
  if (typeof names === "number") return onFailed(path, names);
  const stat = newStat();
  for (const child of names) {
    tick();
    const bytes = cNameOfLatin1(child);
    const childPath = path === "" ? child : `${path}/${child}`;
    const result = posix.statAt(from, bytes, stat);
    if (result < 0) onFailed(childPath, result);
    else if (stat.kind === KIND_DIRECTORY) {
      const nextFrom = posix.openDirectory(from, bytes);
      let nextTo = posix.openDirectory(to, bytes);
      if (nextTo === -ENOENT) {
        const made = posix.makeDirectory(to, bytes, 0o700);
        nextTo = made < 0 ? made : posix.openDirectory(to, bytes);
      }
      if (nextFrom >= 0 && nextTo >= 0) {
        moveFilesBack(posix, nextFrom, nextTo, childPath, report);
      } else onFailed(childPath, Math.min(nextFrom, nextTo));
      if (nextFrom >= 0) posix.closeDirectory(nextFrom);
      if (nextTo >= 0) posix.closeDirectory(nextTo);
    } else if (report.stays?.(childPath) !== true) {
      const moved = posix.rename(from, bytes, to, bytes);
      if (moved < 0) onFailed(childPath, moved);
      else onMoved(childPath);
    }
  }
}

/** `at/a/b/c` opened level by level, made when `create`; the caller closes it. -errno when a level is not to be had. */
export function openPath(
  posix: Posix,
  at: DirectoryHandle,
  path: string,
  create: boolean,
): DirectoryHandle {
  let handle = at;
  for (const part of path === "" ? [] : path.split("/")) {
    const name = cNameOfLatin1(part);
    if (create) posix.makeDirectory(handle, name, 0o700);
    const next = posix.openDirectory(handle, name);
    if (handle !== at) posix.closeDirectory(handle);
    if (next < 0) return next;
    handle = next;
  }
  return handle === at ? posix.openDirectory(at, cName(".")) : handle;
}
