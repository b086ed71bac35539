/**
 * The folder that is restored into. Rule: everything is made under a temporary name in a folder of this restore's own and
 * moved to its place whole; that folder is gone afterwards, and what a crash left of an earlier one is cleared.
 */
import { BackupError } from "../../../../protocol/base/errors.ts";
import { ancestry, identityOf } from "../../../destinations/identity.ts";
import { holdsCopies } from "../../../destinations/other_kind.ts";
import { waysOfWriting } from "../../../destinations/ways_of_writing.ts";
import { EEXIST, ENOENT, ENOTDIR, EXDEV, posixError } from "../../../platform/errno.ts";
import {
  cName,
  type DirectoryHandle,
  KIND_DIRECTORY,
  newStat,
  type Posix,
} from "../../../platform/posix.ts";
import { cNameOfLatin1, removeTree } from "../tree_removal.ts";

export const STAGE_PREFIX = ".backup-agent-restore-";
const ACL_DEFAULT = "system.posix_acl_default";
const ACL_ACCESS = "system.posix_acl_access";

export interface RestoreTarget {
  display: string;
  root: DirectoryHandle;
  /** This thread's temporary names. */
  stage: DirectoryHandle;
  batchFlush: boolean;
  directWrites: boolean;
  /** New folders get an access list from the one above, which is none of the source's. */
  inheritsAcl: boolean;
  close(): void;
}

/**
 * Refuses a target where the restore would write into what it reads from.
 * @throws {BackupError} `usage`
 */
export function refuseOwnSource(
  posix: Posix,
  target: string,
  sources: readonly { display: string; root: DirectoryHandle }[],
  names: readonly string[],
): void {
  const refuse = (source: string) => {
    throw new BackupError("usage", `Restoring to ${target} would write into ${source} itself`, {
      path: target,
      hint: "Choose another folder with --target",
    });
  };
  const above = new Set(ancestry(posix, target));
  const root = posix.openRoot(cName(target));
  if (root >= 0 && holdsCopies(posix, root)) {
    posix.closeDirectory(root);
    throw new BackupError("usage", `${target} is a destination with copies of its own`, {
      path: target,
      hint: "Restore into another folder, or into a new one inside it",
    });
  }
  const tops = root < 0 ? [] : names.flatMap((name) => {
    const handle = posix.openDirectory(root, cName(name));
    if (handle < 0) return [];
    const identity = identityOf(posix, handle);
    posix.closeDirectory(handle);
    return identity === undefined ? [] : [identity];
  });
  if (root >= 0) posix.closeDirectory(root);
  for (const { display, root: source } of sources) {
    const self = identityOf(posix, source);
    if (self !== undefined && above.has(self)) refuse(display);
    const aboveSource = ancestry(posix, display);
    if (tops.some((top) => aboveSource.includes(top))) refuse(display);
  }
}

/** Makes the folder when only it is missing, clears what a crash left, and makes the stage `id`. */
export function prepareTarget(
  posix: Posix,
  path: string,
  id: string,
  parts: number,
  tick: () => void,
): { close(): void } {
  const root = openOrMake(posix, path);
  try {
    clearLeftovers(posix, root, tick);
    const name = cName(STAGE_PREFIX + id);
    const made = posix.makeDirectory(root, name, 0o700);
    if (made < 0) throw posixError(made, "write to", path);
    const stage = posix.openDirectory(root, name);
    if (stage < 0) throw posixError(stage, "open", `${path}/${STAGE_PREFIX}${id}`);
    // Held while this restore lives, so that nobody takes its stage for a leftover.
    if (posix.name === "libc") posix.tryLock(stage);
    posix.removeXattr(stage, cName("."), ACL_DEFAULT);
    for (let part = 0; part < parts; part++) {
      const sub = posix.makeDirectory(stage, cName(String(part)), 0o700);
      if (sub < 0) {
        posix.closeDirectory(stage);
        throw posixError(sub, "write to", path);
      }
    }
    return {
      close() {
        posix.closeDirectory(stage);
        removeTree(posix, root, name, tick);
        posix.closeDirectory(root);
      },
    };
  } catch (thrown) {
    posix.closeDirectory(root);
    throw thrown;
  }
}

/** Opens what `prepareTarget` made, for one thread. */
export function openTarget(posix: Posix, path: string, id: string, part: number): RestoreTarget {
  const root = posix.openRoot(cName(path));
  if (root < 0) throw posixError(root, "open", path);
  const own = posix.openDirectory(root, cName(STAGE_PREFIX + id));
  const stage = own < 0 ? own : posix.openDirectory(own, cName(String(part)));
  if (own >= 0) posix.closeDirectory(own);
  if (stage < 0) {
    posix.closeDirectory(root);
    throw posixError(stage, "open", `${path}/${STAGE_PREFIX}${id}`);
  }
  const info = posix.fileSystemInfo(root);
  const type = typeof info === "number" ? "unknown" : info.type;
  return {
    display: path,
    root,
    stage,
    ...waysOfWriting(posix, type),
    inheritsAcl: typeof posix.getXattr(root, cName("."), ACL_DEFAULT) !== "number",
    close() {
      posix.closeDirectory(stage);
      posix.closeDirectory(root);
    },
  };
}

function openOrMake(posix: Posix, path: string): DirectoryHandle {
  const root = posix.openRoot(cName(path));
  if (root !== -ENOENT) {
    if (root === -ENOTDIR) {
      throw new BackupError("usage", `${path} is no folder`, {
        path,
        hint: "Name a folder to restore into; it is made when only it is missing",
      });
    }
    if (root < 0) throw posixError(root, "open", path);
    return root;
  }
  const parent = path.replace(/\/+[^/]*$/, "") || "/";
  const above = posix.openRoot(cName(parent));
  if (above === -ENOENT) {
    throw new BackupError("usage", `The folder above ${path} does not exist`, {
      path,
      hint: `Make ${parent} first`,
    });
  }
  if (above < 0) throw posixError(above, "open", parent);
  const made = posix.makeDirectory(above, cName(path.slice(path.lastIndexOf("/") + 1)), 0o755);
  posix.closeDirectory(above);
  if (made < 0 && made !== -EEXIST) throw posixError(made, "create", path);
  const handle = posix.openRoot(cName(path));
  if (handle < 0) throw posixError(handle, "open", path);
  return handle;
}

/** Stages whose restore is dead: its lock is to be had. Where there are no locks they stay, which does no harm. */
function clearLeftovers(posix: Posix, root: DirectoryHandle, tick: () => void): void {
  if (posix.name !== "libc") return;
  const names = posix.list(root);
  if (typeof names === "number") return;
  const stat = newStat();
  for (const name of names.filter((one) => one.startsWith(STAGE_PREFIX))) {
    const bytes = cNameOfLatin1(name);
    if (posix.statAt(root, bytes, stat) < 0 || stat.kind !== KIND_DIRECTORY) continue;
    const handle = posix.openDirectory(root, bytes);
    if (handle < 0) continue;
    if (posix.tryLock(handle) === 0) removeTree(posix, root, bytes, tick);
    posix.closeDirectory(handle);
  }
}

/**
 * Moves `staged` to its final name; -EEXIST when something stands there and must not be replaced. Without `overwrite`
 * that holds also for what appeared this very moment, as far as the file system has hard links.
 */
export function putInPlace(
  posix: Posix,
  stage: DirectoryHandle,
  staged: Uint8Array,
  folder: DirectoryHandle,
  name: Uint8Array,
  overwrite: boolean,
): number {
  if (!overwrite) {
    const linked = posix.link(stage, staged, folder, name);
    if (linked === 0) posix.unlink(stage, staged);
    if (linked === 0 || linked === -EEXIST || linked === -EXDEV) return linked;
    const found = posix.statAt(folder, name, newStat());
    if (found !== -ENOENT) return found < 0 ? found : -EEXIST;
  }
  return posix.rename(stage, staged, folder, name);
}

/** Takes away the access lists that a new folder has from the one above it. */
export function dropInheritedAcl(posix: Posix, at: DirectoryHandle, name: Uint8Array): void {
  posix.removeXattr(at, name, ACL_DEFAULT);
  posix.removeXattr(at, name, ACL_ACCESS);
}
