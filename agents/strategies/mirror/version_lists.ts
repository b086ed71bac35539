/**
 * `versions/<key>/`: dated folders of earlier versions, each file under its own path, and beside each folder a list of the
 * manifest lines they had. Rule: a list names only what stands in its folder, and is replaced whole.
 */
import { VERSIONS_DIRECTORY } from "../../destinations/layout.ts";
import { EEXIST, ENOENT, posixError } from "../../platform/errno.ts";
import { cName, type DirectoryHandle, type Posix } from "../../platform/posix.ts";
import { type CopyDestination, type ListKeys, listName } from "./list_keys.ts";
import { writeWhole } from "./list_writer.ts";
import { type ManifestHeader, type ManifestLine, openManifest } from "./manifest_file.ts";

/** `2026-11-24T02-51-09Z`, and `-2` …, see `freeFolder`. No colons: not every file system has them. */
const FOLDER = /^(\d{4,6}-\d\d-\d\dT\d\d-\d\d-\d\dZ)(?:-([1-9]\d{0,5}))?$/;
const LIST_SUFFIX = ".jsonl";

export function isFolderName(name: string): boolean {
  return FOLDER.test(name);
}

/** The folder name of a run that began to keep versions at `at`, an ISO date. */
function folderOf(at: string): string {
  return `${at.slice(0, at.indexOf(".") < 0 ? -1 : at.indexOf("."))}Z`.replaceAll(":", "-");
}

/** Older first. */
export function compareFolders(a: string, b: string): number {
  const [, dateA, numberA] = FOLDER.exec(a)!;
  const [, dateB, numberB] = FOLDER.exec(b)!;
  if (dateA !== dateB) return dateA! < dateB! ? -1 : 1;
  return Number(numberA ?? 1) - Number(numberB ?? 1);
}

/** How people find a list, or with a path a version. */
export function versionsDisplay(destination: CopyDestination, bindingKey: string): string {
  return `${destination.display}/.backup-agent/${VERSIONS_DIRECTORY}/${bindingKey}`;
}

/** `versions/<key>`; -errno, -ENOENT when there is none and it is not to be made. The caller closes it. */
export function openVersions(
  posix: Posix,
  destination: CopyDestination,
  bindingKey: string,
  create: boolean,
): DirectoryHandle {
  const above = level(posix, destination.own, VERSIONS_DIRECTORY, create);
  if (above < 0) return above;
  const handle = level(posix, above, bindingKey, create);
  posix.closeDirectory(above);
  return handle;
}

function level(
  posix: Posix,
  at: DirectoryHandle,
  name: string,
  create: boolean,
): DirectoryHandle {
  const opened = posix.openDirectory(at, cName(name));
  if (opened !== -ENOENT || !create) return opened;
  const made = posix.makeDirectory(at, cName(name), 0o700);
  if (made < 0 && made !== -EEXIST) return made;
  posix.flushDirectory(at);
  return posix.openDirectory(at, cName(name));
}

/** Names of the dated folders that have a list, oldest first. @throws {BackupError} when it cannot be listed */
export function listedFolders(posix: Posix, versions: DirectoryHandle, display: string): string[] {
  const names = posix.list(versions);
  if (typeof names === "number") throw posixError(names, "list", display);
  return names
    .map(listName)
    .filter((name) => name.endsWith(LIST_SUFFIX))
    .map((name) => name.slice(0, -LIST_SUFFIX.length))
    .filter(isFolderName)
    .sort(compareFolders)
    // A crash may have left a list in both of its forms.
    .filter((name, i, all) => name !== all[i - 1]);
}

/**
 * A folder name for versions of a run of `createdAt`, newer than all there are: where a clock was set back, or one second saw
 * several runs, the newest one's date with the next number. So names have the order of the runs, whatever clocks say.
 */
export function freeFolder(
  posix: Posix,
  destination: CopyDestination,
  bindingKey: string,
  createdAt: string,
): string {
  const base = folderOf(createdAt);
  const versions = openVersions(posix, destination, bindingKey, false);
  if (versions < 0) return base;
  const names = posix.list(versions);
  posix.closeDirectory(versions);
  const newest = (typeof names === "number" ? [] : names)
    .map(listName)
    .map((name) => name.endsWith(LIST_SUFFIX) ? name.slice(0, -LIST_SUFFIX.length) : name)
    .filter(isFolderName).sort(compareFolders).at(-1);
  if (newest === undefined || compareFolders(base, newest) > 0) return base;
  const [, date, number] = FOLDER.exec(newest)!;
  return `${date}-${Number(number ?? 1) + 1}`;
}

/** The list of a folder, or undefined when there is none. @throws {BackupError} `damaged` … as for a manifest */
export function openList(
  posix: Posix,
  versions: DirectoryHandle,
  folder: string,
  display: string,
  keys: ListKeys,
): ReturnType<typeof openManifest> {
  const name = folder + LIST_SUFFIX;
  return openManifest(posix, versions, name, `${display}/${name}`, keys);
}

/**
 * Replaces the list of a folder with what `fill` adds; without any line there is none afterwards. Answers how many lines
 * it has. @throws {BackupError} when it cannot be written; the one before then stays
 */
export function replaceList(
  posix: Posix,
  versions: DirectoryHandle,
  folder: string,
  display: string,
  keys: ListKeys,
  header: ManifestHeader,
  fill: (add: (text: string) => void) => void,
): number {
  const name = folder + LIST_SUFFIX;
  let lines = 0;
  const place = { posix, at: versions, name, display: `${display}/${name}`, keys };
  writeWhole(place, header, (add) =>
    fill((text) => {
      lines++;
      add(text);
    }), () => lines > 0);
  return lines;
}

/** Every line of an open list; it is closed at the end or when the loop is left. */
export function* linesOf(
  list: NonNullable<ReturnType<typeof openManifest>>,
): Generator<ManifestLine> {
  try {
    for (;;) {
      const next = list.lines.next();
      if (next.done) return;
      yield next.value;
    }
  } finally {
    list.close();
  }
}
