/**
 * Extended attributes of an entry, ACLs and capabilities among them: which are kept, how they are read, and their bytes
 * in an `EntryTable`. Rule: always sorted by name, so that equal attributes are equal bytes.
 */
import { E2BIG, ENODATA, ENOSYS, EOPNOTSUPP, EPERM } from "../platform/errno.ts";
import type { DirectoryHandle, Posix } from "../platform/posix.ts";

export interface Xattr {
  /** With its namespace (`user.comment`), one byte a character. */
  readonly name: string;
  readonly value: Uint8Array;
}

export const NO_XATTRS: readonly Xattr[] = [];

/** What is kept of an entry that has only other attributes. */
export const ONLY_OTHERS: readonly Xattr[] = [];

/** So much of one entry is kept: more would make a line of the manifest too long. Nothing known has a tenth of it. */
export const XATTR_BYTES_MAX = 1 << 20;

export const ACCESS_ACL = "system.posix_acl_access";
export const DEFAULT_ACL = "system.posix_acl_default";

/**
 * All but what a file system makes up for its own use (`system.nfs4_acl`, `system.ntfs_attrib`, …): that means nothing
 * anywhere else.
 */
export function isKeptXattr(name: string): boolean {
  return !name.startsWith("system.") || name === ACCESS_ACL || name === DEFAULT_ACL;
}

/**
 * What is kept of the entry's own attributes, or -errno: -EOPNOTSUPP or -ENOSYS where there are none at all, -E2BIG when
 * they are more than `XATTR_BYTES_MAX`. Attributes that went away meanwhile or that may not be read are left out.
 */
export function readXattrs(
  posix: Posix,
  at: DirectoryHandle,
  name: Uint8Array,
): readonly Xattr[] | number {
  const names = posix.listXattrs(at, name);
  if (typeof names === "number") return names;
  if (names.length === 0) return NO_XATTRS;
  const found: Xattr[] = [];
  let bytes = 0;
  for (const attribute of names.filter(isKeptXattr).sort()) {
    const value = posix.getXattr(at, name, attribute);
    if (typeof value !== "number") {
      bytes += attribute.length + value.length;
      if (bytes > XATTR_BYTES_MAX) return -E2BIG;
      found.push({ name: attribute, value });
    } else if (!LEFT_OUT.has(-value)) return value;
  }
  return found.length === 0 ? ONLY_OTHERS : found;
}

const LEFT_OUT: ReadonlySet<number> = new Set([ENODATA, EPERM, EOPNOTSUPP]);

/** The answer of a system or file system that knows no attributes. */
export function hasNoXattrs(result: number): boolean {
  return result === -EOPNOTSUPP || result === -ENOSYS;
}

export function sameXattrs(a: readonly Xattr[], b: readonly Xattr[]): boolean {
  return a.length === b.length &&
    a.every(({ name, value }, k) => name === b[k]!.name && sameBytes(value, b[k]!.value));
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, k) => byte === b[k]);
}

const COUNT_BYTES = 2;
/** One for the length of the name, four for that of the value. */
const LENGTHS_BYTES = 5;

/** Count, then for each: length of the name, length of the value, name, value. */
export function encodeXattrs(list: readonly Xattr[]): Uint8Array {
  let size = COUNT_BYTES;
  for (const { name, value } of list) size += LENGTHS_BYTES + name.length + value.length;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, list.length, true);
  let at = COUNT_BYTES;
  for (const { name, value } of list) {
    view.setUint8(at, name.length);
    view.setUint32(at + 1, value.length, true);
    at += LENGTHS_BYTES;
    for (let k = 0; k < name.length; k++) bytes[at + k] = name.charCodeAt(k);
    at += name.length;
    bytes.set(value, at);
    at += value.length;
  }
  return bytes;
}

/** What `encodeXattrs` put at `offset` of `memory`; the values are copies. */
export function decodeXattrs(memory: Uint8Array, offset: number): Xattr[] {
  const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  const list: Xattr[] = [];
  let at = offset + COUNT_BYTES;
  for (let left = view.getUint16(offset, true); left > 0; left--) {
    const nameEnd = at + LENGTHS_BYTES + view.getUint8(at);
    const valueEnd = nameEnd + view.getUint32(at + 1, true);
    let name = "";
    for (let k = at + LENGTHS_BYTES; k < nameEnd; k++) name += String.fromCharCode(memory[k]!);
    list.push({ name, value: Uint8Array.from(memory.subarray(nameEnd, valueEnd)) });
    at = valueEnd;
  }
  return list;
}
