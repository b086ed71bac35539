/**
 * Removes from a copy what its source does not have any more. Rule: what is to go is written down first, only what is still
 * as recorded goes, and the manifest loses exactly the lines of what does not stand any more – after a crash too, since the
 * next run finds what was written down and ends it the same way.
 */
import {
  EEXIST,
  EISDIR,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  errnoText,
  posixError,
} from "../../platform/errno.ts";
import {
  cName,
  type DirectoryHandle,
  KIND_DIRECTORY,
  newStat,
  type Posix,
} from "../../platform/posix.ts";
import { utf8OfLatin1 } from "../../source/entry_table.ts";
import { type CopyDestination, removeList } from "./list_keys.ts";
import { writeWhole } from "./list_writer.ts";
import { OldEntries } from "./diff.ts";
import type { LaneTask } from "./lane_task.ts";
import { FoldersAsTheyWere } from "./folders_as_they_were.ts";
import { LastDirectory } from "./last_directory.ts";
import { type ManifestHeader, type ManifestLine, openManifest } from "./manifest_file.ts";
import { entryPathLatin1, type ManifestEntry } from "./manifest_line.ts";
import { manifestName } from "./manifest_update.ts";
import {
  isConfined,
  lastName,
  parentPath,
  standsAsRecorded,
  type TimeTrust,
} from "./recorded_state.ts";
import { storedPathLatin1 } from "./stored_form.ts";
import { samePlaces } from "./same_place.ts";
import { cNameOfLatin1 } from "./tree_removal.ts";
import {
  isFolderName,
  linesOf,
  openList,
  openVersions,
  replaceList,
  versionsDisplay,
} from "./version_lists.ts";

/** What one run removes at most; the rest is for the next. */
export const GONE_MAX = 1_000_000;

export interface Gone {
  /** In walk order, one byte a character; at most `GONE_MAX`. */
  paths: string[];
  /** 1 for a folder, 2 for a file, 0 for what is neither, by place in `paths`. */
  kinds: Uint8Array;
  /** How many more there are. */
  unnamed: number;
}

export const GONE_FOLDER = 1;
export const GONE_FILE = 2;

export interface Deletion {
  posix: Posix;
  destination: CopyDestination;
  /** Top name and marker key of the copy. */
  name: string;
  bindingKey: string;
  trust: TimeTrust;
  tick(): void;
  /** Before the first change: SHA256SUMS does not say what stands any more. */
  markStale(): void;
}

export interface DeletionRequest {
  /** In walk order. */
  paths: string[];
  /** The dated folder that takes what goes; undefined: it is removed for good. */
  versionsAt?: string;
  runId: string;
  stage: string;
  sourcePath: string;
  createdAt: string;
}

export interface Deleted {
  entries: number;
  folders: number;
  /** How many of them are kept as versions. */
  versions: number;
  warnings: string[];
}

/** Lines of the manifest that the table does not have: gone, or left out by a rule; the caller finds out which. */
export function listGone(
  deletion: Pick<Deletion, "posix" | "destination" | "tick">,
  task: LaneTask,
): Gone {
  const { table, share } = task;
  const gone: Gone = { paths: [], kinds: new Uint8Array(0), unnamed: 0 };
  const manifest = openCopyManifest(deletion, share.bindingKey);
  if (manifest === undefined) return gone;
  const kinds: number[] = [];
  /** By place in `gone.paths`. */
  const storedAt: string[] = [];
  /** A path that is no folder any more, with a slash: what was below it was moved away when it was replaced. */
  let displacedBelow: string | undefined;
  const onGone = ({ entry }: ManifestLine, path: string) => {
    if (displacedBelow !== undefined && path.startsWith(displacedBelow)) return;
    if (gone.paths.length >= GONE_MAX) {
      gone.unnamed++;
      return;
    }
    gone.paths.push(path);
    storedAt.push(storedPathLatin1(entry));
    kinds.push(entry.type === "directory" ? GONE_FOLDER : entry.type === "file" ? GONE_FILE : 0);
  };
  try {
    const recorded = new OldEntries(manifest.lines);
    for (let i = 0; i < table.count; i++) {
      if ((i & 255) === 0) deletion.tick();
      const path = task.path(i);
      recorded.find(path, onGone);
      // A file that is stored under another name is in no folder's way: what was below it is still there.
      const isInTheWay = table.columns.kind[i] !== KIND_DIRECTORY && task.storedPath(i) === path;
      if (isInTheWay) displacedBelow = `${path}/`;
    }
    recorded.finish(onGone);
  } finally {
    manifest.close();
  }
  const { posix, destination, tick } = deletion;
  const same = samePlaces(posix, destination, task, storedAt, tick);
  return {
    paths: gone.paths.filter((_, k) => !same.has(storedAt[k]!)),
    kinds: Uint8Array.from(kinds.filter((_, k) => !same.has(storedAt[k]!))),
    unnamed: gone.unnamed,
  };
}

/**
 * Removes what is at `paths` and still as recorded; what was altered, and a folder that holds something else, stays with
 * its line and is named. Ends between two entries when `isStopped`, with the manifest right.
 * @throws {BackupError} when nothing could be written down, or the manifest not replaced; the next run goes on from there
 */
export function deleteGone(
  deletion: Deletion,
  request: DeletionRequest,
  state: { isStopped(): boolean; isFenced(): boolean },
): Deleted {
  const { posix, destination, bindingKey } = deletion;
  const deleted: Deleted = { entries: 0, folders: 0, versions: 0, warnings: [] };
  deletion.markStale();
  writeIntent(deletion, request);
  const copy = posix.openDirectory(destination.root, cName(deletion.name));
  if (copy < 0 && copy !== -ENOENT) {
    throw posixError(copy, "open", `${destination.display}/${deletion.name}`);
  }
  if (copy >= 0) {
    const removal = new Removal(deletion, copy, request.versionsAt, deleted);
    try {
      removal.run(() => intentLines(deletion), state.isStopped);
    } finally {
      removal.close();
      posix.closeDirectory(copy);
    }
  }
  // Whoever was given up leaves the rest to its successor, or to the next run.
  if (state.isFenced()) return deleted;
  flush(posix, destination);
  const { versions } = settleDeletion(deletion);
  deleted.versions = versions;
  if (versions === 0 && request.versionsAt !== undefined) {
    removeUnused(posix, destination, bindingKey, request.versionsAt);
  }
  return deleted;
}

/**
 * Ends a deletion that was written down: lists what was kept as a version, takes the lines of what does not stand any more
 * out of the manifest, and with them the folders that have no line and nothing in them any more: an encoded file has their
 * path. Does nothing when there is none. Safe to repeat.
 */
export function settleDeletion(deletion: Omit<Deletion, "trust">): { versions: number } {
  const { posix, destination, bindingKey, tick } = deletion;
  const intent = openIntent(deletion);
  if (intent === undefined) return { versions: 0 };
  const { header } = intent;
  deletion.markStale();
  const gone = new Set<string>();
  const copy = posix.openDirectory(destination.root, cName(deletion.name));
  const last = new LastDirectory(posix, copy, false);
  try {
    for (const { entry } of linesOf(intent)) {
      tick();
      if (copy === -ENOENT || (copy >= 0 && !standsIn(posix, last, entry))) {
        gone.add(entryPathLatin1(entry));
      }
    }
  } finally {
    last.close();
    if (copy >= 0) posix.closeDirectory(copy);
  }
  const versions = header.versionsAt !== undefined && isFolderName(header.versionsAt)
    ? listVersions(deletion, header, header.versionsAt, gone)
    : 0;
  const bare = dropLines(deletion, gone);
  removeBare(deletion, bare);
  const removed = removeList(posix, destination.manifests, intentName(bindingKey));
  if (removed < 0) {
    throw posixError(removed, "remove", intentDisplay(deletion));
  }
  posix.flushDirectory(destination.manifests);
  return { versions };
}

class Removal {
  readonly #deletion: Deletion;
  readonly #copy: FoldersAsTheyWere;
  readonly #versions: LastDirectory | undefined;
  readonly #versionsHandles: DirectoryHandle[] = [];
  readonly #deleted: Deleted;
  /** Folders that hold something that was kept. */
  readonly #holding = new Set<string>();

  constructor(
    deletion: Deletion,
    copy: DirectoryHandle,
    versionsAt: string | undefined,
    deleted: Deleted,
  ) {
    this.#deletion = deletion;
    this.#deleted = deleted;
    this.#copy = new FoldersAsTheyWere(deletion.posix, deletion.destination, copy);
    if (versionsAt !== undefined) this.#versions = this.#openVersions(versionsAt);
  }

  #openVersions(folder: string): LastDirectory {
    const { posix, destination, bindingKey } = this.#deletion;
    const display = versionsDisplay(destination, bindingKey);
    const versions = openVersions(posix, destination, bindingKey, true);
    if (versions < 0) throw posixError(versions, "create", display);
    this.#versionsHandles.push(versions);
    const made = posix.makeDirectory(versions, cName(folder), 0o700);
    const into = made < 0 && made !== -EEXIST ? made : posix.openDirectory(versions, cName(folder));
    if (into < 0) {
      posix.closeDirectory(versions);
      throw posixError(into, "create", `${display}/${folder}`);
    }
    this.#versionsHandles.push(into);
    return new LastDirectory(posix, into, true, {
      onLeaving: (handle) => {
        if (!destination.batchFlush) posix.flushDirectory(handle);
      },
    });
  }

  /** `lines` in walk order, read twice: folders go after everything in them. */
  run(lines: () => Iterable<ManifestLine>, isStopped: () => boolean): void {
    const folders: string[] = [];
    for (const { entry } of lines()) {
      if (isStopped()) return;
      this.#deletion.tick();
      const path = entryPathLatin1(entry);
      if (path === "" || !isConfined(path)) continue;
      if (entry.type === "directory") folders.push(path);
      else this.#remove(entry);
    }
    for (const path of folders.reverse()) {
      if (isStopped()) return;
      this.#deletion.tick();
      this.#removeFolder(path);
    }
  }

  close(): void {
    this.#copy.close();
    this.#versions?.close();
    for (const handle of this.#versionsHandles.splice(0)) {
      this.#deletion.posix.closeDirectory(handle);
    }
  }

  #remove(entry: ManifestEntry): void {
    const { posix, trust } = this.#deletion;
    const path = storedPathLatin1(entry);
    if (!isConfined(path)) return;
    const name = cNameOfLatin1(lastName(path));
    const at = this.#copy.open(parentPath(path));
    const stands = at < 0 ? at : standsAsRecorded(posix, at, name, entry, trust);
    // Nothing there: its line goes, and that is all.
    if (stands === -ENOENT || stands === -ENOTDIR) return;
    if (stands < 0) return this.#keep(path, `cannot be looked at: ${errnoText(-stands)}`);
    if (stands === 0) return this.#keep(path, "was altered by hand");
    const result = this.#versions === undefined
      ? posix.unlink(at, name)
      : this.#moveToVersions(at, path, name);
    if (result < 0) return this.#keep(path, `cannot be removed: ${errnoText(-result)}`);
    this.#copy.markChanged();
    this.#deleted.entries++;
  }

  #moveToVersions(from: DirectoryHandle, path: string, name: Uint8Array): number {
    const { posix } = this.#deletion;
    const to = this.#versions!.open(parentPath(path));
    if (to < 0) return to;
    const taken = posix.statAt(to, name, newStat());
    if (taken !== -ENOENT) return taken < 0 ? taken : -EEXIST;
    return posix.rename(from, name, to, name);
  }

  #removeFolder(path: string): void {
    const { posix } = this.#deletion;
    const name = cNameOfLatin1(lastName(path));
    const at = this.#copy.open(parentPath(path));
    const result = at < 0 ? at : posix.removeDirectory(at, name);
    if (result === -ENOENT || (at < 0 && result === -ENOTDIR)) return;
    if (result === -ENOTDIR) return this.#keep(path, "is no folder there any more");
    if (result >= 0) {
      this.#copy.markChanged();
      this.#deleted.folders++;
      return;
    }
    const isFull = result === -ENOTEMPTY || result === -EEXIST || result === -EISDIR;
    // What is kept in it was named already.
    if (isFull && this.#holding.has(path)) this.#hold(path);
    else {
      this.#keep(
        path,
        isFull
          ? "holds something that is not of this backup"
          : `cannot be removed: ${errnoText(-result)}`,
      );
    }
  }

  #keep(path: string, why: string): void {
    this.#hold(path);
    this.#deleted.warnings.push(
      `${this.#deletion.name}/${utf8OfLatin1(path)} is gone from the source and stays: it ${why}`,
    );
  }

  #hold(path: string): void {
    this.#holding.add(parentPath(path));
  }
}

/** Lists what stands in the dated folder, with what the list had before. Answers how many lines were added. */
function listVersions(
  { posix, destination, bindingKey, tick }: Omit<Deletion, "trust">,
  header: ManifestHeader,
  folder: string,
  gone: ReadonlySet<string>,
): number {
  const display = versionsDisplay(destination, bindingKey);
  const versions = openVersions(posix, destination, bindingKey, false);
  if (versions === -ENOENT) return 0;
  if (versions < 0) throw posixError(versions, "open", display);
  const into = posix.openDirectory(versions, cName(folder));
  const last = new LastDirectory(posix, into, false);
  try {
    const before = openList(posix, versions, folder, display, destination.keys);
    const known = before === undefined ? [] : [...linesOf(before)];
    const paths = new Set(known.map(({ entry }) => entryPathLatin1(entry)));
    const intent = openIntent({ posix, destination, bindingKey });
    if (intent === undefined) return 0;
    let added = 0;
    const lines = replaceList(
      posix,
      versions,
      folder,
      display,
      destination.keys,
      before?.header ?? header,
      (add) => {
        for (const { text } of known) add(text);
        for (const { entry, text } of linesOf(intent)) {
          tick();
          const path = entryPathLatin1(entry);
          if (!gone.has(path) || paths.has(path)) continue;
          // Of a folder, and of what could only be recorded, the line is all there is.
          const isLine = entry.type === "directory" || entry.recordedOnly === true;
          if (!isLine && (into < 0 || !standsIn(posix, last, entry))) continue;
          if (entry.type !== "directory") added++;
          add(text);
        }
      },
    );
    if (lines === 0) posix.removeDirectory(versions, cName(folder));
    return added;
  } finally {
    last.close();
    if (into >= 0) posix.closeDirectory(into);
    posix.closeDirectory(versions);
  }
}

/** Whatever stands under the entry's name; true also when that cannot be told. */
function standsIn(posix: Posix, root: LastDirectory, entry: ManifestEntry): boolean {
  if (entry.recordedOnly === true) return false;
  const path = storedPathLatin1(entry);
  if (!isConfined(path)) return true;
  const at = root.open(parentPath(path));
  const found = at < 0 ? at : posix.statAt(at, cNameOfLatin1(lastName(path)), newStat());
  return found !== -ENOENT && found !== -ENOTDIR;
}

/** Replaces the manifest with one that lacks these lines. Answers the folders above them that have no line. */
function dropLines(
  deletion: Omit<Deletion, "trust">,
  gone: ReadonlySet<string>,
): ReadonlySet<string> {
  const bare = new Set<string>();
  for (const path of gone) {
    for (let above = parentPath(path); above !== ""; above = parentPath(above)) {
      if (bare.has(above)) break;
      bare.add(above);
    }
  }
  if (gone.size === 0) return bare;
  const { posix, destination, bindingKey, tick } = deletion;
  const manifest = openCopyManifest(deletion, bindingKey);
  if (manifest === undefined) return new Set();
  const name = manifestName(bindingKey);
  const display = `${destination.display}/.backup-agent/manifests/${name}`;
  const { manifests: at, keys } = destination;
  writeWhole({ posix, at, name, display, keys }, manifest.header, (add) => {
    for (const { entry, text } of linesOf(manifest)) {
      tick();
      const path = entryPathLatin1(entry);
      if (entry.type === "directory") bare.delete(path);
      if (!gone.has(path)) add(text);
    }
  });
  return bare;
}

/** As far as they are empty. What cannot be removed stays, an empty folder more. */
function removeBare(
  { posix, destination, name }: Omit<Deletion, "trust">,
  bare: ReadonlySet<string>,
): void {
  if (bare.size === 0) return;
  const copy = posix.openDirectory(destination.root, cName(name));
  if (copy < 0) return;
  const folders = new FoldersAsTheyWere(posix, destination, copy);
  for (const path of [...bare].sort((a, b) => b.length - a.length)) {
    if (!isConfined(path)) continue;
    const at = folders.open(parentPath(path));
    if (at >= 0 && posix.removeDirectory(at, cNameOfLatin1(lastName(path))) >= 0) {
      folders.markChanged();
    }
  }
  folders.close();
  posix.closeDirectory(copy);
}

function writeIntent(deletion: Deletion, request: DeletionRequest): void {
  const { posix, destination, bindingKey, tick } = deletion;
  const manifest = openCopyManifest(deletion, bindingKey);
  if (manifest === undefined) return;
  const wanted = new Set(request.paths);
  const { format, version, name } = manifest.header;
  const header: ManifestHeader = {
    format,
    version,
    name,
    sourcePath: request.sourcePath,
    runId: request.runId,
    stage: request.stage,
    createdAt: request.createdAt,
    ...(request.versionsAt === undefined ? {} : { versionsAt: request.versionsAt }),
  };
  const place = {
    posix,
    at: destination.manifests,
    name: intentName(bindingKey),
    display: intentDisplay(deletion),
    keys: destination.keys,
  };
  writeWhole(place, header, (add) => {
    for (const { entry, text } of linesOf(manifest)) {
      tick();
      if (wanted.has(entryPathLatin1(entry))) add(text);
    }
  });
}

function openIntent(
  at: Pick<Deletion, "posix" | "destination" | "bindingKey">,
): ReturnType<typeof openManifest> {
  return openManifest(
    at.posix,
    at.destination.manifests,
    intentName(at.bindingKey),
    intentDisplay(at),
    at.destination.keys,
  );
}

function* intentLines(
  at: Pick<Deletion, "posix" | "destination" | "bindingKey">,
): Generator<ManifestLine> {
  const intent = openIntent(at);
  if (intent !== undefined) yield* linesOf(intent);
}

function openCopyManifest(
  { posix, destination }: Pick<Deletion, "posix" | "destination">,
  bindingKey: string,
): ReturnType<typeof openManifest> {
  const name = manifestName(bindingKey);
  const display = `${destination.display}/.backup-agent/manifests/${name}`;
  return openManifest(posix, destination.manifests, name, display, destination.keys);
}

/** Beside the manifest: lines of what is being removed. */
function intentName(bindingKey: string): string {
  return `${bindingKey}.deleting`;
}

function intentDisplay(at: Pick<Deletion, "destination" | "bindingKey">): string {
  return `${at.destination.display}/.backup-agent/manifests/${intentName(at.bindingKey)}`;
}

function flush(posix: Posix, destination: CopyDestination): void {
  if (!destination.batchFlush) return;
  const result = posix.flushFileSystem(destination.root);
  if (result < 0) throw posixError(result, "flush", destination.display);
}

function removeUnused(
  posix: Posix,
  destination: CopyDestination,
  bindingKey: string,
  folder: string,
): void {
  const versions = openVersions(posix, destination, bindingKey, false);
  if (versions < 0) return;
  posix.removeDirectory(versions, cName(folder));
  posix.closeDirectory(versions);
}
