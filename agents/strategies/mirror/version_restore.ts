/**
 * Writes one earlier version to a new name. Rule: nothing is ever written over, and the name appears when the bytes are
 * there, decoded, flushed, and equal to what was recorded, with all the metadata that can be set.
 */
import { createHash } from "node:crypto";
import { BackupError, IntegrityError } from "../../../protocol/base/errors.ts";
import {
  EEXIST,
  EIO,
  ENOENT,
  ENOSYS,
  ENOTDIR,
  EOPNOTSUPP,
  EPERM,
  posixError,
} from "../../platform/errno.ts";
import {
  cName,
  type DirectoryHandle,
  KIND_BLOCK_DEVICE,
  KIND_CHARACTER_DEVICE,
  KIND_FIFO,
  newStat,
  type Posix,
} from "../../platform/posix.ts";
import { latin1OfUtf8 } from "../../source/entry_table.ts";
import type { ThreadCells } from "../../threads/thread_rpc.ts";
import type { CopyDestination } from "./list_keys.ts";
import { entryPathLatin1, type ManifestEntry } from "./manifest_line.ts";
import { lastName } from "./recorded_state.ts";
import { type EntryMetadata, metadataOf, MetadataSetter } from "./restore/entry_metadata.ts";
import { type Content, openContent } from "./restore/open_content.ts";
import { PathChain } from "./restore/path_chain.ts";
import { targetBytes } from "./restore/stored_lists.ts";
import { cNameOfLatin1 } from "./tree_removal.ts";
import { openVersions } from "./version_lists.ts";
import { eachVersion, type FindVersions, placeOf } from "./version_search.ts";
import { runsOfData } from "./zero_blocks.ts";

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
  /** Of a file. */
  sha256?: string;
  /** Owner or mode could not be set. */
  isPlain: boolean;
  /** Extended attributes or ACLs that it had could not be set. */
  lacksAttributes: boolean;
}

const PIECE_BYTES = 256 << 10;
const TEMPORARY_SUFFIX = ".backup-agent-new";
const NAME_BYTES_MAX = 255;
const NODES: Readonly<Record<string, number>> = {
  fifo: KIND_FIFO,
  character: KIND_CHARACTER_DEVICE,
  block: KIND_BLOCK_DEVICE,
};

/**
 * Decoded, with all that is recorded of it.
 * @throws {BackupError} `not_found` without such a version, `damaged` when its bytes are not the recorded ones,
 * `wrong_key` when it is encrypted and no key opens it, …
 */
export function restoreVersion(
  posix: Posix,
  destination: CopyDestination,
  request: RestoreVersion,
  cells: ThreadCells,
  user: { uid: number; gid: number },
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
  const metadata = metadataOf(entry);
  const isKnown = entry.type === "file"
    ? entry.sha256 !== undefined
    : entry.type === "symlink"
    ? targetBytes(entry) !== undefined
    : NODES[entry.type] !== undefined;
  if (metadata === undefined || !isKnown) {
    throw new BackupError("unsupported", `No such version can be restored: a ${entry.type}`, {
      path: request.asked,
      hint: `Look into .backup-agent/versions/${binding.key}/${request.time} at the destination`,
    });
  }
  const setter = new MetadataSetter(posix, user);
  const job: Restoring = { posix, entry, metadata, setter, asked: request.asked, cells };
  const target = openTarget(posix, request.target, lastName(path));
  try {
    if (entry.type === "file") {
      withContent(job, destination, binding.key, request, path, (content) => {
        putNew(job, target, (temporary) => writeFile(job, target, temporary, content));
      });
    } else putNew(job, target, (temporary) => makeOther(job, target, temporary));
    const { owners, modes, attributes } = setter.notKept;
    return {
      path: target.display,
      sizeBytes: entry.sizeBytes ?? 0,
      ...(entry.sha256 === undefined ? {} : { sha256: entry.sha256 }),
      isPlain: owners + modes > 0,
      lacksAttributes: attributes > 0,
    };
  } finally {
    posix.closeDirectory(target.at);
  }
}

interface Restoring {
  posix: Posix;
  entry: ManifestEntry;
  metadata: EntryMetadata;
  setter: MetadataSetter;
  asked: string;
  cells: ThreadCells;
}

function withContent(
  { posix, entry, asked }: Restoring,
  destination: CopyDestination,
  bindingKey: string,
  { time }: RestoreVersion,
  path: string,
  use: (content: Content) => void,
): void {
  const versions = openVersions(posix, destination, bindingKey, false);
  const root = versions < 0 ? versions : posix.openDirectory(versions, cName(time));
  const chain = new PathChain(posix, root);
  try {
    const keys = destination.keys.identities;
    const content = root < 0 ? root : openContent(posix, chain, path, entry, keys);
    if (typeof content === "number") throw posixError(content, "read", `${asked} of ${time}`);
    try {
      use(content);
    } finally {
      content.close();
    }
  } finally {
    chain.close();
    for (const handle of [root, versions]) if (handle >= 0) posix.closeDirectory(handle);
  }
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

/** `make` makes it under the temporary name it is given, whole and with all its metadata. */
function putNew(
  { posix }: Restoring,
  target: Target,
  make: (temporary: Uint8Array) => void,
): void {
  const { at, display } = target;
  const name = cNameOfLatin1(target.name);
  const found = posix.statAt(at, name, newStat());
  if (found !== -ENOENT) throw found < 0 ? posixError(found, "look at", display) : taken(display);
  const short = target.name.slice(0, NAME_BYTES_MAX - TEMPORARY_SUFFIX.length - 1);
  const temporary = cNameOfLatin1(`.${short}${TEMPORARY_SUFFIX}`);
  make(temporary);
  try {
    giveName(posix, at, temporary, name, display);
  } catch (thrown) {
    posix.unlink(at, temporary);
    throw thrown;
  }
}

function writeFile(
  job: Restoring,
  { at, display }: Target,
  temporary: Uint8Array,
  content: Content,
): void {
  const { posix, metadata, setter } = job;
  const fd = posix.createFile(at, temporary);
  if (fd < 0) throw posixError(fd, "create", display);
  let isOpen = true;
  try {
    copyChecked(job, content, fd, display);
    const set = setter.setOpen(fd, metadata, true);
    const flushed = set < 0 ? set : posix.flushFile(fd);
    isOpen = false;
    const closed = posix.close(fd);
    if (flushed < 0 || closed < 0) throw posixError(Math.min(flushed, closed), "write", display);
  } catch (thrown) {
    if (isOpen) posix.close(fd);
    posix.unlink(at, temporary);
    throw thrown;
  }
}

/** A symbolic link, FIFO or device node: its line is all there is to it. */
function makeOther(
  { posix, entry, metadata, setter }: Restoring,
  { at, display }: Target,
  temporary: Uint8Array,
): void {
  const isLink = entry.type === "symlink";
  let result = isLink
    ? posix.symlink(targetBytes(entry)!, at, temporary)
    : posix.makeNode(at, temporary, NODES[entry.type]!, 0o600, entry.rdev ?? 0);
  if (result < 0) throw posixError(result, "create", display);
  result = setter.setAt(at, temporary, metadata, isLink);
  if (result >= 0) return;
  posix.unlink(at, temporary);
  throw posixError(result, "create", display);
}

function copyChecked(
  { posix, entry, asked, cells }: Restoring,
  from: Content,
  to: number,
  display: string,
): void {
  const hash = createHash("sha256");
  const buffer = new Uint8Array(PIECE_BYTES);
  const sizeBytes = entry.sizeBytes ?? 0;
  let offset = 0;
  for (;;) {
    if (Atomics.load(cells.cancelled, 0) !== 0) throw new BackupError("cancelled", "Cancelled");
    Atomics.add(cells.operations, 0, 1);
    const got = readDecoded(from, buffer, asked);
    if (got < 0) throw posixError(got, "read", asked);
    if (got === 0 || offset + got > sizeBytes) {
      offset += got;
      break;
    }
    const piece = buffer.subarray(0, got);
    hash.update(piece);
    const runs = entry.sparse === true ? runsOfData(piece, offset) : [{ start: 0, end: got }];
    for (const { start, end } of runs) {
      const put = writeAllAt(posix, to, piece.subarray(start, end), offset + start);
      if (put < 0) throw posixError(put, "write", display);
    }
    offset += got;
  }
  if (offset !== sizeBytes || hash.digest("hex") !== entry.sha256) throw damaged(asked);
  const cut = entry.sparse === true ? posix.truncate(to, sizeBytes) : 0;
  if (cut < 0) throw posixError(cut, "write", display);
}

/** @throws {BackupError} `damaged` or `wrong_key` */
function readDecoded(from: Content, buffer: Uint8Array, asked: string): number {
  try {
    return from.read(buffer);
  } catch (thrown) {
    if (!(thrown instanceof BackupError) || thrown.code !== "damaged") throw thrown;
    throw damaged(asked);
  }
}

function writeAllAt(posix: Posix, fd: number, bytes: Uint8Array, offset: number): number {
  for (let done = 0; done < bytes.length;) {
    const put = posix.writeAt(fd, bytes.subarray(done), offset + done);
    if (put < 0) return put;
    if (put === 0) return -EIO;
    done += put;
  }
  return 0;
}

function damaged(asked: string): IntegrityError {
  return new IntegrityError(`This version of ${asked} is damaged: it is not what was recorded`, {
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
