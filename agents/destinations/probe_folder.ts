/**
 * A folder of our own at a destination, in which things are tried out. Rule: flat, in the stage, gone afterwards; what a
 * crash leaves in it is swept by whoever probes next, and nothing outside it is ever touched.
 */
import {
  cName,
  cNameOfLatin1,
  type DirectoryHandle,
  KIND_DIRECTORY,
  newStat,
  type Posix,
} from "../platform/posix.ts";

/** No binding key begins with a dot, so no source's stage has this name. */
export const PROBE_DIRECTORY = ".probe";

/** What `use` answers of the empty folder; undefined where none can be made (then nothing can be tried). */
export function inProbeFolder<T>(
  posix: Posix,
  stage: DirectoryHandle,
  use: (folder: DirectoryHandle) => T,
): T | undefined {
  const name = cName(PROBE_DIRECTORY);
  posix.makeDirectory(stage, name, 0o700);
  const folder = posix.openDirectory(stage, name);
  if (folder < 0) return undefined;
  try {
    if (!empty(posix, folder)) return undefined;
    return use(folder);
  } finally {
    empty(posix, folder);
    posix.closeDirectory(folder);
    posix.removeDirectory(stage, name);
  }
}

/** Whether nothing is in it any more. A refused FIFO can leave a plain file behind, so what is there is asked for. */
function empty(posix: Posix, folder: DirectoryHandle): boolean {
  const names = posix.list(folder);
  if (typeof names === "number") return false;
  const stat = newStat();
  return names.every((latin1) => {
    const name = cNameOfLatin1(latin1);
    const isFolder = posix.statAt(folder, name, stat) === 0 && stat.kind === KIND_DIRECTORY;
    return (isFolder ? posix.removeDirectory(folder, name) : posix.unlink(folder, name)) >= 0;
  });
}
