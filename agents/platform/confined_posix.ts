/**
 * The platform port of a thread that may touch only what lies below some folders. Rule: it opens nothing outside them,
 * whatever links lead there and whatever changes at the same moment. Everything else the port does is relative to a
 * folder it has opened, and follows no links.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import { ENOSYS, EPERM, EXDEV } from "./errno.ts";
import { cName, type DirectoryHandle, newStat, type Posix } from "./posix.ts";

/** Levels that are climbed to see whether a folder lies below a root. */
const LEVELS_MAX = 10_000;

/** `roots`: absolute paths, which may be links themselves; none: everything may be touched. */
export function confine(posix: Posix, roots: readonly string[]): Posix {
  if (roots.length === 0) return posix;
  const allowed = roots.map(normalized);
  return { ...posix, openRoot: (path) => openInRoots(posix, allowed, textOf(path)) };
}

/** By its text alone, a path lies in one of the roots; links and `..` are looked at when it is opened. */
export function isInRoots(path: string, roots: readonly string[]): boolean {
  return roots.length === 0 ||
    roots.some((root) => pathBelow(normalized(root), normalized(path)) !== undefined);
}

function openInRoots(posix: Posix, roots: readonly string[], path: string): DirectoryHandle {
  const wanted = normalized(path);
  let refused = true;
  let result = -EXDEV;
  for (const root of roots) {
    const below = pathBelow(root, wanted);
    if (below === undefined) continue;
    const top = posix.openRoot(cName(root));
    if (top < 0 || below === "") return top;
    result = openBelow(posix, top, wanted, below);
    posix.closeDirectory(top);
    if (result >= 0) return result;
    // It may lie in another root, one within the other.
    if (result !== -EXDEV) refused = false;
  }
  if (!refused) return result;
  throw new BackupError("rejected", `${path} is outside the roots of this worker`, {
    path,
    hint: "Start it with --root or --dest-root for the folders it may use",
    retry: "elsewhere",
  });
}

function openBelow(
  posix: Posix,
  top: DirectoryHandle,
  path: string,
  below: string,
): DirectoryHandle {
  const opened = posix.openBeneath(top, cName(below));
  // Something keeps unknown calls away, or there is no such call: opened first, then looked where that is.
  if (opened !== -ENOSYS && opened !== -EPERM) return opened;
  const handle = posix.openRoot(cName(path));
  if (handle < 0 || liesBelow(posix, handle, top)) return handle;
  posix.closeDirectory(handle);
  return -EXDEV;
}

/** Climbs from an open folder, whatever its path was. */
function liesBelow(posix: Posix, handle: DirectoryHandle, top: DirectoryHandle): boolean {
  const root = newStat();
  const stat = newStat();
  if (posix.statDirectory(top, root) < 0) return false;
  let at = handle;
  let found = false;
  for (let level = 0; level < LEVELS_MAX; level++) {
    if (posix.statDirectory(at, stat) < 0) break;
    found = isSame(stat, root);
    if (found) break;
    const above = posix.openParent(at);
    if (above < 0) break;
    const { inodeLow, inodeHigh, device } = stat;
    if (at !== handle) posix.closeDirectory(at);
    at = above;
    // The folder above the topmost is itself.
    if (posix.statDirectory(at, stat) < 0 || isSame(stat, { inodeLow, inodeHigh, device })) break;
  }
  if (at !== handle) posix.closeDirectory(at);
  return found;
}

type Identity = Pick<ReturnType<typeof newStat>, "inodeLow" | "inodeHigh" | "device">;

function isSame(a: Identity, b: Identity): boolean {
  return a.inodeLow === b.inodeLow && a.inodeHigh === b.inodeHigh && a.device === b.device;
}

/** The rest of the path; "" for the root itself, undefined when it begins elsewhere. */
function pathBelow(root: string, path: string): string | undefined {
  if (path === root) return "";
  const start = root === "/" ? root : `${root}/`;
  return path.startsWith(start) ? path.slice(start.length) : undefined;
}

function normalized(path: string): string {
  const single = path.replace(/\/+/g, "/");
  return single.length > 1 && single.endsWith("/") ? single.slice(0, -1) : single;
}

function textOf(path: Uint8Array): string {
  return new TextDecoder().decode(path.subarray(0, path.length - 1));
}
