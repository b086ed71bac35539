/**
 * The platform port of a file system that takes `Name` and `name` for one and keeps the case a name was made with, as vfat
 * and SMB do. Rule: what is renamed over a name that stands there gets that name's case.
 */
import { ENOSYS } from "../../agents/platform/errno.ts";
import { Buffer } from "node:buffer";
import type { DirectoryHandle, Posix } from "../../agents/platform/posix.ts";

export function foldingPosix(inner: Posix): Posix {
  /** The name as it stands there, or as it was asked for. */
  const standing = (at: DirectoryHandle, name: Uint8Array): Uint8Array => {
    const asked = Buffer.from(name).toString("latin1", 0, name.indexOf(0));
    const names = inner.list(at);
    if (typeof names === "number" || names.includes(asked)) return name;
    const found = names.find((one) => one.toLowerCase() === asked.toLowerCase());
    return found === undefined ? name : Buffer.from(`${found}\0`, "latin1");
  };
  const isSame = (a: Uint8Array, b: Uint8Array) =>
    Buffer.from(a).toString("latin1").toLowerCase() ===
      Buffer.from(b).toString("latin1").toLowerCase();
  return {
    ...inner,
    openDirectory: (at, name) => inner.openDirectory(at, standing(at, name)),
    openRead: (at, name) => inner.openRead(at, standing(at, name)),
    createFile: (at, name) => inner.createFile(at, standing(at, name)),
    openAppend: (at, name) => inner.openAppend(at, standing(at, name)),
    statAt: (at, name, out) => inner.statAt(at, standing(at, name), out),
    readLink: (at, name) => inner.readLink(at, standing(at, name)),
    makeDirectory: (at, name, mode) => inner.makeDirectory(at, standing(at, name), mode),
    symlink: (target, at, name) => inner.symlink(target, at, standing(at, name)),
    link: (from, fromName, to, toName) =>
      inner.link(from, standing(from, fromName), to, standing(to, toName)),
    // There is no such call at such a file system.
    renameNew: () => -ENOSYS,
    rename: (from, fromName, to, toName) => {
      const source = standing(from, fromName);
      // A new case for one and the same name is taken.
      const target = from === to && isSame(fromName, toName) ? toName : standing(to, toName);
      return inner.rename(from, source, to, target);
    },
    unlink: (at, name) => inner.unlink(at, standing(at, name)),
    removeDirectory: (at, name) => inner.removeDirectory(at, standing(at, name)),
  };
}
