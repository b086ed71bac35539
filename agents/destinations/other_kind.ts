/**
 * Folders that hold another kind of copies than was named: a repository, or plain copies. Rule: nothing is written into such a
 * one, and who named it is told how to name it.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import { cName, type DirectoryHandle, newStat, type Posix } from "../platform/posix.ts";
import { MARKER_FILE, OWN_DIRECTORY } from "./layout.ts";

export type OtherKind = "copies" | "repository";

const REPOSITORY_FOLDERS = ["data", "index", "keys", "snapshots"] as const;
const KEY = /^[0-9a-f]{64}$/;

/** Whether a repository in restic's format is there; a new one has a key and no snapshots yet. */
export function holdsRepository(posix: Posix, root: DirectoryHandle): boolean {
  if (posix.statAt(root, cName("config"), newStat()) < 0) return false;
  const keys = posix.openDirectory(root, cName("keys"));
  if (keys < 0) return false;
  const names = posix.list(keys);
  posix.closeDirectory(keys);
  if (typeof names !== "number" && names.some((name) => KEY.test(name))) return true;
  return REPOSITORY_FOLDERS.every((name) => {
    const handle = posix.openDirectory(root, cName(name));
    if (handle >= 0) posix.closeDirectory(handle);
    return handle >= 0;
  });
}

/** Whether a destination of plain copies is there. */
export function holdsCopies(posix: Posix, root: DirectoryHandle): boolean {
  const own = posix.openDirectory(root, cName(OWN_DIRECTORY));
  if (own < 0) return false;
  const found = posix.statAt(own, cName(MARKER_FILE), newStat());
  posix.closeDirectory(own);
  return found >= 0;
}

/** For whoever is to write there: `key` as it was typed. */
export function refuseOtherKind(key: string, path: string, kind: OtherKind): BackupError {
  return kind === "repository"
    ? new BackupError("usage", `${key} holds a repository in restic's format, not plain copies`, {
      path,
      hint: `Did you mean restic:${key}? Plain copies need a folder of their own`,
    })
    : new BackupError("usage", `${key} holds plain copies, and no repository`, {
      path,
      hint: `Did you mean ${withoutPrefix(key)}? A repository needs a folder of its own`,
    });
}

/** For whoever is to read plain copies at a path where no marker is. */
export function noDestination(path: string, isRepository: boolean): BackupError {
  return new BackupError("destination_missing", `${path} is no backup-agent destination`, {
    path,
    hint: isRepository
      ? `It is a repository: name it as restic:${path}`
      : "Mount the disk, or name the folder that holds .backup-agent",
  });
}

/** The same for a repository. */
export function copiesInstead(path: string): BackupError {
  return new BackupError("destination_missing", `${path} holds plain copies, and no repository`, {
    path,
    hint: `Name it without restic:, as ${path}`,
  });
}

function withoutPrefix(key: string): string {
  return key.replace(/^restic:/, "");
}
