/**
 * A destination as a place to read from: its marker and its manifests. Rule: nothing is ever written there, not even a
 * lock's text, so a read-only medium will do; a shared lock keeps backups out where locks can be had.
 */
import { BackupError, IntegrityError } from "../../../../protocol/base/errors.ts";
import { LOCK_FILE, MANIFESTS_DIRECTORY, OWN_DIRECTORY } from "../../../destinations/layout.ts";
import { type Binding, type Marker, readMarker } from "../../../destinations/marker.ts";
import { holdsRepository, noDestination } from "../../../destinations/other_kind.ts";
import { hasMembers } from "../../../destinations/run_lock.ts";
import { EAGAIN, ENOENT, posixError } from "../../../platform/errno.ts";
import { cName, type DirectoryHandle, newStat, type Posix } from "../../../platform/posix.ts";
import { latin1OfUtf8 } from "../../../source/entry_table.ts";
import type { Identity } from "../codec/age_keys.ts";
import { type ListKeys, standingName } from "../list_keys.ts";
import { ManifestLine, type OpenList, openManifest } from "../manifest_file.ts";
import type { ManifestEntry } from "../manifest_line.ts";
import { entryPathLatin1 } from "../manifest_line.ts";
import { manifestName } from "../manifest_update.ts";
import { listDisplay, partListNames } from "../part_list.ts";
import { mergeParts } from "../part_merge.ts";
import { compareWalkOrder } from "../../../source/walk_order.ts";
import { hostile, isConfined, isTopName } from "./confined_path.ts";
import { isWhole, metadataOf } from "./entry_metadata.ts";

export interface StoredLists {
  display: string;
  root: DirectoryHandle;
  own: DirectoryHandle;
  manifests: DirectoryHandle;
  marker: Marker;
  keys: ListKeys;
  close(): void;
}

/** Which manifest this was, so that another thread reads the same or none. */
export type ManifestIdentity = string;

export interface StoredManifest extends NonNullable<ReturnType<typeof openManifest>> {
  display: string;
  identity: ManifestIdentity;
}

/**
 * Opens for reading. `lock`: also keeps backups out until closed, as far as the place has locks.
 * @throws {BackupError} `destination_missing`, `destination_busy`, `newer_version`, `damaged`
 */
export function openStoredLists(
  posix: Posix,
  path: string,
  lock: boolean,
  identities: readonly Identity[] = [],
): StoredLists {
  const handles: DirectoryHandle[] = [];
  const files: number[] = [];
  const close = () => {
    for (const fd of files.splice(0)) posix.close(fd);
    for (const handle of handles.splice(0)) posix.closeDirectory(handle);
  };
  const missing = () => {
    const [root] = handles;
    return noDestination(path, root !== undefined && holdsRepository(posix, root));
  };
  try {
    const opened = (handle: DirectoryHandle, what: string): DirectoryHandle => {
      if (handle === -ENOENT) throw missing();
      if (handle < 0) throw posixError(handle, "open destination", what);
      handles.push(handle);
      return handle;
    };
    const root = opened(posix.openRoot(cName(path)), path);
    const ownDisplay = `${path}/${OWN_DIRECTORY}`;
    const own = opened(posix.openDirectory(root, cName(OWN_DIRECTORY)), ownDisplay);
    const marker = readMarker(posix, own, ownDisplay);
    if (marker === undefined) throw missing();
    for (const { name } of marker.bindings) {
      if (!isTopName(name)) {
        throw hostile(`${ownDisplay}/marker.json`, name, "is no name of a copy");
      }
    }
    if (lock) files.push(...takeSharedLock(posix, own, path));
    const manifests = opened(
      posix.openDirectory(own, cName(MANIFESTS_DIRECTORY)),
      `${ownDisplay}/${MANIFESTS_DIRECTORY}`,
    );
    const keys = { recipients: [], identities };
    return { display: path, root, own, manifests, marker, keys, close };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

/** Files whose locks last until they are closed. Who cannot lock reads all the same: every file is checked by its hash. */
function takeSharedLock(posix: Posix, own: DirectoryHandle, path: string): number[] {
  const busy = () =>
    new BackupError("destination_busy", `${path} is in use by another run`, {
      path,
      hint: "Wait for it to end, or use --wait DURATION",
      retry: "later",
    });
  if (posix.name === "libc" && posix.tryLock(own, true) === -EAGAIN) throw busy();
  const fd = posix.openRead(own, cName(LOCK_FILE));
  const isFree = fd < 0 || posix.tryLock(fd, true) !== -EAGAIN;
  if (isFree && !hasMembers(posix, own)) return fd < 0 ? [] : [fd];
  if (fd >= 0) posix.close(fd);
  throw busy();
}

/**
 * The list of one copy; where an interrupted run has left lists of parts, as it will be when they are put together.
 * @throws {BackupError} `not_found` when there is none, `damaged`, `newer_version`; `io` when it is not `expected`
 */
export function openStoredManifest(
  posix: Posix,
  at: StoredLists,
  binding: Pick<Binding, "name" | "key">,
  expected?: ManifestIdentity,
): StoredManifest {
  const file = manifestName(binding.key);
  const display = `${at.display}/${OWN_DIRECTORY}/${MANIFESTS_DIRECTORY}/${file}`;
  const stat = newStat();
  const identify = (name: string): ManifestIdentity => {
    const standing = standingName(posix, at.manifests, name);
    if (posix.statAt(at.manifests, cName(standing), stat) < 0) return "";
    const { inodeHigh, inodeLow, sizeBytes, mtimeSec, mtimeNsec } = stat;
    return [inodeHigh, inodeLow, sizeBytes, mtimeSec, mtimeNsec].join(":");
  };
  const identifyAll = (): ManifestIdentity =>
    [file, ...partListNames(posix, at.manifests, binding.key)].map(identify).join(" ");
  const identity = identifyAll();
  const manifest = withParts(
    openManifest(posix, at.manifests, file, display, at.keys),
    openParts(posix, at, binding.key),
    display,
  );
  if (manifest === undefined) {
    throw new BackupError(
      "not_found",
      `There is no list of ${binding.name}: its first backup was interrupted, or ${display} was deleted`,
      { path: display, hint: `Copy what is in ${at.display}/${binding.name} by hand` },
    );
  }
  if (identifyAll() === identity && (expected === undefined || expected === identity)) {
    return { ...manifest, display, identity };
  }
  manifest.close();
  throw new BackupError("io", `${display} was replaced while it was read: a backup is running`, {
    path: display,
    hint: "Restore again when it has ended",
    retry: "later",
  });
}

function openParts(posix: Posix, at: StoredLists, key: string): OpenList[] {
  const opened: OpenList[] = [];
  try {
    for (const name of partListNames(posix, at.manifests, key)) {
      const list = openManifest(posix, at.manifests, name, listDisplay(at, name), at.keys);
      if (list?.header.part === undefined) list?.close();
      else opened.push(list);
    }
    return opened;
  } catch (thrown) {
    for (const list of opened) list.close();
    throw thrown;
  }
}

function withParts(
  base: OpenList | undefined,
  parts: readonly OpenList[],
  display: string,
): OpenList | undefined {
  const [first] = parts;
  if (first === undefined) return base;
  const all = base === undefined ? parts : [base, ...parts];
  const close = () => {
    for (const list of all) list.close();
  };
  const { part: _, ...header } = first.header;
  const isSealed = all.some((list) => list.isSealed);
  return { header, isSealed, lines: mergedLines(base, parts, display, close), close };
}

function* mergedLines(
  base: OpenList | undefined,
  parts: readonly OpenList[],
  display: string,
  close: () => void,
): Generator<ManifestLine> {
  try {
    for (const { text } of mergeParts(base?.lines, parts)) yield new ManifestLine(text, display);
  } finally {
    close();
  }
}

export interface CheckedLine {
  /** Counted from 0. */
  line: number;
  /** Below the copy's top folder, one byte a character. */
  path: string;
  entry: ManifestEntry;
  /** Lines of the folders it lies in, outermost first. Valid until the next line. */
  folders: readonly OpenFolder[];
  /** The source had lost it, and the folder it was in is none any more. */
  orphan: boolean;
}

export interface OpenFolder {
  line: number;
  path: string;
}

/**
 * Every line of a list, in order, each with the folders it lies in.
 * @throws {IntegrityError} for a list that is cut or altered; {BackupError} `damaged` for one that no backup has written:
 * a path that leads out of the copy, comes twice, or goes through something that is no folder
 */
export function* checkedLines(
  manifest: Pick<StoredManifest, "lines" | "display">,
): Generator<CheckedLine> {
  const folders: OpenFolder[] = [];
  let before: string | undefined;
  const { display } = manifest;
  for (let line = 0;; line++) {
    const next = manifest.lines.next();
    if (next.done) return;
    const { entry } = next.value;
    const path = pathOf(entry, display);
    if (!isConfined(path)) throw hostile(display, path, "leads out of the copy");
    if (before !== undefined && compareWalkOrder(before, path) >= 0) {
      throw hostile(display, path, before === path ? "comes twice" : "is out of order");
    }
    before = path;
    while (folders.length > 0 && !isIn(path, folders.at(-1)!.path)) folders.pop();
    const parent = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
    const isRoot = path === "";
    if (isRoot && entry.type !== "directory") throw hostile(display, path, "is not a directory");
    const orphan = !isRoot && folders.at(-1)?.path !== parent;
    if (orphan && entry.goneAtMs === undefined) {
      throw hostile(display, path, "lies in something that is not recorded as a folder");
    }
    checkFields(entry, display);
    yield { line, path, entry, folders, orphan };
    if (entry.type === "directory" && !orphan) folders.push({ line, path });
  }
}

function isIn(path: string, folder: string): boolean {
  return folder === "" || (path.length > folder.length && path.startsWith(folder) &&
    path.charCodeAt(folder.length) === 47);
}

function pathOf(entry: ManifestEntry, display: string): string {
  for (const field of ["pathBase64", "hardLinkTo", "hardLinkToBase64", "target", "targetBase64"]) {
    const value = entry[field as keyof ManifestEntry];
    if (value !== undefined && typeof value !== "string") {
      throw hostile(display, entry.path, `has a ${field} that is no text`);
    }
  }
  return entryPathLatin1(entry);
}

function checkFields(entry: ManifestEntry, display: string): void {
  const { type, sha256, sizeBytes, rdev } = entry;
  const isWrong = metadataOf(entry) === undefined ||
    (sha256 !== undefined && (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256))) ||
    (type === "file" && !isWhole(sizeBytes, Number.MAX_SAFE_INTEGER)) ||
    ((type === "character" || type === "block") && !isWhole(rdev, Number.MAX_SAFE_INTEGER)) ||
    (type === "symlink" && !isTarget(entry)) ||
    (entry.hardLinkTo !== undefined && !isConfined(linkedPath(entry)!)) ||
    (entry.storedAs !== undefined &&
      (typeof entry.storedAs !== "string" || !isTopName(latin1OfUtf8(entry.storedAs)))) ||
    (entry.storedAsBase64 !== undefined &&
      (typeof entry.storedAsBase64 !== "string" || !isTopName(atob(entry.storedAsBase64))));
  if (!isWrong) return;
  throw new IntegrityError(
    `${display} is damaged: the line of ${JSON.stringify(entry.path)} is not valid`,
    {
      path: display,
      hint: "Restore from another destination with --from",
    },
  );
}

function isTarget(entry: ManifestEntry): boolean {
  const target = targetBytes(entry);
  return target !== undefined && target.length > 1 && target.indexOf(0) === target.length - 1;
}

/** A symbolic link's target, ending in NUL; undefined when it has none. */
export function targetBytes(entry: ManifestEntry): Uint8Array | undefined {
  const { target, targetBase64 } = entry;
  if (target === undefined) return undefined;
  const text = targetBase64 === undefined ? latin1OfUtf8(target) : atob(targetBase64);
  return Uint8Array.from(text + "\0", (c) => c.charCodeAt(0));
}

/** The first name of the same file, one byte a character. */
export function linkedPath(entry: ManifestEntry): string | undefined {
  const { hardLinkTo, hardLinkToBase64 } = entry;
  if (hardLinkTo === undefined) return undefined;
  return hardLinkToBase64 === undefined ? latin1OfUtf8(hardLinkTo) : atob(hardLinkToBase64);
}
