/** Which top name of a destination belongs to which source. Rule: a name that is taken is refused, never shared. */
import { BackupError } from "../../protocol/base/errors.ts";
import { newId } from "../../protocol/base/ids.ts";
import {
  cName,
  type DirectoryHandle,
  KIND_DIRECTORY,
  newStat,
  type Posix,
} from "../platform/posix.ts";
import { replaceSmallFile } from "../platform/small_file.ts";
import { OWN_DIRECTORY, README_FILE, README_TEXT } from "./layout.ts";
import { type Binding, FORMAT_VERSION, type Marker, readMarker, writeMarker } from "./marker.ts";
import { foldName } from "./name_folding.ts";

export interface WantedBinding {
  name: string;
  hostId: string;
  hostName: string;
  sourcePath: string;
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
 * Adds what is wanted to the marker and writes it when that changed anything. `folds`: see `OpenDestination.foldsCase`.
 * @throws {BackupError} `usage` when a name is taken
 */
export function bindNames(
  posix: Posix,
  root: DirectoryHandle,
  own: DirectoryHandle,
  path: string,
  wanted: WantedBinding[],
  createdAt: string,
  folds: boolean,
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
    const alike = folds && bindings.find((b) => isAlike(b.name, one.name));
    const conflict = alike
      ? `${path} cannot tell ${one.name} from ${alike.name}`
      : bindingConflict(bindings, one, isOccupied(posix, root, one.name), path);
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

/** For a further agent of a run. @throws {BackupError} `rejected` unless every name is bound to what is wanted */
export function keepBindings(
  bindings: readonly Binding[],
  wanted: readonly WantedBinding[],
  path: string,
): void {
  for (const one of wanted) {
    const isBound = bindings.some(({ name }) => name === one.name);
    const why = isBound
      ? bindingConflict(bindings, one, false, path)
      : `${path}/${one.name} is not prepared`;
    if (why !== undefined) {
      throw new BackupError("rejected", why, { path: `${path}/${one.name}`, retry: "elsewhere" });
    }
  }
}

/** Another name that a folding file system takes for the same. */
function isAlike(a: string, b: string): boolean {
  return a !== b && foldName(a) === foldName(b);
}

/** `s1`, `s2`, …: short, since it becomes part of file names. */
function freeKey(bindings: Binding[]): string {
  for (let n = bindings.length + 1;; n++) {
    if (!bindings.some((b) => b.key === `s${n}`)) return `s${n}`;
  }
}

/** Something stands under the name; an empty folder is nothing. */
export function isOccupied(posix: Posix, root: DirectoryHandle, name: string): boolean {
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
