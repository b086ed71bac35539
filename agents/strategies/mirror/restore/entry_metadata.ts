/**
 * What a manifest line says of an entry, checked once, and how it is put on a file again. Rule: owner before attributes,
 * attributes before mode, times last: each of these can undo what comes after it in this list.
 */
import { Buffer } from "node:buffer";
import { ENODATA } from "../../../platform/errno.ts";
import type { DirectoryHandle, Posix } from "../../../platform/posix.ts";
import { isRefusal } from "../keep_xattrs.ts";
import type { ManifestEntry } from "../manifest_line.ts";
import { nameOfKey } from "../manifest_xattrs.ts";
import { isUnsupported } from "../unsupported_metadata.ts";

export interface EntryMetadata {
  mode: number;
  uid: number;
  gid: number;
  mtimeSec: number;
  mtimeNsec: number;
  xattrs: readonly [name: string, value: Uint8Array][];
}

/** What could not be kept, for one warning each; the content matters more. */
export interface NotKept {
  owners: number;
  modes: number;
  times: number;
  attributes: number;
}

export function newNotKept(): NotKept {
  return { owners: 0, modes: 0, times: 0, attributes: 0 };
}

const ID_MAX = 0xffff_fffe;
const XATTRS_MAX = 10_000;
const NONE: EntryMetadata["xattrs"] = [];

/** Undefined when the line's numbers are none. */
export function metadataOf(entry: ManifestEntry): EntryMetadata | undefined {
  const { mode, uid, gid, mtimeNs } = entry;
  if (!isWhole(mode, 0o7777) || !isWhole(uid, ID_MAX) || !isWhole(gid, ID_MAX)) return undefined;
  if (typeof mtimeNs !== "string" || !/^-?\d{1,28}$/.test(mtimeNs)) return undefined;
  const xattrs = entry.xattrs === undefined ? NONE : xattrsOf(entry.xattrs);
  if (xattrs === undefined) return undefined;
  const [mtimeSec, mtimeNsec] = secondsOf(mtimeNs);
  return Number.isSafeInteger(mtimeSec)
    ? { mode, uid, gid, mtimeSec, mtimeNsec, xattrs }
    : undefined;
}

/** Whole seconds, rounded down, and the nanoseconds after them. */
export function secondsOf(nanoseconds: string): [sec: number, nsec: number] {
  if (nanoseconds.length > 9 && nanoseconds.charCodeAt(0) !== 45) {
    return [Number(nanoseconds.slice(0, -9)), Number(nanoseconds.slice(-9))];
  }
  const all = BigInt(nanoseconds);
  const nsec = ((all % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return [Number((all - nsec) / 1_000_000_000n), Number(nsec)];
}

function xattrsOf(recorded: unknown): EntryMetadata["xattrs"] | undefined {
  if (typeof recorded !== "object" || recorded === null) return undefined;
  const pairs = Object.entries(recorded);
  if (pairs.length > XATTRS_MAX) return undefined;
  const found: [string, Uint8Array][] = [];
  for (const [key, value] of pairs) {
    const name = nameOfKey(key);
    if (typeof value !== "string" || name === "" || name.includes("\0")) return undefined;
    found.push([name, Buffer.from(value, "base64")]);
  }
  return found;
}

export function isWhole(value: unknown, max: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max;
}

/** Puts metadata on entries; `identity` is whom new files belong to anyway. */
export class MetadataSetter {
  readonly notKept: NotKept = newNotKept();
  readonly #posix: Posix;
  readonly #identity: { uid: number; gid: number };

  constructor(posix: Posix, identity: { uid: number; gid: number }) {
    this.#posix = posix;
    this.#identity = identity;
  }

  /** On an open file or directory; 0 or -errno. */
  setOpen(fd: number, to: EntryMetadata, isNew: boolean): number {
    const posix = this.#posix;
    if (!isNew || !this.#isOurs(to)) this.#owner(posix.setFileOwner(fd, to.uid, to.gid));
    for (const [name, value] of to.xattrs) {
      const result = this.#attribute(posix.setFileXattr(fd, name, value));
      if (result < 0) return result;
    }
    const mode = this.#counted("modes", posix.setFileMode(fd, to.mode));
    if (mode < 0) return mode;
    return this.#counted("times", posix.setFileTimes(fd, to.mtimeSec, to.mtimeNsec));
  }

  /** On what stands under a name and is no file; a symbolic link has no mode. */
  setAt(at: DirectoryHandle, name: Uint8Array, to: EntryMetadata, isLink: boolean): number {
    const posix = this.#posix;
    if (!this.#isOurs(to)) this.#owner(posix.setOwnerAt(at, name, to.uid, to.gid));
    for (const [attribute, value] of to.xattrs) {
      const result = this.#attribute(posix.setXattr(at, name, attribute, value));
      if (result < 0) return result;
    }
    if (!isLink) {
      const mode = this.#counted("modes", posix.setModeAt(at, name, to.mode));
      if (mode < 0) return mode;
    }
    return this.#counted("times", posix.setTimesAt(at, name, to.mtimeSec, to.mtimeNsec));
  }

  #isOurs(to: EntryMetadata): boolean {
    return to.uid === this.#identity.uid && to.gid === this.#identity.gid;
  }

  #owner(result: number): void {
    if (result < 0) this.notKept.owners++;
  }

  #attribute(result: number): number {
    if (result === -ENODATA) return 0;
    if (!isRefusal(result)) return result;
    this.notKept.attributes++;
    return 0;
  }

  #counted(what: keyof NotKept, result: number): number {
    if (!isUnsupported(result)) return result;
    this.notKept[what]++;
    return 0;
  }
}
