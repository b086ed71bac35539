/**
 * What stands at a place, and whether copies could go there. Rule: looking changes nothing; trying leaves nothing behind.
 */
import type * as v from "valibot";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { InspectPlace } from "../../protocol/mesh/place_methods.ts";
import { inspect } from "../destinations/local_destination.ts";
import { posixError } from "../platform/errno.ts";
import { cName, type DirectoryHandle, type Posix } from "../platform/posix.ts";

export type PlaceFound = v.InferOutput<typeof InspectPlace.result>;

const PROBE = "backup-agent can write here\n";

/** `probeName`: a name that nothing has, for the small file that is written. */
export function inspectPlace(
  posix: Posix,
  path: string,
  { writes, probeName }: { writes: boolean; probeName: string },
): PlaceFound {
  const found: PlaceFound = {
    path,
    exists: false,
    fileSystem: null,
    freeBytes: null,
    totalBytes: null,
    destinationId: null,
    copies: [],
  };
  try {
    const seen = inspect(posix, path, []);
    found.exists = seen.exists;
    found.destinationId = seen.destinationId ?? null;
    found.copies = seen.bindings.map(({ name, hostId, sourcePath }) => ({
      name,
      hostId,
      sourcePath,
    }));
    // A place that is not there yet is made by the first run, in the folder above it.
    const folder = openFolder(posix, seen.exists ? path : parentOf(path));
    try {
      const info = posix.fileSystemInfo(folder);
      if (typeof info !== "number") {
        found.fileSystem = info.type;
        found.freeBytes = info.freeBytes;
        found.totalBytes = info.totalBytes;
      }
      if (!writes) return found;
      found.isWritable = false;
      tryWriting(posix, folder, path, probeName);
      found.isWritable = true;
    } finally {
      posix.closeDirectory(folder);
    }
  } catch (thrown) {
    const error = asBackupError(thrown);
    if (error.code === "internal" || error.code === "rejected") throw thrown;
    found.problem = error.message;
  }
  return found;
}

function openFolder(posix: Posix, path: string): DirectoryHandle {
  const handle = posix.openRoot(cName(path));
  if (handle < 0) throw posixError(handle, "open", path);
  return handle;
}

function parentOf(path: string): string {
  return path.replace(/\/+[^/]*$/, "") || "/";
}

/** Writes, flushes, reads back, removes. @throws {BackupError} at the first step that fails */
function tryWriting(posix: Posix, folder: DirectoryHandle, path: string, probe: string): void {
  const name = cName(probe);
  const fd = posix.createFile(folder, name);
  if (fd < 0) throw posixError(fd, "write to", path);
  try {
    const bytes = new TextEncoder().encode(PROBE);
    const written = posix.writeAt(fd, bytes, 0);
    if (written < 0) throw posixError(written, "write to", path);
    const flushed = posix.flushFile(fd);
    if (flushed < 0) throw posixError(flushed, "flush", path);
    const back = new Uint8Array(bytes.length);
    const read = posix.readAt(fd, back, 0);
    if (read < 0) throw posixError(read, "read from", path);
    if (new TextDecoder().decode(back) !== PROBE) {
      throw new BackupError("damaged", `${path} gives back other bytes than were written`, {
        path,
      });
    }
  } finally {
    posix.close(fd);
    posix.unlink(folder, name);
  }
}
