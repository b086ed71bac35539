/**
 * Reads source files into shared slots, hashing on the way; runs on reader threads. Rule: what is handed out is one
 * consistent version of a file – its stat is the same before and after the read – or a named problem.
 */
import { createHash, type Hash } from "node:crypto";
import { BackupError, type ErrorCode } from "../../protocol/base/errors.ts";
import { DirectoryCache } from "../platform/directory_cache.ts";
import { ENOENT, EPERM, errnoCode, errnoText, posixError } from "../platform/errno.ts";
import {
  cName,
  type DirectoryHandle,
  KIND_FILE,
  newStat,
  type Posix,
  type Stat,
} from "../platform/posix.ts";
import { Holes } from "../platform/holes.ts";
import { Garbage, HASH_GARBAGE_BYTES } from "../platform/garbage.ts";
import type { ThreadCells } from "../threads/thread_rpc.ts";
import { EntryTable, type EntryTableShare, FLAG_XATTRS_UNKNOWN, isSparse } from "./entry_table.ts";
import { hasNoXattrs, NO_XATTRS, readXattrs, sameXattrs, type Xattr } from "./xattrs.ts";

/** A file whose content is not that of its table row: a later version, read after the row was filled in. */
export interface ReadVersion extends Stat {
  /** In hex. */
  sha256: string;
  /** Its extended attributes, sorted by name; missing when they are the row's. */
  xattrs?: readonly Xattr[];
}

export interface ReadProblem {
  /** Position in the request. */
  item: number;
  code: string;
  message: string;
  /** True when another try may find the file at rest. */
  retry: boolean;
}

export interface ReadFilesResult {
  /** End offset of each file relative to the slot; a file begins where the one before it ends. */
  ends: Uint32Array;
  problems: ReadProblem[];
  versions: { item: number; version: ReadVersion }[];
}

export interface StreamChunk {
  bytes: number;
  /** Set with the last chunk. */
  end?: { version?: ReadVersion };
}

interface Source {
  table: EntryTable;
  root: DirectoryHandle;
  directories: DirectoryCache;
}

interface Stream {
  source: Source;
  row: number;
  fd: number;
  hash: Hash;
  offset: number;
  before: Stat;
  /** Of a file that has some. */
  holes: Holes | undefined;
}

/** Bytes read and hashed at once: small enough to stay in the processor's cache between the two. */
const PIECE_BYTES = 256 << 10;

export class Reader {
  readonly #posix: Posix;
  readonly #cells: ThreadCells;
  readonly #slots: Uint8Array;
  readonly #sources = new Map<string, Source>();
  readonly #streams = new Map<number, Stream>();
  readonly #garbage = new Garbage();
  readonly #before = newStat();
  readonly #after = newStat();

  constructor(posix: Posix, slots: SharedArrayBuffer, cells: ThreadCells) {
    this.#posix = posix;
    this.#cells = cells;
    this.#slots = new Uint8Array(slots);
  }

  addSource(request: { source: string; path: string; table: EntryTableShare }): void {
    const root = this.#posix.openRoot(cName(request.path));
    if (root < 0) throw posixError(root, "read", request.path);
    const table = EntryTable.fromShare(request.table);
    const names = {
      parent: (row: number) => table.columns.parent[row]!,
      cName: (row: number) => table.cName(row),
    };
    this.#sources.set(request.source, {
      table,
      root,
      directories: new DirectoryCache(this.#posix, names, root),
    });
  }

  /** Reads whole files one after the other into a slot. One bad file never hides the others. */
  readFiles(
    request: { source: string; rows: Uint32Array; slotOffset: number; slotBytes: number },
  ): ReadFilesResult {
    const source = this.#source(request.source);
    const { rows } = request;
    const ends = new Uint32Array(rows.length);
    const problems: ReadProblem[] = [];
    const versions: { item: number; version: ReadVersion }[] = [];
    const fds = new Int32Array(rows.length);
    // All are opened and announced first, so that a cold disk can order its work.
    for (let item = 0; item < rows.length; item++) {
      Atomics.add(this.#cells.operations, 0, 1);
      const fd = this.#open(source, rows[item]!);
      fds[item] = fd;
      if (fd >= 0 && rows.length > 1) this.#posix.willNeed(fd);
    }
    let end = 0;
    for (let item = 0; item < rows.length; item++) {
      const row = rows[item]!;
      const fd = fds[item]!;
      if (fd < 0) {
        problems.push(openProblem(item, fd));
        ends[item] = end;
        continue;
      }
      Atomics.add(this.#cells.operations, 0, 1);
      const room = request.slotBytes - end;
      const into = this.#slots.subarray(request.slotOffset + end, request.slotOffset + end + room);
      const got = this.#readWhole(source, row, fd, into, item, problems, versions);
      this.#posix.close(fd);
      end += got;
      ends[item] = end;
    }
    return { ends, problems, versions };
  }

  openStream(request: { source: string; stream: number; row: number }): { sizeBytes: number } {
    const source = this.#source(request.source);
    Atomics.add(this.#cells.operations, 0, 1);
    const fd = this.#open(source, request.row);
    if (fd < 0) throw this.#sourceError(source, request.row, fd);
    const before = newStat();
    const result = this.#posix.stat(fd, before);
    if (result < 0 || before.kind !== KIND_FILE) {
      this.#posix.close(fd);
      throw this.#sourceError(source, request.row, result < 0 ? result : -ENOENT);
    }
    this.#streams.set(request.stream, {
      source,
      row: request.row,
      fd,
      hash: createHash("sha256"),
      offset: 0,
      before,
      holes: isSparse(before) ? new Holes(this.#posix, fd, before.sizeBytes) : undefined,
    });
    return { sizeBytes: before.sizeBytes };
  }

  /** The next chunk of a stream. The last one, with `end`, closes it; so does an error. */
  readStream(
    request: { stream: number; slotOffset: number; slotBytes: number },
  ): StreamChunk {
    const stream = this.#streams.get(request.stream);
    if (stream === undefined) throw new BackupError("cancelled", "The stream was closed");
    const { row, fd, source } = stream;
    let bytes = 0;
    const wanted = Math.min(request.slotBytes, stream.before.sizeBytes - stream.offset);
    while (bytes < wanted) {
      Atomics.add(this.#cells.operations, 0, 1);
      const at = request.slotOffset + bytes;
      const piece = this.#slots.subarray(at, at + Math.min(PIECE_BYTES, wanted - bytes));
      const got = readPiece(this.#posix, fd, piece, stream.offset, stream.holes);
      if (got < 0) {
        this.closeStream(request);
        throw this.#sourceError(source, row, got);
      }
      if (got === 0) break;
      stream.hash.update(got === piece.length ? piece : piece.subarray(0, got));
      stream.offset += got;
      bytes += got;
    }
    if (bytes === wanted && stream.offset < stream.before.sizeBytes) return { bytes };
    const xattrs = this.#changedXattrs(source, row, stream.before);
    const result = this.#posix.stat(fd, this.#after);
    this.closeStream(request);
    if (typeof xattrs === "number" && xattrs !== REPLACED) {
      throw this.#sourceError(source, row, xattrs);
    }
    if (
      xattrs === REPLACED || result < 0 || bytes !== wanted ||
      !sameVersion(stream.before, this.#after)
    ) {
      throw new BackupError("changed_while_read", CHANGED, {
        path: source.table.pathText(row),
        retry: "later",
      });
    }
    const version = this.#settle(source.table, row, this.#after, stream.hash, xattrs);
    return { bytes, end: version === undefined ? {} : { version } };
  }

  closeStream(request: { stream: number }): void {
    const stream = this.#streams.get(request.stream);
    if (stream !== undefined) this.#posix.close(stream.fd);
    this.#streams.delete(request.stream);
  }

  /**
   * A part of a file that was read in full before, for a destination that fell behind. Not hashed: what that
   * destination wrote is compared with the hash of the first read when it is verified.
   */
  readPart(
    request: {
      source: string;
      row: number;
      offset: number;
      slotOffset: number;
      slotBytes: number;
      mtimeSec: number;
      mtimeNsec: number;
      sizeBytes: number;
    },
  ): StreamChunk {
    const source = this.#source(request.source);
    Atomics.add(this.#cells.operations, 0, 1);
    const fd = this.#open(source, request.row);
    if (fd < 0) throw this.#sourceError(source, request.row, fd);
    try {
      const into = this.#slots.subarray(
        request.slotOffset,
        request.slotOffset + Math.min(request.slotBytes, request.sizeBytes - request.offset),
      );
      let bytes = 0;
      while (bytes < into.length) {
        Atomics.add(this.#cells.operations, 0, 1);
        const got = this.#posix.readAt(fd, into.subarray(bytes), request.offset + bytes);
        if (got < 0) throw this.#sourceError(source, request.row, got);
        if (got === 0) break;
        bytes += got;
      }
      const after = this.#after;
      this.#posix.stat(fd, after);
      if (
        bytes !== into.length || after.sizeBytes !== request.sizeBytes ||
        after.mtimeSec !== request.mtimeSec || after.mtimeNsec !== request.mtimeNsec
      ) {
        throw new BackupError("changed_while_read", CHANGED, {
          path: source.table.pathText(request.row),
          retry: "later",
        });
      }
      return { bytes };
    } finally {
      this.#posix.close(fd);
    }
  }

  removeSource(request: { source: string }): void {
    const source = this.#sources.get(request.source);
    if (source === undefined) return;
    this.#sources.delete(request.source);
    // Streams that every destination gave up were never read to their end.
    for (const [stream, { source: of }] of this.#streams) {
      if (of === source) this.closeStream({ stream });
    }
    source.directories.close();
    this.#posix.closeDirectory(source.root);
  }

  #source(key: string): Source {
    const source = this.#sources.get(key);
    if (source === undefined) throw new TypeError(`Unknown source: ${key}`);
    return source;
  }

  #open(source: Source, row: number): number {
    const directory = source.directories.handle(source.table.columns.parent[row]!);
    return directory < 0 ? directory : this.#posix.openRead(directory, source.table.cName(row));
  }

  #sourceError(source: Source, row: number, result: number): BackupError {
    const code = result === -ENOENT ? "vanished" : sourceCode(-result);
    const message = result === -ENOENT ? VANISHED : errnoText(-result);
    return new BackupError(code, message, { path: source.table.pathText(row) });
  }

  /** Reads one open file to its end; returns the bytes that stay in the slot. */
  #readWhole(
    source: Source,
    row: number,
    fd: number,
    into: Uint8Array,
    item: number,
    problems: ReadProblem[],
    versions: { item: number; version: ReadVersion }[],
  ): number {
    const before = this.#before;
    let result = this.#posix.stat(fd, before);
    if (result >= 0 && before.kind !== KIND_FILE) result = -ENOENT;
    if (result < 0) {
      problems.push(openProblem(item, result));
      return 0;
    }
    let bytes = 0;
    // One byte more than the size is asked for: a shorter answer is the end of the file, without a second read.
    while (bytes <= before.sizeBytes && bytes < into.length) {
      const rest = into.subarray(bytes, Math.min(into.length, before.sizeBytes + 1));
      if (rest.length === 0) break;
      result = this.#posix.readAt(fd, rest, bytes);
      if (result <= 0) break;
      bytes += result;
      if (result < rest.length) break;
    }
    if (result < 0) {
      problems.push(openProblem(item, result));
      return 0;
    }
    const xattrs = this.#changedXattrs(source, row, before);
    if (typeof xattrs === "number" && xattrs !== REPLACED) {
      problems.push(openProblem(item, xattrs));
      return 0;
    }
    this.#posix.stat(fd, this.#after);
    if (xattrs === REPLACED || bytes !== before.sizeBytes || !sameVersion(before, this.#after)) {
      problems.push({ item, code: "changed_while_read", message: CHANGED, retry: true });
      return 0;
    }
    const hash = createHash("sha256").update(into.subarray(0, bytes));
    const version = this.#settle(source.table, row, this.#after, hash, xattrs);
    if (version !== undefined) versions.push({ item, version });
    return bytes;
  }

  /**
   * The attributes of a file whose stat is not the row's any more: with its content they may have changed. Undefined when
   * they are the row's, -errno, or `REPLACED` when its name leads to another file now.
   */
  #changedXattrs(source: Source, row: number, before: Stat): readonly Xattr[] | number | undefined {
    const { table } = source;
    if (table.sameStat(row, before)) return undefined;
    const directory = source.directories.handle(table.columns.parent[row]!);
    if (directory < 0) return directory;
    const read = readXattrs(this.#posix, directory, table.cName(row));
    const named = this.#posix.statAt(directory, table.cName(row), this.#after);
    if (named < 0) return named;
    if (!sameFile(before, this.#after)) return REPLACED;
    const isUnknown = (table.columns.flags[row]! & FLAG_XATTRS_UNKNOWN) !== 0;
    // As in the walk: what cannot be read is named once, and what may not be asked for is not there.
    if (typeof read === "number" && !hasNoXattrs(read) && !NOT_TO_BE_HAD.has(-read)) {
      return isUnknown ? undefined : read;
    }
    const found = typeof read === "number" ? NO_XATTRS : read;
    return !isUnknown && sameXattrs(found, table.xattrs(row)) ? undefined : found;
  }

  /** The first full read fills the row in; a later one that differs is a version of its own. */
  #settle(
    table: EntryTable,
    row: number,
    stat: Stat,
    hash: Hash,
    xattrs: readonly Xattr[] | undefined,
  ): ReadVersion | undefined {
    // As text: a digest in a buffer of its own costs the thread half as much time again, and much memory.
    const sha256 = hash.digest("hex");
    this.#garbage.made(HASH_GARBAGE_BYTES);
    if (!table.isHashed(row)) {
      table.setHashed(row, stat, sha256, xattrs);
      return undefined;
    }
    if (table.sameStat(row, stat) && table.sha256Hex(row) === sha256) {
      return undefined;
    }
    return { ...stat, sha256, ...(xattrs !== undefined && { xattrs }) };
  }
}

const CHANGED = "The file changed while it was read";
const VANISHED = "The file was there when the source was listed, and is gone";

/** A source that is gone is a read error of these files; the destinations are as well as ever. */
function sourceCode(errno: number): ErrorCode {
  const code = errnoCode(errno);
  return code === "destination_lost" || code === "no_space" || code === "read_only" ? "io" : code;
}

function openProblem(item: number, result: number): ReadProblem {
  return result === -ENOENT
    ? { item, code: "vanished", message: VANISHED, retry: false }
    : { item, code: sourceCode(-result), message: errnoText(-result), retry: false };
}

/** -ENOENT for a file that is there: /proc is missing. */
const NOT_TO_BE_HAD: ReadonlySet<number> = new Set([EPERM, ENOENT]);

/** No errno: see `#changedXattrs`. */
const REPLACED = -100_000;

/** Reads into `piece`, or fills it with the zeros of a hole: bytes, 0 at the end, or -errno. */
function readPiece(
  posix: Posix,
  fd: number,
  piece: Uint8Array,
  offset: number,
  holes: Holes | undefined,
): number {
  const zeros = holes === undefined ? 0 : Math.min(holes.zerosAt(offset), piece.length);
  if (zeros === 0) return posix.readAt(fd, piece, offset);
  piece.fill(0, 0, zeros);
  return zeros;
}

function sameFile(a: Stat, b: Stat): boolean {
  return a.inodeLow === b.inodeLow && a.inodeHigh === b.inodeHigh && a.device === b.device &&
    sameVersion(a, b);
}

function sameVersion(a: Stat, b: Stat): boolean {
  return a.sizeBytes === b.sizeBytes && a.mtimeSec === b.mtimeSec && a.mtimeNsec === b.mtimeNsec &&
    a.ctimeSec === b.ctimeSec && a.ctimeNsec === b.ctimeNsec;
}
