/**
 * Gives copies the extended attributes of their originals, and takes from them what they only inherited. Rule: what the
 * destination refuses is said, never a reason to lose the content.
 */
import {
  E2BIG,
  EACCES,
  EINVAL,
  ENODATA,
  ENOENT,
  ENOSPC,
  ENOSYS,
  EOPNOTSUPP,
  EPERM,
  ERANGE,
} from "../../platform/errno.ts";
import { cName, type DirectoryHandle, type Posix } from "../../platform/posix.ts";
import { ACCESS_ACL, DEFAULT_ACL, hasNoXattrs, type Xattr } from "../../source/xattrs.ts";

/** Nothing failed, but not everything could be set. */
export const SOME_REFUSED = 1;

/** 0, `SOME_REFUSED`, or -errno when the disk itself failed. */
export type Kept = number;

const REFUSALS: ReadonlySet<number> = new Set([
  EPERM,
  EACCES,
  EOPNOTSUPP,
  ENOSYS,
  EINVAL,
  // The room for attributes is used up; were it that of the disk, what is written next would say so.
  ENOSPC,
  E2BIG,
  ERANGE,
]);
const CURRENT = cName(".");

/** Of an open file. */
export function setXattrsOfFile(posix: Posix, fd: number, list: readonly Xattr[]): Kept {
  return setEach(list, (name, value) => posix.setFileXattr(fd, name, value));
}

/** Of what stands under a name: a link's own, never those of what it leads to. */
export function setXattrsAt(
  posix: Posix,
  at: DirectoryHandle,
  name: Uint8Array,
  list: readonly Xattr[],
): Kept {
  return setEach(list, (attribute, value) => posix.setXattr(at, name, attribute, value));
}

/** Of a folder, which may have stood there before: attributes that are not in `list` are removed. */
export function setXattrsOfDirectory(
  posix: Posix,
  handle: DirectoryHandle,
  list: readonly Xattr[],
): Kept {
  const names = posix.listXattrs(handle, CURRENT);
  if (typeof names === "number") {
    // Where /proc is missing nobody can ask for attributes: -ENOENT.
    if (hasNoXattrs(names) || names === -ENOENT) return list.length === 0 ? 0 : SOME_REFUSED;
    return worse(0, names);
  }
  let kept: Kept = 0;
  for (const name of names) {
    if (!isOurs(name) || list.some((one) => one.name === name)) continue;
    kept = worse(kept, posix.removeXattr(handle, CURRENT, name));
    if (kept < 0) return kept;
  }
  const set = setXattrsAt(posix, handle, CURRENT, list);
  return set < 0 ? set : Math.max(kept, set);
}

/** What is made in this folder from now on inherits no ACL from it. Where it cannot be told, there is none. */
export function dropDefaultAcl(posix: Posix, handle: DirectoryHandle): void {
  const names = posix.listXattrs(handle, CURRENT);
  if (typeof names !== "number" && names.includes(DEFAULT_ACL)) {
    posix.removeXattr(handle, CURRENT, DEFAULT_ACL);
  }
}

/** The rest (`security.selinux`, `btrfs.…`) is what the system itself gives every entry. */
function isOurs(name: string): boolean {
  return name.startsWith("user.") || name.startsWith("trusted.") || name === ACCESS_ACL ||
    name === DEFAULT_ACL || name === "security.capability";
}

function setEach(
  list: readonly Xattr[],
  set: (name: string, value: Uint8Array) => number,
): Kept {
  let kept: Kept = 0;
  for (const { name, value } of list) {
    kept = worse(kept, set(name, value));
    if (kept < 0) return kept;
  }
  return kept;
}

function worse(kept: Kept, result: number): Kept {
  if (result >= 0 || result === -ENODATA) return kept;
  return isRefusal(result) ? SOME_REFUSED : result;
}

/** The attribute is not taken there, which is no failure of the disk. */
export function isRefusal(result: number): boolean {
  return REFUSALS.has(-result);
}
