/**
 * All entries of one source as columns in shared memory: about 120 bytes an entry plus its name and extended attributes,
 * readable by every thread. Rule: rows are in walk order (a directory before what is in it, names sorted by byte) and are
 * frozen once `freeze` was called, except the hash of a file, which its first full read fills in together with what was
 * read.
 */
import { Buffer } from "node:buffer";
import { BackupError } from "../../protocol/base/errors.ts";
import {
  KIND_BLOCK_DEVICE,
  KIND_CHARACTER_DEVICE,
  KIND_DIRECTORY,
  KIND_FILE,
  type Stat,
} from "../platform/posix.ts";
import { decodeXattrs, encodeXattrs, NO_XATTRS, type Xattr } from "./xattrs.ts";

/** No index. */
export const NONE = 0xffffffff;

/** The listing of this directory failed: what is below it is unknown, so nothing there counts as deleted. */
export const FLAG_LISTING_FAILED = 1;
/** The row's size, times and hash are those of one consistent full read. */
export const FLAG_HASHED = 2;
/** The file takes less room than its size: it has holes, or is stored compressed. */
export const FLAG_SPARSE = 4;
/** Its extended attributes could not be read: what an earlier run recorded of them is not known to be wrong. */
export const FLAG_XATTRS_UNKNOWN = 8;

/** It has attributes that are not kept of it; see `isKeptXattr`. */
export const FLAG_OTHER_XATTRS = 64;

/** A folder outside the stretch that was walked: it is there so that what lies below it has a way up. */
export const FLAG_ABOVE = 16;
/** A folder in which the stretch begins or ends: other parts of the source lie in it too. */
export const FLAG_DIVIDED = 32;

export function isSparse(stat: Pick<Stat, "kind" | "sizeBytes" | "allocatedBytes">): boolean {
  return stat.kind === KIND_FILE && stat.allocatedBytes < stat.sizeBytes;
}

const COLUMNS = {
  kind: Uint8Array,
  flags: Uint8Array,
  parent: Uint32Array,
  nameOffset: Uint32Array,
  nameLength: Uint16Array,
  sizeBytes: Float64Array,
  mtimeSec: Float64Array,
  mtimeNsec: Uint32Array,
  ctimeSec: Float64Array,
  ctimeNsec: Uint32Array,
  inodeLow: Uint32Array,
  inodeHigh: Uint32Array,
  mode: Uint32Array,
  uid: Uint32Array,
  gid: Uint32Array,
  /** Further names, of what is no folder. */
  furtherLinks: Uint32Array,
  /** 0: that of the first row. */
  device: Float64Array,
  /** For a later name of a hard-linked file: the row of its first name. */
  linkTo: Uint32Array,
  /** Where its extended attributes are in the text; NONE when it has none. */
  xattrs: Uint32Array,
} as const;

type ColumnName = keyof typeof COLUMNS;
type Columns = { [K in ColumnName]: InstanceType<(typeof COLUMNS)[K]> };
type Column = Uint8Array | Uint16Array | Uint32Array | Float64Array;
/** The one signature of all column types that is used; TypeScript cannot unify their overloads. */
interface ColumnType {
  new (buffer: SharedArrayBuffer, byteOffset?: number, length?: number): Column;
  readonly BYTES_PER_ELEMENT: number;
}
const columnType = (name: ColumnName): ColumnType => COLUMNS[name] as unknown as ColumnType;
const COLUMN_NAMES = Object.keys(COLUMNS) as ColumnName[];

/** Address space is set aside for so many rows, memory only for those there are: growing copies nothing. */
const ROWS_MAX = 1 << 27;
const TEXT_BYTES_MAX = 2 ** 32 - 1;
/** Many entries have the same attributes (a label, an ACL): so many different ones, up to this size, are kept once. */
const SHARED_XATTRS_MAX = 4096;
const SHARED_XATTRS_BYTES_MAX = 4096;

/** What goes to another thread. Nothing is copied. */
export interface EntryTableShare {
  count: number;
  textBytes: number;
  text: SharedArrayBuffer;
  /** One number: where the text ends now, with the attributes of files that had changed when they were read. */
  textEnd: SharedArrayBuffer;
  sha256: SharedArrayBuffer;
  columns: Record<ColumnName, SharedArrayBuffer>;
}

export class EntryTable {
  count = 0;
  #capacity: number;
  #columns: Columns;
  /** Names, each ended by NUL; a symbolic link's target follows its name, ended by NUL too; extended attributes. */
  #text: Uint8Array;
  #textBytes = 0;
  /** Only once frozen. */
  #textEnd: Uint32Array | undefined;
  readonly #xattrPlaces = new Map<string, number>();
  #sha256: Buffer;

  private constructor(capacity: number, columns: Columns, text: Uint8Array, sha256: Buffer) {
    this.#capacity = capacity;
    this.#columns = columns;
    this.#text = text;
    this.#sha256 = sha256;
  }

  static create(capacity = 1024): EntryTable {
    const columns = {} as Record<ColumnName, unknown>;
    for (const name of COLUMN_NAMES) {
      const Type = columnType(name);
      const bytes = Type.BYTES_PER_ELEMENT;
      columns[name] = new Type(growable(capacity * bytes, ROWS_MAX * bytes), 0, capacity);
    }
    const text = new Uint8Array(growable(capacity * 16, TEXT_BYTES_MAX), 0, capacity * 16);
    return new EntryTable(capacity, columns as Columns, text, Buffer.alloc(0));
  }

  static fromShare(share: EntryTableShare): EntryTable {
    const columns = {} as Record<ColumnName, unknown>;
    for (const name of COLUMN_NAMES) {
      columns[name] = new (columnType(name))(share.columns[name], 0, share.count);
    }
    const table = new EntryTable(
      share.count,
      columns as Columns,
      new Uint8Array(share.text, 0, share.textBytes),
      Buffer.from(share.sha256),
    );
    table.count = share.count;
    table.#textBytes = share.textBytes;
    table.#textEnd = new Uint32Array(share.textEnd);
    return table;
  }

  get columns(): Readonly<Columns> {
    return this.#columns;
  }

  /** Adds a row; `name` is one byte a character. Returns its index. */
  push(parent: number, name: string, stat: Stat, linkTarget?: Uint8Array): number {
    const i = this.count;
    if (i === this.#capacity) this.#growColumns();
    const c = this.#columns;
    const needed = name.length + 1 + (linkTarget === undefined ? 0 : linkTarget.length + 1);
    if (this.#textBytes + needed > this.#text.length) this.#growText(needed);
    c.nameOffset[i] = this.#textBytes;
    c.nameLength[i] = name.length;
    for (let k = 0; k < name.length; k++) this.#text[this.#textBytes + k] = name.charCodeAt(k);
    this.#textBytes += name.length + 1;
    if (linkTarget !== undefined) {
      this.#text.set(linkTarget, this.#textBytes);
      this.#textBytes += linkTarget.length + 1;
    }
    c.kind[i] = stat.kind;
    c.flags[i] = isSparse(stat) ? FLAG_SPARSE : 0;
    c.parent[i] = parent;
    c.linkTo[i] = NONE;
    c.xattrs[i] = NONE;
    this.setStat(i, stat);
    if (linkTarget !== undefined) c.sizeBytes[i] = linkTarget.length;
    this.count = i + 1;
    return i;
  }

  /** Overwrites what `stat` says about row `i`; used by the walk and by a file's first full read. */
  setStat(i: number, stat: Stat): void {
    const c = this.#columns;
    c.sizeBytes[i] = stat.rdev !== 0 ? stat.rdev : stat.sizeBytes;
    c.mtimeSec[i] = stat.mtimeSec;
    c.mtimeNsec[i] = stat.mtimeNsec;
    c.ctimeSec[i] = stat.ctimeSec;
    c.ctimeNsec[i] = stat.ctimeNsec;
    c.inodeLow[i] = stat.inodeLow;
    c.mode[i] = stat.mode;
    const furtherLinks = stat.kind === KIND_DIRECTORY ? 0 : Math.max(0, stat.linkCount - 1);
    // Mostly zero: memory that is never written is never taken.
    if (c.inodeHigh[i] !== stat.inodeHigh) c.inodeHigh[i] = stat.inodeHigh;
    if (c.uid[i] !== stat.uid) c.uid[i] = stat.uid;
    if (c.gid[i] !== stat.gid) c.gid[i] = stat.gid;
    if (c.furtherLinks[i] !== furtherLinks) c.furtherLinks[i] = furtherLinks;
    const device = i > 0 && stat.device === c.device[0] ? 0 : stat.device;
    if (c.device[i] !== device) c.device[i] = device;
  }

  /**
   * What `stat` said about row `i`; of what it takes on the disk only whether that is less than its size, and how many names a
   * folder has is left out.
   */
  getStat(i: number, stat: Stat): void {
    const c = this.#columns;
    const isNode = c.kind[i] === KIND_BLOCK_DEVICE || c.kind[i] === KIND_CHARACTER_DEVICE;
    stat.kind = c.kind[i]!;
    stat.sizeBytes = isNode ? 0 : c.sizeBytes[i]!;
    stat.rdev = isNode ? c.sizeBytes[i]! : 0;
    stat.allocatedBytes = (c.flags[i]! & FLAG_SPARSE) === 0 ? stat.sizeBytes : 0;
    stat.mtimeSec = c.mtimeSec[i]!;
    stat.mtimeNsec = c.mtimeNsec[i]!;
    stat.ctimeSec = c.ctimeSec[i]!;
    stat.ctimeNsec = c.ctimeNsec[i]!;
    stat.inodeLow = c.inodeLow[i]!;
    stat.inodeHigh = c.inodeHigh[i]!;
    stat.mode = c.mode[i]!;
    stat.uid = c.uid[i]!;
    stat.gid = c.gid[i]!;
    stat.linkCount = c.furtherLinks[i]! + 1;
    stat.device = c.device[i]! || c.device[0]!;
  }

  /** Same size, mtime, ctime and inode as the row. */
  sameStat(i: number, stat: Stat): boolean {
    const c = this.#columns;
    return c.sizeBytes[i] === stat.sizeBytes && c.mtimeNsec[i] === stat.mtimeNsec &&
      c.mtimeSec[i] === stat.mtimeSec && c.ctimeNsec[i] === stat.ctimeNsec &&
      c.ctimeSec[i] === stat.ctimeSec && c.inodeLow[i] === stat.inodeLow &&
      c.inodeHigh[i] === stat.inodeHigh;
  }

  /** The name with its closing NUL, without copying. */
  cName(i: number): Uint8Array {
    const at = this.#columns.nameOffset[i]!;
    return this.#text.subarray(at, at + this.#columns.nameLength[i]! + 1);
  }

  /** The name, one byte a character. */
  nameLatin1(i: number): string {
    const at = this.#columns.nameOffset[i]!;
    return latin1(this.#text, at, at + this.#columns.nameLength[i]!);
  }

  /** The target of a symbolic link with its closing NUL. */
  cLinkTarget(i: number): Uint8Array {
    const at = this.#columns.nameOffset[i]! + this.#columns.nameLength[i]! + 1;
    return this.#text.subarray(at, at + this.#columns.sizeBytes[i]! + 1);
  }

  /** The path below the source's root, one byte a character, no leading slash; "" for the root itself. */
  pathLatin1(i: number): string {
    let path = "";
    for (let at = i; this.#columns.parent[at] !== NONE; at = this.#columns.parent[at]!) {
      path = path === "" ? this.nameLatin1(at) : `${this.nameLatin1(at)}/${path}`;
    }
    return path;
  }

  /** The path as people read it: UTF-8, with U+FFFD where the bytes are not. */
  pathText(i: number): string {
    return utf8OfLatin1(this.pathLatin1(i));
  }

  hasXattrs(i: number): boolean {
    return this.#columns.xattrs[i] !== NONE;
  }

  /** The row's extended attributes, sorted by name. The values are copies. */
  xattrs(i: number): readonly Xattr[] {
    const at = this.#columns.xattrs[i]!;
    if (at === NONE) return NO_XATTRS;
    if (at < this.#textBytes) return decodeXattrs(this.#text, at);
    // Added after the table was shared, perhaps by another thread, which may have made the memory larger.
    const { buffer } = this.#text;
    return decodeXattrs(new Uint8Array(buffer, 0, buffer.byteLength), at);
  }

  /** Gives row `i`, before the table is frozen, its extended attributes; `list` is sorted by name. */
  setXattrs(i: number, list: readonly Xattr[]): void {
    if (list.length === 0) return;
    const blob = encodeXattrs(list);
    const key = blob.length > SHARED_XATTRS_BYTES_MAX ? undefined : latin1(blob, 0, blob.length);
    let at = key === undefined ? undefined : this.#xattrPlaces.get(key);
    if (at === undefined) {
      if (this.#textBytes + blob.length > this.#text.length) this.#growText(blob.length);
      at = this.#textBytes;
      this.#text.set(blob, at);
      this.#textBytes += blob.length;
      if (key !== undefined && this.#xattrPlaces.size < SHARED_XATTRS_MAX) {
        this.#xattrPlaces.set(key, at);
      }
    }
    this.#columns.xattrs[i] = at;
  }

  /** The same as `setXattrs` for a table that is shared; see `setHashed`. */
  #replaceXattrs(i: number, list: readonly Xattr[]): void {
    if (list.length === 0) {
      this.#columns.xattrs[i] = NONE;
      return;
    }
    const blob = encodeXattrs(list);
    const end = this.#textEnd!;
    if (Atomics.load(end, 0) + blob.length > TEXT_BYTES_MAX) {
      throw tooLarge(`${TEXT_BYTES_MAX} bytes of names`);
    }
    const at = Atomics.add(end, 0, blob.length);
    const buffer = this.#text.buffer as unknown as SharedArrayBuffer;
    growTo(buffer, at + blob.length);
    new Uint8Array(buffer, at, blob.length).set(blob);
    this.#columns.xattrs[i] = at;
  }

  /** The hash of a row that `isHashed`, in hex. */
  sha256Hex(i: number): string {
    return this.#sha256.toString("hex", i * 32, i * 32 + 32);
  }

  isHashed(i: number): boolean {
    return (Atomics.load(this.#columns.flags, i) & FLAG_HASHED) !== 0;
  }

  /**
   * Fills in the result of the first full read. Called at most once a row, by the thread that read it; `sha256` is hex,
   * `xattrs` are given when they are not the row's.
   */
  setHashed(i: number, stat: Stat, sha256: string, xattrs?: readonly Xattr[]): void {
    this.setStat(i, stat);
    const { flags } = this.#columns;
    if (xattrs !== undefined) {
      this.#replaceXattrs(i, xattrs);
      Atomics.and(flags, i, ~FLAG_XATTRS_UNKNOWN);
    }
    if (isSparse(stat)) Atomics.or(flags, i, FLAG_SPARSE);
    else Atomics.and(flags, i, ~FLAG_SPARSE);
    this.#sha256.write(sha256, i * 32, 32, "hex");
    Atomics.or(flags, i, FLAG_HASHED);
  }

  /** Ends building: makes room for the hashes. The table can now be shared. */
  freeze(): EntryTableShare {
    this.#sha256 = Buffer.from(new SharedArrayBuffer(this.count * 32));
    const textEnd = new Uint32Array(new SharedArrayBuffer(Uint32Array.BYTES_PER_ELEMENT));
    textEnd[0] = this.#textBytes;
    this.#textEnd = textEnd;
    const columns = {} as Record<ColumnName, SharedArrayBuffer>;
    for (const name of COLUMN_NAMES) {
      columns[name] = this.#columns[name].buffer as unknown as SharedArrayBuffer;
    }
    return {
      count: this.count,
      textBytes: this.#textBytes,
      text: this.#text.buffer as unknown as SharedArrayBuffer,
      textEnd: textEnd.buffer,
      sha256: this.#sha256.buffer as unknown as SharedArrayBuffer,
      columns,
    };
  }

  #growColumns(): void {
    this.#capacity = Math.min(ROWS_MAX, this.#capacity * 2);
    if (this.count >= this.#capacity) throw tooLarge(`${ROWS_MAX} files and folders`);
    for (const name of COLUMN_NAMES) {
      const Type = columnType(name);
      const buffer = this.#columns[name].buffer as unknown as SharedArrayBuffer;
      buffer.grow(this.#capacity * Type.BYTES_PER_ELEMENT);
      (this.#columns as Record<ColumnName, unknown>)[name] = new Type(buffer, 0, this.#capacity);
    }
  }

  #growText(neededBytes: number): void {
    const needed = this.#textBytes + neededBytes;
    const size = Math.min(TEXT_BYTES_MAX, Math.max(this.#text.length * 2, needed));
    if (size < needed) throw tooLarge(`${TEXT_BYTES_MAX} bytes of names`);
    const buffer = this.#text.buffer as unknown as SharedArrayBuffer;
    buffer.grow(size);
    this.#text = new Uint8Array(buffer, 0, size);
  }
}

function growable(bytes: number, maxByteLength: number): SharedArrayBuffer {
  return new SharedArrayBuffer(bytes, { maxByteLength });
}

/** Any thread may make the memory larger at the same time; it only ever grows. */
function growTo(buffer: SharedArrayBuffer, bytes: number): void {
  while (buffer.byteLength < bytes) {
    try {
      buffer.grow(bytes);
    } catch (thrown) {
      if (buffer.byteLength < bytes) throw thrown;
    }
  }
}

function tooLarge(what: string): BackupError {
  return new BackupError("rejected", `The source has more than ${what}`, {
    hint: "Back up its folders as several sources",
  });
}

function latin1(bytes: Uint8Array, from: number, to: number): string {
  let text = "";
  for (let i = from; i < to; i++) text += String.fromCharCode(bytes[i]!);
  return text;
}

/** Decodes a one-byte-a-character string as UTF-8; ASCII comes back as it is. */
export function utf8OfLatin1(text: string): string {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 127) return Buffer.from(text, "latin1").toString("utf8");
  }
  return text;
}

/** The bytes of a UTF-8 string, one a character. */
export function latin1OfUtf8(text: string): string {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 127) return Buffer.from(text, "utf8").toString("latin1");
  }
  return text;
}
