/**
 * One manifest line: an entry as JSON. Rule: what a line says about times and numbers is exact (nanoseconds as decimal
 * strings), and a path whose bytes are not UTF-8 is kept as base64 beside the readable form.
 */
import { Buffer } from "node:buffer";
import {
  KIND_BLOCK_DEVICE,
  KIND_CHARACTER_DEVICE,
  KIND_DIRECTORY,
  KIND_FIFO,
  KIND_FILE,
  KIND_SOCKET,
  KIND_SYMLINK,
  type Stat,
} from "../../platform/posix.ts";
import {
  type EntryTable,
  FLAG_SPARSE,
  isSparse,
  latin1OfUtf8,
  NONE,
  utf8OfLatin1,
} from "../../source/entry_table.ts";
import type { Xattr } from "../../source/xattrs.ts";
import { xattrsField } from "./manifest_xattrs.ts";
import { storedFields, type StoredForm } from "./stored_fields.ts";

const TYPE_NAMES: Readonly<Record<number, string>> = {
  [KIND_FILE]: "file",
  [KIND_DIRECTORY]: "directory",
  [KIND_SYMLINK]: "symlink",
  [KIND_FIFO]: "fifo",
  [KIND_CHARACTER_DEVICE]: "character",
  [KIND_BLOCK_DEVICE]: "block",
  [KIND_SOCKET]: "socket",
};

/** A parsed line. Only `path` and `type` are always there. */
export interface ManifestEntry {
  path: string;
  /** The path's bytes, when they are not UTF-8. */
  pathBase64?: string;
  type: string;
  sizeBytes?: number;
  mtimeNs?: string;
  ctimeNs?: string;
  inode?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  sha256?: string;
  verifiedAtMs?: number;
  /** In hex; of the very content whose SHA-256 this is. Only from runs with `--mhl`. */
  xxh64?: string;
  target?: string;
  targetBase64?: string;
  /** For a further name of one file: the path of its first. */
  hardLinkTo?: string;
  hardLinkToBase64?: string;
  rdev?: number;
  /** Extended attributes, ACLs among them: value in base64 by name, sorted by name. Missing where there are none. */
  xattrs?: Record<string, string>;
  /** The source's file had holes; a restore makes them again. */
  sparse?: boolean;
  /** What the destination cannot hold: nothing stands there, this line is all there is, and a restore makes it. */
  recordedOnly?: boolean;
  /** How the content is stored: `zst`, `age`, `zst.age`; missing where the stored file is the content. */
  codec?: string;
  /** The stored file's name in the same folder, where it is not the entry's own. */
  storedAs?: string;
  storedAsBase64?: string;
  /** Of the stored bytes, where there is a codec. */
  storedSizeBytes?: number;
  storedSha256?: string;
  /** Of a file that is encrypted: for whom, see `recipientsId`. */
  storedFor?: string;
  /** When a run first did not find it in the source any more; the copy is kept. */
  goneAtMs?: number;
}

/** Nanoseconds since the epoch, in decimal. */
export function nanoseconds(sec: number, nsec: number): string {
  if (sec > 0) return sec + NINE_ZEROS.slice(String(nsec).length) + nsec;
  return String(BigInt(sec) * 1_000_000_000n + BigInt(nsec));
}

const NINE_ZEROS = "000000000";

export function inodeText(low: number, high: number): string {
  return high === 0 ? String(low) : String(BigInt(high) * 0x1_0000_0000n + BigInt(low));
}

/** The version of a file that a lane copied when it is not the one in the table. */
export interface FileVersion extends Stat {
  /** In hex. */
  sha256: string;
  /** Sorted by name; missing when they are the row's. */
  xattrs?: readonly Xattr[];
}

/** The line of row `i`, without the line break. `path` is its path, one byte a character. */
export function lineOfRow(
  table: EntryTable,
  i: number,
  path: string,
  extra: {
    sha256?: string;
    version?: FileVersion | undefined;
    verifiedAtMs?: number;
    xxh64?: string | undefined;
    stored?: StoredForm | undefined;
    /** The row with the file's size, times, owner, mode and attributes: the first name's, for a further one. */
    contentRow?: number;
  },
): string {
  const c = table.columns;
  const r = extra.contentRow ?? i;
  const kind = c.kind[i]!;
  let line = `${lineStart(path)}${TYPE_NAMES[kind]}"`;
  const v = extra.version;
  if (kind === KIND_FILE) {
    line += `,"sizeBytes":${v?.sizeBytes ?? c.sizeBytes[r]}`;
  } else if (kind === KIND_SYMLINK) {
    const target = table.cLinkTarget(i);
    line += `,${
      pathFields("target", Buffer.from(target).toString("latin1", 0, target.length - 1))
    }`;
  } else if (kind === KIND_CHARACTER_DEVICE || kind === KIND_BLOCK_DEVICE) {
    line += `,"rdev":${c.sizeBytes[i]}`;
  }
  line += `,"mtimeNs":"${
    v === undefined
      ? nanoseconds(c.mtimeSec[r]!, c.mtimeNsec[r]!)
      : nanoseconds(v.mtimeSec, v.mtimeNsec)
  }"`;
  if (kind === KIND_FILE) {
    line += v === undefined
      ? `,"ctimeNs":"${nanoseconds(c.ctimeSec[r]!, c.ctimeNsec[r]!)}"` +
        `,"inode":"${inodeText(c.inodeLow[r]!, c.inodeHigh[r]!)}"`
      : `,"ctimeNs":"${nanoseconds(v.ctimeSec, v.ctimeNsec)}"` +
        `,"inode":"${inodeText(v.inodeLow, v.inodeHigh)}"`;
  }
  line += `,"mode":${v?.mode ?? c.mode[r]},"uid":${v?.uid ?? c.uid[r]},"gid":${v?.gid ?? c.gid[r]}`;
  if (v?.xattrs !== undefined || table.hasXattrs(r)) {
    const xattrs = v?.xattrs ?? table.xattrs(r);
    if (xattrs.length > 0) line += `,${xattrsField(xattrs)}`;
  }
  if (v === undefined ? (c.flags[r]! & FLAG_SPARSE) !== 0 : isSparse(v)) line += ',"sparse":true';
  const first = c.linkTo[i]!;
  if (first !== NONE) line += `,${pathFields("hardLinkTo", table.pathLatin1(first))}`;
  if (extra.sha256 !== undefined) line += `,"sha256":"${extra.sha256}"`;
  if (extra.verifiedAtMs !== undefined) line += `,"verifiedAtMs":${extra.verifiedAtMs}`;
  if (extra.xxh64 !== undefined) line += `,"xxh64":"${extra.xxh64}"`;
  if (extra.stored !== undefined) line += storedFields(extra.stored);
  return line + "}";
}

/** How the line of `path` (one byte a character) begins; a line that begins so is that path's. */
export function lineStart(path: string): string {
  return `{${pathFields("path", path)},"type":"`;
}

/** What a line records of a file's content. */
export interface RecordedContent {
  sha256: string;
  verifiedAtMs: number;
  xxh64?: string | undefined;
}

/**
 * What `text` records of row `i`, a file with one name, when it is the very line that would be written of it now: then
 * nothing needs to be parsed. Undefined says nothing: another version may have written the same in another order.
 */
export function recordedAsItIs(
  table: EntryTable,
  i: number,
  path: string,
  text: string,
): RecordedContent | undefined {
  const start = lineOfRow(table, i, path, {}).slice(0, -1);
  if (!text.startsWith(start)) return undefined;
  const found = CONTENT_FIELDS.exec(text.slice(start.length));
  return found === null
    ? undefined
    : { sha256: found[1]!, verifiedAtMs: Number(found[2]), xxh64: found[3] };
}

const CONTENT_FIELDS =
  /^,"sha256":"([0-9a-f]{64})","verifiedAtMs":([0-9]{1,15})(?:,"xxh64":"([0-9a-f]{16})")?}$/;

function pathFields(key: string, latin1: string): string {
  const text = utf8OfLatin1(latin1);
  const field = `"${key}":${JSON.stringify(text)}`;
  if (text === latin1 || latin1OfUtf8(text) === latin1) return field;
  return `${field},"${key}Base64":"${Buffer.from(latin1, "latin1").toString("base64")}"`;
}

/** The entry's path, one byte a character. */
export function entryPathLatin1(entry: ManifestEntry): string {
  return entry.pathBase64 === undefined
    ? latin1OfUtf8(entry.path)
    : Buffer.from(entry.pathBase64, "base64").toString("latin1");
}
