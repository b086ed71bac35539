/**
 * One local (or mounted) folder as a destination, on the thread that serves it. Rule: nothing is created before the
 * caller has compared places (`inspect`), and nothing of a stranger is ever written over.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import { newId } from "../../protocol/base/ids.ts";
import {
  EAGAIN,
  EEXIST,
  ENOENT,
  ENOLCK,
  ENOSYS,
  EOPNOTSUPP,
  EROFS,
  posixError,
} from "../platform/errno.ts";
import {
  cName,
  type DirectoryHandle,
  type FileSystemInfo,
  KIND_DIRECTORY,
  newStat,
  type Posix,
} from "../platform/posix.ts";
import { readSmallFile, replaceSmallFile } from "../platform/small_file.ts";
import { ancestry, type Identity, identityOf } from "./identity.ts";
import {
  LOCK_FILE,
  MANIFESTS_DIRECTORY,
  MARKER_FILE,
  OWN_DIRECTORY,
  README_FILE,
  README_TEXT,
  STAGE_DIRECTORY,
} from "./layout.ts";
import { type Binding, FORMAT_VERSION, type Marker, readMarker, writeMarker } from "./marker.ts";

/** File systems whose `syncfs` waits for data and reports errors (Linux ≥ 5.8), plus memory, where there is no disk. */
const SYNCFS_TRUSTED: ReadonlySet<string> = new Set(["ext4", "xfs", "btrfs", "tmpfs"]);

export interface Inspection {
  exists: boolean;
  ancestors: Identity[];
  /** Identity of each wanted or bound top name that exists. */
  copies: [string, Identity][];
  /** Wanted names under which something stands; an empty folder is nothing. */
  occupied: string[];
  bindings: Binding[];
  destinationId: string | undefined;
  freeBytes: number | undefined;
  fileSystem: string | undefined;
  device: string | undefined;
}

export interface WantedBinding {
  name: string;
  hostId: string;
  hostName: string;
  sourcePath: string;
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
    return {
      exists: false,
      ancestors: ancestry(posix, parent),
      copies: [],
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
    const copies: [string, Identity][] = [];
    for (const name of new Set([...names, ...(marker?.bindings ?? []).map((b) => b.name)])) {
      const handle = posix.openDirectory(root, cName(name));
      if (handle < 0) continue;
      const identity = identityOf(posix, handle);
      posix.closeDirectory(handle);
      if (identity !== undefined) copies.push([name, identity]);
    }
    const info = posix.fileSystemInfo(root);
    const stat = newStat();
    posix.statDirectory(root, stat);
    return {
      exists: true,
      ancestors: ancestry(posix, path),
      copies,
      occupied: names.filter((name) => isOccupied(posix, root, name)),
      bindings: marker?.bindings ?? [],
      destinationId: marker?.destinationId,
      freeBytes: typeof info === "number" ? undefined : info.freeBytes,
      fileSystem: typeof info === "number" ? undefined : info.type,
      device: String(stat.device),
    };
  } finally {
    posix.closeDirectory(root);
  }
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
  throw new BackupError("destination_lost", `${path} is not there any more`, {
    path,
    hint: "Connect it again and run the same command: what is safe there is not copied again",
  });
}

/** Why the wanted name cannot be used, if it cannot; `isNameOccupied`: something stands under it. */
export function bindingConflict(
  bindings: readonly Binding[],
  wanted: WantedBinding,
  isNameOccupied: boolean,
  display: string,
): string | undefined {
  const bound = bindings.find((b) => b.name === wanted.name);
  if (bound === undefined) {
    return isNameOccupied
      ? `${display}/${wanted.name} exists already and was not made from ${wanted.sourcePath}`
      : undefined;
  }
  if (bound.hostId !== wanted.hostId) {
    return `${display}/${wanted.name} holds the copies of another machine ` +
      `(${bound.hostName}:${bound.sourcePath})`;
  }
  if (bound.sourcePath !== wanted.sourcePath) {
    return `${display}/${wanted.name} holds the copies of ${bound.sourcePath}`;
  }
  return undefined;
}

/**
 * Opens, creating the leaf folder and `.backup-agent` when they are not there, takes the lock and binds the names.
 * `shared`: another thread of this process holds the lock already.
 * @throws {BackupError} `destination_busy` when another run holds it, `usage` on a name conflict, `read_only`, …
 */
export function openDestination(
  posix: Posix,
  path: string,
  wanted: WantedBinding[],
  holder: string,
  createdAt: string,
  shared = false,
): OpenDestination & { close(): void } {
  let root = posix.openRoot(cName(path));
  if (root === -ENOENT) {
    const parent = path.replace(/\/+[^/]*$/, "") || "/";
    const leaf = path.slice(path.lastIndexOf("/") + 1);
    const above = posix.openRoot(cName(parent));
    if (above < 0) throw missing(path, `the folder above it, ${parent}, does not exist`);
    const made = posix.makeDirectory(above, cName(leaf), 0o755);
    if (made >= 0 || made === -EEXIST) posix.flushDirectory(above);
    posix.closeDirectory(above);
    if (made < 0 && made !== -EEXIST) throw posixError(made, "create", path);
    root = posix.openRoot(cName(path));
  }
  if (root < 0) throw posixError(root, "open destination", path);
  const opened: DirectoryHandle[] = [root];
  let lockFd = -1;
  const close = () => {
    if (lockFd >= 0) posix.close(lockFd);
    lockFd = -1;
    for (const handle of opened.splice(0)) posix.closeDirectory(handle);
  };
  try {
    const own = ensureDirectory(posix, root, OWN_DIRECTORY, path, opened);
    const ownDisplay = `${path}/${OWN_DIRECTORY}`;
    if (!shared) lockFd = takeLock(posix, own, ownDisplay, path, holder);
    const stage = ensureDirectory(posix, own, STAGE_DIRECTORY, ownDisplay, opened);
    const manifests = ensureDirectory(posix, own, MANIFESTS_DIRECTORY, ownDisplay, opened);
    const marker = bind(posix, root, own, path, wanted, createdAt);
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
      batchFlush: SYNCFS_TRUSTED.has(fileSystem.type) && posix.name === "libc",
      close,
    };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

/** Adds what is wanted to the marker and writes it when that changed anything. */
function bind(
  posix: Posix,
  root: DirectoryHandle,
  own: DirectoryHandle,
  path: string,
  wanted: WantedBinding[],
  createdAt: string,
): Marker {
  const display = `${path}/${OWN_DIRECTORY}`;
  const found = readMarker(posix, own, display);
  const marker: Marker = found ?? {
    format: "backup-agent destination",
    version: FORMAT_VERSION,
    destinationId: newId("dest"),
    createdAt,
    bindings: [],
  };
  const bindings: Binding[] = [...marker.bindings];
  for (const one of wanted) {
    const conflict = bindingConflict(bindings, one, isOccupied(posix, root, one.name), path);
    if (conflict !== undefined) {
      throw new BackupError("usage", conflict, {
        path: `${path}/${one.name}`,
        hint: `Choose another name with --as NAME`,
      });
    }
    if (!bindings.some((b) => b.name === one.name)) {
      bindings.push({ ...one, key: freeKey(bindings) });
    }
  }
  if (found !== undefined && bindings.length === found.bindings.length) return found;
  const next = { ...marker, bindings };
  if (found === undefined) {
    replaceSmallFile(
      posix,
      own,
      README_FILE,
      new TextEncoder().encode(README_TEXT),
      `${display}/${README_FILE}`,
    );
  }
  writeMarker(posix, own, display, next);
  return next;
}

/** `s1`, `s2`, …: short, since it becomes part of file names. */
function freeKey(bindings: Binding[]): string {
  for (let n = bindings.length + 1;; n++) {
    if (!bindings.some((b) => b.key === `s${n}`)) return `s${n}`;
  }
}

function isOccupied(posix: Posix, root: DirectoryHandle, name: string): boolean {
  const stat = newStat();
  return posix.statAt(root, cName(name), stat) === 0 &&
    !(stat.kind === KIND_DIRECTORY && isEmptyDirectory(posix, root, name));
}

function isEmptyDirectory(posix: Posix, root: DirectoryHandle, name: string): boolean {
  const handle = posix.openDirectory(root, cName(name));
  if (handle < 0) return false;
  const names = posix.list(handle);
  posix.closeDirectory(handle);
  return typeof names !== "number" && names.length === 0;
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

/** The lock dies with the process, so a crash leaves none behind; the text in it is for people. */
function takeLock(
  posix: Posix,
  own: DirectoryHandle,
  ownDisplay: string,
  path: string,
  holder: string,
): number {
  const fd = posix.openAppend(own, cName(LOCK_FILE));
  if (fd < 0) throw posixError(fd, "lock", `${ownDisplay}/${LOCK_FILE}`);
  const result = posix.tryLock(fd);
  // Some network and foreign file systems have no locks; refusing every run there would help nobody.
  const unsupported = result === -ENOSYS || result === -EOPNOTSUPP || result === -ENOLCK;
  if (result < 0 && !unsupported) {
    posix.close(fd);
    if (result !== -EAGAIN) throw posixError(result, "lock", `${ownDisplay}/${LOCK_FILE}`);
    const bytes = readSmallFile(posix, own, LOCK_FILE, `${ownDisplay}/${LOCK_FILE}`);
    const by = bytes === undefined ? "" : new TextDecoder().decode(bytes).trim().split("\n").at(-1);
    throw new BackupError("destination_busy", `${path} is in use by another run (${by})`, {
      path,
      hint: "Wait for it to end, or use --wait DURATION",
      retry: "later",
    });
  }
  posix.truncate(fd, 0);
  posix.write(fd, new TextEncoder().encode(`${holder}\n`));
  return fd;
}

function missing(path: string, why: string): BackupError {
  return new BackupError("destination_missing", `Destination ${path} is missing: ${why}`, {
    path,
    hint: "Mount it, or create the folder above it",
  });
}
