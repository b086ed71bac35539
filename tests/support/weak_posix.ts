/**
 * The platform port of a weak file system: what it cannot hold is refused or quietly lost, as on exFAT or SMB. Rule: what
 * it does not refuse reaches the real disk unchanged.
 */
import { EINVAL, EIO, ENOENT, ENOSYS, EOPNOTSUPP, EPERM } from "../../agents/platform/errno.ts";
import { KIND_FIFO, type Posix } from "../../agents/platform/posix.ts";

export interface Weakness {
  /** What it says it is; `weakfs` when not given. */
  type?: string;
  symlinks?: "refused";
  hardLinks?: "refused";
  /** As exfat-fuse does: an error, and a plain file is left behind. */
  fifos?: "file left behind";
  /** `refused`: as for everybody but root. */
  devices?: "refused";
  /** Accepted and not kept. */
  modes?: "lost";
  owners?: "refused";
  /** Times are cut to two seconds, and there are none before 1980. */
  times?: "coarse";
  /** Characters that no name may hold. */
  forbidden?: string;
  /** Dots at the end of a name are taken off, as vfat does. */
  trailingDots?: "cut";
}

export function weakPosix(inner: Posix, weakness: Weakness): Posix {
  const named = (name: Uint8Array): Uint8Array => {
    if (weakness.trailingDots !== "cut") return name;
    let end = name.length - 1;
    while (end > 1 && name[end - 1] === DOT) end--;
    return end === name.length - 1 ? name : Uint8Array.of(...name.subarray(0, end), 0);
  };
  const refused = (name: Uint8Array) =>
    [...weakness.forbidden ?? ""].some((c) => name.includes(c.charCodeAt(0)));
  const coarse = (sec: number, nsec: number): [number, number] =>
    weakness.times === "coarse" ? [Math.max(FIRST_SEC, sec - sec % 2), 0] : [sec, nsec];
  return {
    ...inner,
    fileSystemInfo: (handle) => {
      const info = inner.fileSystemInfo(handle);
      return typeof info === "number" ? info : { ...info, type: weakness.type ?? "weakfs" };
    },
    symlink: (target, at, name) =>
      weakness.symlinks === "refused" ? -EOPNOTSUPP : inner.symlink(target, at, name),
    link: (from, fromName, to, toName) =>
      weakness.hardLinks === "refused" ? -EPERM : inner.link(from, fromName, to, toName),
    makeNode: (at, name, kind, mode, rdev) => {
      if (kind !== KIND_FIFO) {
        return weakness.devices === "refused" ? -EPERM : inner.makeNode(at, name, kind, mode, rdev);
      }
      if (weakness.fifos === undefined) return inner.makeNode(at, name, kind, mode, rdev);
      const fd = inner.createFile(at, name);
      if (fd >= 0) inner.close(fd);
      return -EIO;
    },
    setFileMode: (fd, mode) => weakness.modes === "lost" ? 0 : inner.setFileMode(fd, mode),
    setFileOwner: (fd, uid, gid) =>
      weakness.owners === "refused" ? -EPERM : inner.setFileOwner(fd, uid, gid),
    setOwnerAt: (at, name, uid, gid) =>
      weakness.owners === "refused" ? -EPERM : inner.setOwnerAt(at, name, uid, gid),
    setFileTimes: (fd, sec, nsec) => inner.setFileTimes(fd, ...coarse(sec, nsec)),
    setTimesAt: (at, name, sec, nsec) => inner.setTimesAt(at, name, ...coarse(sec, nsec)),
    createFile: (at, name) => refused(name) ? -EINVAL : inner.createFile(at, named(name)),
    makeDirectory: (at, name, mode) =>
      refused(name) ? -EINVAL : inner.makeDirectory(at, named(name), mode),
    openDirectory: (at, name) => inner.openDirectory(at, named(name)),
    openRead: (at, name) => refused(name) ? -ENOENT : inner.openRead(at, named(name)),
    statAt: (at, name, out) => refused(name) ? -ENOENT : inner.statAt(at, named(name), out),
    unlink: (at, name) => inner.unlink(at, named(name)),
    // There is no such call at such a file system.
    renameNew: () => -ENOSYS,
    rename: (from, fromName, to, toName) =>
      refused(toName) ? -EINVAL : inner.rename(from, named(fromName), to, named(toName)),
  };
}

const DOT = 46;
/** 1980-01-01. */
const FIRST_SEC = 315_532_800;
