/**
 * The folders in a folder, with what lies below each. Rule: no folder is left out because something in it failed, and a size
 * that is not the whole says so.
 */
import type { FoundDirectory } from "../../protocol/mesh/place_methods.ts";
import { errnoText, posixError } from "../platform/errno.ts";
import {
  cName,
  cNameOfLatin1,
  type DirectoryHandle,
  KIND_DIRECTORY,
  KIND_FILE,
  newStat,
  type Posix,
  type Stat,
} from "../platform/posix.ts";
import { latin1OfUtf8, utf8OfLatin1 } from "../source/entry_table.ts";

/** Levels below one folder; nobody has more, but a file system that is broken may. */
const DEPTH_MAX = 200;

export interface ListedFolder {
  directories: FoundDirectory[];
  files: number;
  sizeBytes: number;
}

export interface ListingTools {
  posix: Posix;
  monotonicMs(): number;
  /** Called before each disk operation. */
  tick(): void;
}

/** `withinMs` for all sizes; 0 counts nothing. @throws {BackupError} when the folder itself cannot be listed */
export function listDirectories(
  tools: ListingTools,
  path: string,
  withinMs: number,
): ListedFolder {
  const { posix, tick, monotonicMs } = tools;
  tick();
  const folder = posix.openRoot(cName(path));
  if (folder < 0) throw posixError(folder, "open", path);
  try {
    const names = posix.list(folder);
    if (typeof names === "number") throw posixError(names, "list", path);
    const stat = newStat();
    const found: ListedFolder = { directories: [], files: 0, sizeBytes: 0 };
    for (const name of names.sort()) {
      tick();
      const result = posix.statAt(folder, cNameOfLatin1(name), stat);
      if (result === 0 && stat.kind === KIND_FILE) {
        found.files++;
        found.sizeBytes += stat.sizeBytes;
      } else if (result < 0 || stat.kind === KIND_DIRECTORY) {
        found.directories.push(namedDirectory(path, name, result));
      }
    }
    if (withinMs > 0) {
      const endMs = monotonicMs() + withinMs;
      const open = found.directories.filter((d) => d.problem === undefined);
      open.forEach((directory, at) => {
        // What one does not use of its share the others have.
        const share = Math.max(0, endMs - monotonicMs()) / (open.length - at);
        count(tools, folder, directory, monotonicMs() + share);
      });
    }
    return found;
  } finally {
    posix.closeDirectory(folder);
  }
}

function namedDirectory(path: string, name: string, result: number): FoundDirectory {
  const text = utf8OfLatin1(name);
  const problem = result < 0
    ? errnoText(-result)
    : latin1OfUtf8(text) === name
    ? undefined
    : "Its name is not UTF-8 text, so it cannot be named here";
  return {
    name: text,
    path: `${path === "/" ? "" : path}/${text}`,
    isHidden: name.startsWith("."),
    files: 0,
    sizeBytes: 0,
    isCounted: false,
    ...(problem === undefined ? {} : { problem }),
  };
}

/** Counts what lies below, on its own file system, until `endMs`. */
function count(
  { posix, tick, monotonicMs }: ListingTools,
  parent: DirectoryHandle,
  into: FoundDirectory,
  endMs: number,
): void {
  const stat = newStat();
  let isWhole = true;
  let isOver = false;
  let device: number | undefined;
  const miss = (why: string): void => {
    isWhole = false;
    into.problem ??= why;
  };

  function below(at: DirectoryHandle, name: Uint8Array, depth: number): void {
    isOver ||= monotonicMs() >= endMs;
    if (isOver || depth > DEPTH_MAX) return void (isWhole = false);
    tick();
    const handle = posix.openDirectory(at, name);
    if (handle < 0) return miss(`A part of it cannot be read: ${errnoText(-handle)}`);
    try {
      const own: Stat = newStat();
      posix.statDirectory(handle, own);
      device ??= own.device;
      if (own.device !== device) {
        return miss("Another file system is mounted in it, which is not counted");
      }
      const names = posix.list(handle);
      if (typeof names === "number") {
        return miss(`A part of it cannot be read: ${errnoText(-names)}`);
      }
      for (const child of names) {
        tick();
        const childName = cNameOfLatin1(child);
        if (posix.statAt(handle, childName, stat) < 0) continue;
        if (stat.kind === KIND_DIRECTORY) {
          below(handle, childName, depth + 1);
          if (isOver) return;
        } else if (stat.kind === KIND_FILE) {
          into.files++;
          into.sizeBytes += stat.sizeBytes;
        }
      }
    } finally {
      posix.closeDirectory(handle);
    }
  }

  below(parent, cName(into.name), 0);
  into.isCounted = isWhole;
}
