/**
 * Writes one earlier version to a new file. Rule: nothing is ever written over, and the name appears when the bytes are
 * there, flushed, and equal to what was recorded.
 */
import { createHash } from "node:crypto";
import { BackupError, IntegrityError } from "../../../protocol/base/errors.ts";
import {
  EEXIST,
  ENOENT,
  ENOSYS,
  ENOTDIR,
  EOPNOTSUPP,
  EPERM,
  posixError,
} from "../../platform/errno.ts";
import { cName, type DirectoryHandle, newStat, type Posix } from "../../platform/posix.ts";
import { writeAll } from "../../platform/small_file.ts";
import { latin1OfUtf8 } from "../../source/entry_table.ts";
import type { ThreadCells } from "../../threads/thread_rpc.ts";
import type { CopyDestination } from "./list_keys.ts";
import { entryPathLatin1, type ManifestEntry } from "./manifest_line.ts";
import { lastName, parentPath } from "./recorded_state.ts";
import { storedPathLatin1 } from "./stored_form.ts";
import { cNameOfLatin1, openPath } from "./tree_removal.ts";
import { openVersions } from "./version_lists.ts";
import { eachVersion, type FindVersions, placeOf } from "./version_search.ts";

export interface RestoreVersion extends FindVersions {
  /** The dated folder's name. */
  time: string;
  /** Absolute: a folder that is there, or a new name in one. */
  target: string;
}

export interface RestoredVersion {
  /** Where it was written. */
  path: string;
  sizeBytes: number;
  sha256: string;
  /** Owner or mode could not be set. */
  isPlain: boolean;
}

const PIECE_BYTES = 1 << 20;
const TEMPORARY_SUFFIX = ".backup-agent-new";
const NAME_BYTES_MAX = 255;

/** @throws {BackupError} `not_found` without such a version, `damaged` when its bytes are not the recorded ones, … */
export function restoreVersion(
  posix: Posix,
  destination: CopyDestination,
  request: RestoreVersion,
  cells: ThreadCells,
): RestoredVersion {
  const tick = () => Atomics.add(cells.operations, 0, 1);
  const { binding, path } = placeOf(request, destination);
  let wanted: ManifestEntry | undefined;
  eachVersion(posix, destination, binding.key, tick, (entry, folder) => {
    if (folder === request.time && entryPathLatin1(entry) === path) wanted = entry;
  });
  if (wanted === undefined) {
    throw new BackupError("not_found", `${request.asked} has no version of ${request.time}`, {
      path: request.asked,
      hint: `Which there are: versions ${request.asked} --at ${destination.display}`,
    });
  }
  const entry = wanted;
  if (entry.type !== "file" || entry.sha256 === undefined || entry.codec !== undefined) {
    throw new BackupError(
      "unsupported",
      `Only plain files are written back, and this version is ${
        entry.codec === undefined ? `a ${entry.type}` : `stored as ${entry.codec}`
      }`,
      {
        path: request.asked,
        hint:
          `Take it from .backup-agent/versions/${binding.key}/${request.time} at the destination`,
      },
    );
  }
  const from = openStored(posix, destination, binding.key, request, entry);
  try {
    const target = openTarget(posix, request.target, lastName(path));
    try {
      const isPlain = writeNew(posix, from, target, entry, request.asked, cells);
      return {
        path: target.display,
        sizeBytes: entry.sizeBytes ?? 0,
        sha256: entry.sha256,
        isPlain,
      };
    } finally {
      posix.closeDirectory(target.at);
    }
  } finally {
    posix.close(from);
  }
}

function openStored(
  posix: Posix,
  destination: CopyDestination,
  bindingKey: string,
  request: RestoreVersion,
  entry: ManifestEntry,
): number {
  const path = storedPathLatin1(entry);
  const versions = openVersions(posix, destination, bindingKey, false);
  const root = versions < 0 ? versions : posix.openDirectory(versions, cName(request.time));
  const at = root < 0 ? root : openPath(posix, root, parentPath(path), false);
  const fd = at < 0 ? at : posix.openRead(at, cNameOfLatin1(lastName(path)));
  for (const handle of [at, root, versions]) if (handle >= 0) posix.closeDirectory(handle);
  if (fd < 0) throw posixError(fd, "read", `${request.asked} of ${request.time}`);
  return fd;
}

interface Target {
  at: DirectoryHandle;
  name: string;
  display: string;
}

function openTarget(posix: Posix, target: string, ownName: string): Target {
  const inside = posix.openRoot(cName(target));
  if (inside >= 0) {
    const shown = new TextDecoder().decode(cNameOfLatin1(ownName).subarray(0, -1));
    return { at: inside, name: ownName, display: `${target.replace(/\/+$/, "")}/${shown}` };
  }
  if (inside !== -ENOENT && inside !== -ENOTDIR) throw posixError(inside, "open", target);
  if (inside === -ENOTDIR) throw taken(target);
  const parent = target.replace(/\/+[^/]*$/, "") || "/";
  const at = posix.openRoot(cName(parent));
  if (at < 0) throw posixError(at, "open", parent);
  return { at, name: latin1OfUtf8(target.slice(target.lastIndexOf("/") + 1)), display: target };
}

/** Answers whether owner or mode had to be left as they are. */
function writeNew(
  posix: Posix,
  from: number,
  target: Target,
  entry: ManifestEntry,
  asked: string,
  cells: ThreadCells,
): boolean {
  const { at, display } = target;
  const name = cNameOfLatin1(target.name);
  const found = posix.statAt(at, name, newStat());
  if (found !== -ENOENT) throw found < 0 ? posixError(found, "look at", display) : taken(display);
  const short = target.name.slice(0, NAME_BYTES_MAX - TEMPORARY_SUFFIX.length - 1);
  const temporary = cNameOfLatin1(`.${short}${TEMPORARY_SUFFIX}`);
  const fd = posix.createFile(at, temporary);
  if (fd < 0) throw posixError(fd, "create", display);
  let isOpen = true;
  try {
    copyChecked(posix, from, fd, entry, asked, display, cells);
    let isPlain = posix.setFileOwner(fd, entry.uid ?? -1, entry.gid ?? -1) < 0;
    if (entry.mode !== undefined) isPlain = posix.setFileMode(fd, entry.mode) < 0 || isPlain;
    if (entry.mtimeNs !== undefined && /^-?\d{1,30}$/.test(entry.mtimeNs)) {
      const ns = BigInt(entry.mtimeNs);
      const nsec = ((ns % BILLION) + BILLION) % BILLION;
      posix.setFileTimes(fd, Number((ns - nsec) / BILLION), Number(nsec));
    }
    const flushed = posix.flushFile(fd);
    isOpen = false;
    const closed = posix.close(fd);
    if (flushed < 0 || closed < 0) throw posixError(Math.min(flushed, closed), "write", display);
    giveName(posix, at, temporary, name, display);
    return isPlain;
  } catch (thrown) {
    if (isOpen) posix.close(fd);
    posix.unlink(at, temporary);
    throw thrown;
  }
}

const BILLION = 1_000_000_000n;

function copyChecked(
  posix: Posix,
  from: number,
  to: number,
  entry: ManifestEntry,
  asked: string,
  display: string,
  cells: ThreadCells,
): void {
  const hash = createHash("sha256");
  const buffer = new Uint8Array(PIECE_BYTES);
  const sizeBytes = entry.sizeBytes ?? 0;
  let offset = 0;
  for (;;) {
    if (Atomics.load(cells.cancelled, 0) !== 0) throw new BackupError("cancelled", "Cancelled");
    Atomics.add(cells.operations, 0, 1);
    const got = posix.readAt(from, buffer, offset);
    if (got < 0) throw posixError(got, "read", asked);
    if (got === 0 || offset > sizeBytes) break;
    const piece = buffer.subarray(0, got);
    hash.update(piece);
    const put = writeAll(posix, to, piece);
    if (put < 0) throw posixError(put, "write", display);
    offset += got;
  }
  if (offset === sizeBytes && hash.digest("hex") === entry.sha256) return;
  throw new IntegrityError(`This version of ${asked} is damaged: it is not what was recorded`, {
    path: asked,
    hint: "Nothing was written; try another version or another destination",
  });
}

/** A link takes no name that is there; where there are no links the name is looked at once more. */
function giveName(
  posix: Posix,
  at: DirectoryHandle,
  temporary: Uint8Array,
  name: Uint8Array,
  display: string,
): void {
  let result = posix.link(at, temporary, at, name);
  if (result >= 0) posix.unlink(at, temporary);
  else if (result === -EPERM || result === -EOPNOTSUPP || result === -ENOSYS) {
    const found = posix.statAt(at, name, newStat());
    if (found === 0) throw taken(display);
    result = posix.rename(at, temporary, at, name);
  }
  if (result === -EEXIST) throw taken(display);
  if (result < 0) throw posixError(result, "create", display);
  posix.flushDirectory(at);
}

function taken(path: string): BackupError {
  return new BackupError("rejected", `${path} is there already, and nothing is written over`, {
    path,
    hint: "Name a new file with --target, or a folder that has no such file",
  });
}
