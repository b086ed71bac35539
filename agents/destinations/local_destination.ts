/**
 * One local (or mounted) folder as a destination, on the thread that serves it. Rule: nothing is created before the
 * caller has compared places (`inspect`), and nothing of a stranger is ever written over.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import { EEXIST, ENOENT, EROFS, posixError } from "../platform/errno.ts";
import {
  cName,
  type DirectoryHandle,
  type FileSystemInfo,
  newStat,
  type Posix,
} from "../platform/posix.ts";
import { ancestry, childIdentity, type Identity, identityOf } from "./identity.ts";
import { MANIFESTS_DIRECTORY, MARKER_FILE, OWN_DIRECTORY, STAGE_DIRECTORY } from "./layout.ts";
import { type RunMembership, takeRunLock } from "./run_lock.ts";
import { bindNames, isOccupied, keepBindings, type WantedBinding } from "./bindings.ts";
import { type Binding, type Marker, readMarker } from "./marker.ts";
import { foldsCase } from "./name_folding.ts";
import { holdsRepository, noDestination, type OtherKind } from "./other_kind.ts";
import { waysOfWriting } from "./ways_of_writing.ts";

export { bindingConflict, type WantedBinding } from "./bindings.ts";

export interface Inspection {
  exists: boolean;
  /** The destination and all above it, nearest first. */
  ancestors: Identity[];
  /** Identity of each wanted or bound top name, also of those that are still to be made. */
  copies: [string, Identity][];
  /** Wanted names under which something stands; an empty folder is nothing. */
  occupied: string[];
  bindings: Binding[];
  destinationId: string | undefined;
  /** What stands there instead of what was named. */
  otherKind?: OtherKind;
  freeBytes: number | undefined;
  fileSystem: string | undefined;
  device: string | undefined;
}

/** An open destination: everything the strategies need to know about it. */
export interface OpenDestination {
  /** As people see it. */
  display: string;
  root: DirectoryHandle;
  /** `.backup-agent`. */
  own: DirectoryHandle;
  manifests: DirectoryHandle;
  stage: DirectoryHandle;
  marker: Marker;
  fileSystem: FileSystemInfo;
  /** False: every file is flushed by itself. */
  batchFlush: boolean;
  /** Large files are written past the page cache. */
  directWrites: boolean;
  /** Names that differ in case only are one name here; see `foldName`. */
  foldsCase: boolean;
  /** What a person should know before the first byte, a sentence each. */
  warnings: string[];
}

/** What stands at `path`, without changing anything. @throws {BackupError} when it is no readable directory */
export function inspect(posix: Posix, path: string, names: string[]): Inspection {
  const root = posix.openRoot(cName(path));
  if (root === -ENOENT) {
    const parent = path.replace(/\/+[^/]*$/, "") || "/";
    const above = posix.openRoot(cName(parent));
    if (above < 0) throw missing(path, `the folder above it, ${parent}, does not exist`);
    const stat = newStat();
    posix.statDirectory(above, stat);
    posix.closeDirectory(above);
    const ancestors = ancestry(posix, parent);
    const self = childIdentity(ancestors[0], path.slice(path.lastIndexOf("/") + 1));
    return {
      exists: false,
      ancestors: self === undefined ? ancestors : [self, ...ancestors],
      copies: placesOf(self, names),
      occupied: [],
      bindings: [],
      destinationId: undefined,
      freeBytes: undefined,
      fileSystem: undefined,
      device: String(stat.device),
    };
  }
  if (root < 0) throw posixError(root, "open destination", path);
  try {
    const own = posix.openDirectory(root, cName(OWN_DIRECTORY));
    let marker: Marker | undefined;
    if (own >= 0) {
      try {
        marker = readMarker(posix, own, `${path}/${OWN_DIRECTORY}`);
      } finally {
        posix.closeDirectory(own);
      }
    } else if (own !== -ENOENT) throw posixError(own, "open", `${path}/${OWN_DIRECTORY}`);
    const ancestors = ancestry(posix, path);
    const copies: [string, Identity][] = [];
    for (const name of new Set([...names, ...(marker?.bindings ?? []).map((b) => b.name)])) {
      const handle = posix.openDirectory(root, cName(name));
      if (handle < 0) {
        copies.push(...placesOf(ancestors[0], [name]));
        continue;
      }
      const identity = identityOf(posix, handle);
      posix.closeDirectory(handle);
      if (identity !== undefined) copies.push([name, identity]);
    }
    const info = posix.fileSystemInfo(root);
    const stat = newStat();
    posix.statDirectory(root, stat);
    return {
      exists: true,
      ancestors,
      copies,
      occupied: names.filter((name) => isOccupied(posix, root, name)),
      bindings: marker?.bindings ?? [],
      destinationId: marker?.destinationId,
      ...(marker === undefined && holdsRepository(posix, root) ? { otherKind: "repository" } : {}),
      freeBytes: typeof info === "number" ? undefined : info.freeBytes,
      fileSystem: typeof info === "number" ? undefined : info.type,
      device: String(stat.device),
    };
  } finally {
    posix.closeDirectory(root);
  }
}

/** Where these names will be in a folder. */
function placesOf(folder: Identity | undefined, names: string[]): [string, Identity][] {
  return names.flatMap((name) => {
    const identity = childIdentity(folder, name);
    return identity === undefined ? [] : [[name, identity] as [string, Identity]];
  });
}

/**
 * The path still leads to the folder that was opened, with its marker in it.
 * @throws {BackupError} `destination_lost` when the disk was pulled or unmounted, or the folder was moved or deleted
 */
export function checkStillThere(posix: Posix, path: string, destination: OpenDestination): void {
  const stat = newStat();
  const found = posix.openRoot(cName(path));
  const isSame = found >= 0 && identityOf(posix, found) === identityOf(posix, destination.root);
  if (found >= 0) posix.closeDirectory(found);
  if (isSame && posix.statAt(destination.own, cName(MARKER_FILE), stat) === 0) return;
  throw lost(path, `${path} is not there any more`);
}

/**
 * Opens, creating the leaf folder and `.backup-agent` when they are not there, takes the lock and binds the names.
 * `shared`: another thread of this process holds the lock already, or nothing will be written. Then only what exists is
 * opened, nothing is created, locked or bound, and with `expectedId` it must be that very destination. The same for a
 * further agent of a run (`run.joins`), which takes its share of the run's lock, and for which the names must be bound.
 * @throws {BackupError} `destination_busy` when another run holds it, `usage` on a name conflict, `read_only`, …; when
 * shared or joining, `destination_missing`, or `destination_lost` when one was expected; `rejected` for a name that is not
 * bound
 */
export function openDestination(
  posix: Posix,
  path: string,
  wanted: WantedBinding[],
  holder: string,
  createdAt: string,
  shared = false,
  expectedId?: string,
  run?: RunMembership,
): OpenDestination & { close(): void } {
  const opened: DirectoryHandle[] = [];
  const locks: number[] = [];
  const mayMake = !shared && run?.joins !== true;
  const close = () => {
    for (const fd of locks.splice(0)) posix.close(fd);
    for (const handle of opened.splice(0)) posix.closeDirectory(handle);
  };
  const ownDisplay = `${path}/${OWN_DIRECTORY}`;
  const warnings: string[] = [];
  try {
    const root = mayMake ? openOrMake(posix, path) : posix.openRoot(cName(path));
    if (root < 0) throw openError(posix, root, path, path, expectedId);
    opened.push(root);
    const directory = (at: DirectoryHandle, name: string, display: string): DirectoryHandle => {
      if (mayMake) return ensureDirectory(posix, at, name, display, opened);
      const handle = posix.openDirectory(at, cName(name));
      if (handle < 0) throw openError(posix, handle, path, `${display}/${name}`, expectedId);
      opened.push(handle);
      return handle;
    };
    const own = directory(root, OWN_DIRECTORY, path);
    // Before anything is touched: under the same path may be another disk here.
    if (!mayMake) existingMarker(posix, own, path, expectedId);
    if (!shared) {
      const lock = takeRunLock(posix, own, ownDisplay, path, holder, run);
      locks.push(...lock.fds);
      if (!lock.isHeld) {
        warnings.push(`${path} knows no locks: make sure that no other run uses it meanwhile`);
      }
    }
    const stage = directory(own, STAGE_DIRECTORY, ownDisplay);
    const manifests = directory(own, MANIFESTS_DIRECTORY, ownDisplay);
    const folds = foldsCase(posix, root);
    const marker = mayMake
      ? bindNames(posix, root, own, path, wanted, createdAt, folds)
      : existingMarker(posix, own, path, expectedId);
    if (run?.joins === true) keepBindings(marker.bindings, wanted, path);
    const info = posix.fileSystemInfo(root);
    const fileSystem = typeof info === "number"
      ? { type: "unknown", freeBytes: 0, totalBytes: 0 }
      : info;
    return {
      display: path,
      root,
      own,
      manifests,
      stage,
      marker,
      fileSystem,
      ...waysOfWriting(posix, fileSystem.type),
      foldsCase: folds,
      warnings,
      close,
    };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

/** The destination folder, made when only it is missing; or -errno. @throws {BackupError} when it cannot be made */
function openOrMake(posix: Posix, path: string): DirectoryHandle {
  const root = posix.openRoot(cName(path));
  if (root !== -ENOENT) return root;
  const parent = path.replace(/\/+[^/]*$/, "") || "/";
  const leaf = path.slice(path.lastIndexOf("/") + 1);
  const above = posix.openRoot(cName(parent));
  if (above < 0) throw missing(path, `the folder above it, ${parent}, does not exist`);
  const made = posix.makeDirectory(above, cName(leaf), 0o755);
  if (made >= 0 || made === -EEXIST) posix.flushDirectory(above);
  posix.closeDirectory(above);
  if (made < 0 && made !== -EEXIST) throw posixError(made, "create", path);
  return posix.openRoot(cName(path));
}

/** The marker of a destination that must be there already. */
function existingMarker(
  posix: Posix,
  own: DirectoryHandle,
  path: string,
  expectedId: string | undefined,
): Marker {
  const marker = readMarker(posix, own, `${path}/${OWN_DIRECTORY}`);
  if (marker === undefined) throw openError(posix, -ENOENT, path, path, expectedId);
  if (expectedId !== undefined && marker.destinationId !== expectedId) {
    throw lost(path, `Another destination is at ${path} now`);
  }
  return marker;
}

function openError(
  posix: Posix,
  result: number,
  path: string,
  what: string,
  expectedId: string | undefined,
): BackupError {
  if (result !== -ENOENT) return posixError(result, "open destination", what);
  if (expectedId !== undefined) return lost(path, `${path} is not there any more`);
  const root = posix.openRoot(cName(path));
  const isRepository = root >= 0 && holdsRepository(posix, root);
  if (root >= 0) posix.closeDirectory(root);
  return noDestination(path, isRepository);
}

function lost(path: string, message: string): BackupError {
  return new BackupError("destination_lost", message, {
    path,
    hint: "Connect it again and run the same command: what is safe there is not copied again",
  });
}

/** A subdirectory, made when missing and opened; `opened` gets its handle for closing. */
export function ensureDirectory(
  posix: Posix,
  at: DirectoryHandle,
  name: string,
  display: string,
  opened: DirectoryHandle[],
): DirectoryHandle {
  const made = posix.makeDirectory(at, cName(name), 0o700);
  if (made < 0 && made !== -EEXIST) {
    throw posixError(made, "write to", made === -EROFS ? display : `${display}/${name}`);
  }
  if (made === 0) posix.flushDirectory(at);
  const handle = posix.openDirectory(at, cName(name));
  if (handle < 0) throw posixError(handle, "open", `${display}/${name}`);
  opened.push(handle);
  return handle;
}

function missing(path: string, why: string): BackupError {
  return new BackupError("destination_missing", `Destination ${path} is missing: ${why}`, {
    path,
    hint: "Mount it, or create the folder above it",
  });
}
