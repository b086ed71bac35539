/**
 * Extended attributes in a manifest line: an object from name to value in base64, sorted by name. Rule: no attribute is
 * lost; a name whose bytes are not UTF-8 is `=` and its bytes in base64, since a name as it is never begins so.
 */
import { Buffer } from "node:buffer";
import {
  type EntryTable,
  FLAG_XATTRS_UNKNOWN,
  latin1OfUtf8,
  utf8OfLatin1,
} from "../../source/entry_table.ts";
import { NO_XATTRS, type Xattr } from "../../source/xattrs.ts";

/** The part of a manifest line that is meant here. */
interface Recorded {
  xattrs?: Record<string, string>;
}

/** The field as it stands in a line; `list` is not empty. */
export function xattrsField(list: readonly Xattr[]): string {
  const members = list.map(({ name, value }) =>
    `${JSON.stringify(keyOfName(name))}:"${base64(value)}"`
  );
  return `"xattrs":{${members.join(",")}}`;
}

/** The attributes that a line records, as they were read from the source. What is no text there is left out. */
export function xattrsOfEntry(entry: Recorded): readonly Xattr[] {
  if (typeof entry.xattrs !== "object" || entry.xattrs === null) return NO_XATTRS;
  return Object.entries(entry.xattrs)
    .filter(([, value]) => typeof value === "string")
    .map(([key, value]) => ({ name: nameOfKey(key), value: Buffer.from(value, "base64") }));
}

/** The line records what row `i` has. Where that could not be read, nothing speaks against it. */
export function recordsXattrs(entry: Recorded, table: EntryTable, i: number): boolean {
  if ((table.columns.flags[i]! & FLAG_XATTRS_UNKNOWN) !== 0) return true;
  const recorded = entry.xattrs ?? {};
  const list = table.xattrs(i);
  return Object.keys(recorded).length === list.length &&
    list.every(({ name, value }) => recorded[keyOfName(name)] === base64(value));
}

function base64(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.length).toString("base64");
}

function keyOfName(name: string): string {
  const text = utf8OfLatin1(name);
  return text === name || latin1OfUtf8(text) === name
    ? text
    : `=${Buffer.from(name, "latin1").toString("base64")}`;
}

/** The attribute's name, one byte a character, as the platform port takes it. */
export function nameOfKey(key: string): string {
  return key.startsWith("=")
    ? Buffer.from(key.slice(1), "base64").toString("latin1")
    : latin1OfUtf8(key);
}
