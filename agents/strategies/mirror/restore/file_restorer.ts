/**
 * Brings single files back. Rule: read once, hashed while it is written to a temporary name, and only what is equal to
 * its recorded SHA-256, whole, flushed and with all its metadata, gets its final name.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { BackupError } from "../../../../protocol/base/errors.ts";
import {
  EDQUOT,
  EEXIST,
  EINVAL,
  EIO,
  EISDIR,
  ELOOP,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  EROFS,
  errnoCode,
  errnoText,
  EXDEV,
  posixError,
} from "../../../platform/errno.ts";
import { Garbage, HASH_GARBAGE_BYTES } from "../../../platform/garbage.ts";
import {
  cName,
  DIRECT_BLOCK_BYTES,
  type DirectoryHandle,
  KIND_FILE,
  newStat,
  type Posix,
} from "../../../platform/posix.ts";
import type { ThreadCells } from "../../../threads/thread_rpc.ts";
import type { ManifestEntry } from "../manifest_line.ts";
import { type EntryMetadata, metadataOf, MetadataSetter } from "./entry_metadata.ts";
import type { Content } from "./open_content.ts";
import { PathChain, splitPath } from "./path_chain.ts";
import { putInPlace, type RestoreTarget } from "./restore_target.ts";

export interface WantedFile {
  /** Below the target, the copy's name first, one byte a character. */
  path: string;
  line: number;
  entry: ManifestEntry;
}

/** What became of one file. `source` failures concern the copy that was read, `target` ones the place it goes to. */
export type FileOutcome =
  | { kind: "staged" }
  | { kind: "there" }
  | { kind: "kept" }
  | { kind: "cancelled" }
  | {
    kind: "source";
    why: "damaged" | "missing" | "unreadable" | "locked";
    code: string;
    message: string;
  }
  | { kind: "target"; code: string; message: string };

/** Told for each file that got its name, or did not. */
export interface Published {
  onDone(file: WantedFile): void;
  onKept(file: WantedFile): void;
  onFailed(file: WantedFile, code: string, message: string): void;
}

const PIECE_BYTES = 256 << 10;
/** The device sees each write as it is, so larger ones pay. */
const DIRECT_PIECE_BYTES = 2 << 20;
const DIRECT_FROM_BYTES = 4 << 20;
const WASM_PAGE_BYTES = 64 << 10;
/** What one flush has to answer for; more loses more work at a crash, less flushes more often. */
const PUBLISH_FILES = 8_192;
const PUBLISH_BYTES = 1 << 30;
const ZEROS = new Uint8Array(DIRECT_BLOCK_BYTES);

interface Staged {
  file: WantedFile;
  name: Uint8Array;
}

export class FileRestorer {
  readonly chain: PathChain;
  readonly setter: MetadataSetter;
  readonly #posix: Posix;
  readonly #target: RestoreTarget;
  readonly #cells: ThreadCells;
  readonly #overwrite: boolean;
  readonly #stat = newStat();
  readonly #garbage = new Garbage();
  // Memory of WebAssembly starts at a page, which writing past the page cache needs.
  readonly #buffer = new Uint8Array(
    new WebAssembly.Memory({ initial: DIRECT_PIECE_BYTES / WASM_PAGE_BYTES }).buffer,
  );
  #staged: Staged[] = [];
  #stagedBytes = 0;
  #nextName = 0;

  constructor(
    posix: Posix,
    target: RestoreTarget,
    cells: ThreadCells,
    identity: { uid: number; gid: number },
    overwrite: boolean,
  ) {
    this.#posix = posix;
    this.#target = target;
    this.#cells = cells;
    this.#overwrite = overwrite;
    this.chain = new PathChain(posix, target.root);
    this.setter = new MetadataSetter(posix, identity);
  }

  /** Enough is staged for a flush. */
  get isFull(): boolean {
    return this.#staged.length >= PUBLISH_FILES || this.#stagedBytes >= PUBLISH_BYTES;
  }

  /**
   * Stages one file, unless it stands there already or something else does. `open` is asked for the content when it is
   * needed. @throws {BackupError} when nothing more can be written to the target
   */
  restore(file: WantedFile, open: () => Content | number): FileOutcome {
    this.#tick();
    const { folder, name } = splitPath(file.path);
    const at = this.chain.folder(folder);
    if (at < 0) return this.targetFailure("open its folder", at);
    const metadata = metadataOf(file.entry)!;
    const standing = this.#standing(at, name, file.entry, metadata);
    if (standing !== undefined) return standing;
    let content: Content | number;
    try {
      content = open();
    } catch (thrown) {
      if (!(thrown instanceof BackupError)) throw thrown;
      return lockedBy(thrown) ??
        { kind: "source", why: "unreadable", code: thrown.code, message: thrown.message };
    }
    if (typeof content === "number") return sourceFailure(content);
    try {
      return this.#stage(file, content, metadata);
    } finally {
      content.close();
    }
  }

  /** Flushes what is staged and gives it its names. @throws {BackupError} when the flush fails: then nothing got one */
  publish(published: Published): void {
    const staged = this.#staged;
    if (staged.length === 0) return;
    this.#staged = [];
    this.#stagedBytes = 0;
    this.#tick();
    if (this.#target.batchFlush) {
      const result = this.#posix.flushFileSystem(this.#target.root);
      if (result < 0) throw posixError(result, "flush", this.#target.display);
    }
    for (const { file, name: stagedName } of staged) {
      if (this.#stopped()) return;
      this.#tick();
      const { folder, name } = splitPath(file.path);
      const at = this.chain.folder(folder);
      const result = at < 0 ? at : this.moveIntoPlace(stagedName, at, name);
      if (result >= 0) published.onDone(file);
      else {
        this.#posix.unlink(this.#target.stage, stagedName);
        if (result === -EEXIST) published.onKept(file);
        else {
          const { code, message } = this.targetFailure("put it in place", result);
          published.onFailed(file, code, message);
        }
      }
    }
  }

  /** A name in the stage that is free. */
  stagedName(): Uint8Array {
    return cName(`t${this.#nextName++}`);
  }

  moveIntoPlace(staged: Uint8Array, folder: DirectoryHandle, name: Uint8Array): number {
    return putInPlace(this.#posix, this.#target.stage, staged, folder, name, this.#overwrite);
  }

  /** One entry's failure. @throws {BackupError} when it is everybody's: a full, broken or read-only disk */
  targetFailure(action: string, result: number): FileOutcome & { kind: "target" } {
    const errno = -result;
    if (errno === ENOSPC || errno === EDQUOT || errno === EROFS || errno === EIO) {
      const { code, message, retry } = posixError(result, "write to", this.#target.display);
      throw new BackupError(code, message, {
        path: this.#target.display,
        retry,
        hint: "What has its name is whole: make room or repair it, then restore again to go on",
      });
    }
    const why = errno === ELOOP || errno === ENOTDIR
      ? "something that is no folder stands in the way; move it away"
      : errno === EISDIR
      ? "a folder stands there; move it away"
      : errno === EXDEV
      ? "another file system is mounted there; restore into that one"
      : errnoText(errno);
    return { kind: "target", code: errnoCode(errno), message: `Cannot ${action}: ${why}` };
  }

  close(): void {
    this.chain.close();
  }

  /** What to do about what stands under the name; undefined when the file is to be written. */
  #standing(
    at: DirectoryHandle,
    name: Uint8Array,
    entry: ManifestEntry,
    metadata: EntryMetadata,
  ): FileOutcome | undefined {
    const stat = this.#stat;
    const found = this.#posix.statAt(at, name, stat);
    if (found === -ENOENT) return undefined;
    if (found < 0) return this.targetFailure("look at what stands there", found);
    const isAlike = stat.kind === KIND_FILE && stat.sizeBytes === entry.sizeBytes &&
      stat.mtimeSec === metadata.mtimeSec && stat.mtimeNsec === metadata.mtimeNsec &&
      (!this.#overwrite ||
        (stat.mode === metadata.mode && stat.uid === metadata.uid && stat.gid === metadata.gid));
    if (isAlike && this.#hashOf(at, name) === entry.sha256) return { kind: "there" };
    if (this.#stopped()) return { kind: "cancelled" };
    return this.#overwrite ? undefined : { kind: "kept" };
  }

  /** Of what stands at the target; undefined when it cannot be read. */
  #hashOf(at: DirectoryHandle, name: Uint8Array): string | undefined {
    const fd = this.#posix.openRead(at, name);
    if (fd < 0) return undefined;
    const hash = createHash("sha256");
    const into = this.#buffer.subarray(0, PIECE_BYTES);
    let got = 0;
    for (let offset = 0; !this.#stopped(); offset += got) {
      this.#tick();
      got = this.#posix.readAt(fd, into, offset);
      if (got <= 0) break;
      hash.update(into.subarray(0, got));
    }
    this.#posix.close(fd);
    this.#garbage.made(HASH_GARBAGE_BYTES);
    return got === 0 && !this.#stopped() ? hash.digest("hex") : undefined;
  }

  #stage(file: WantedFile, content: Content, metadata: EntryMetadata): FileOutcome {
    const posix = this.#posix;
    const { stage } = this.#target;
    const name = this.stagedName();
    const fd = posix.createFile(stage, name);
    if (fd < 0) return this.targetFailure("create it", fd);
    let outcome: FileOutcome | undefined;
    try {
      outcome = this.#fill(fd, file.entry, content);
      if (outcome === undefined) {
        let result = this.setter.setOpen(fd, metadata, true);
        if (result >= 0 && !this.#target.batchFlush) result = posix.flushFile(fd);
        if (result < 0) outcome = this.targetFailure("write it", result);
      }
    } finally {
      const closed = posix.close(fd);
      if (outcome === undefined && closed < 0) outcome = this.targetFailure("write it", closed);
      if (outcome !== undefined) posix.unlink(stage, name);
    }
    if (outcome !== undefined) return outcome;
    this.#staged.push({ file, name });
    this.#stagedBytes += file.entry.sizeBytes ?? 0;
    return { kind: "staged" };
  }

  /** The content, hashed on its way; undefined when all of it is there and right. */
  #fill(fd: number, entry: ManifestEntry, content: Content): FileOutcome | undefined {
    const posix = this.#posix;
    const sizeBytes = entry.sizeBytes ?? 0;
    const sparse = entry.sparse === true;
    let direct = !sparse && sizeBytes >= DIRECT_FROM_BYTES && this.#target.directWrites &&
      posix.setDirect(fd, true) >= 0;
    const buffer = direct ? this.#buffer : this.#buffer.subarray(0, PIECE_BYTES);
    const hash = createHash("sha256");
    let offset = 0;
    for (;;) {
      if (this.#stopped()) return { kind: "cancelled" };
      this.#tick();
      let got: number;
      try {
        got = content.read(buffer);
      } catch (thrown) {
        // Decoders throw; a file that is stored as it is has none.
        if (thrown instanceof BackupError) return lockedBy(thrown) ?? wrong("it cannot be decoded");
        throw thrown;
      }
      if (got < 0) return sourceFailure(got);
      if (got === 0) break;
      if (offset + got > sizeBytes) return wrong("it is larger than recorded");
      const piece = got === buffer.length ? buffer : buffer.subarray(0, got);
      hash.update(piece);
      if (direct && got % DIRECT_BLOCK_BYTES !== 0) {
        direct = false;
        posix.setDirect(fd, false);
      }
      let put = sparse ? this.#writeSparse(fd, piece, offset) : this.#write(fd, piece, offset);
      if (direct && put === -EINVAL) {
        direct = false;
        posix.setDirect(fd, false);
        put = this.#write(fd, piece, offset);
      }
      if (put < 0) return this.targetFailure("write it", put);
      offset += got;
      this.#cells.bytes[0]! += got;
    }
    this.#garbage.made(HASH_GARBAGE_BYTES);
    if (offset !== sizeBytes) return wrong("it is smaller than recorded");
    if (hash.digest("hex") !== entry.sha256) return wrong("its checksum is not the recorded one");
    const cut = sparse ? posix.truncate(fd, sizeBytes) : 0;
    return cut < 0 ? this.targetFailure("write it", cut) : undefined;
  }

  #write(fd: number, bytes: Uint8Array, offset: number): number {
    for (let done = 0; done < bytes.length;) {
      const rest = done === 0 ? bytes : bytes.subarray(done);
      const put = this.#posix.writeAt(fd, rest, offset + done);
      if (put < 0) return put;
      if (put === 0) return -EIO;
      done += put;
    }
    return 0;
  }

  /** Blocks of zeros are left out: they read as zeros all the same. */
  #writeSparse(fd: number, bytes: Uint8Array, offset: number): number {
    let from = 0;
    for (let at = 0; at <= bytes.length; at += DIRECT_BLOCK_BYTES) {
      const block = bytes.subarray(at, Math.min(bytes.length, at + DIRECT_BLOCK_BYTES));
      if (block.length > 0 && !isZero(block)) continue;
      if (at > from) {
        const put = this.#write(fd, bytes.subarray(from, at), offset + from);
        if (put < 0) return put;
      }
      from = at + block.length;
    }
    return from < bytes.length ? this.#write(fd, bytes.subarray(from), offset + from) : 0;
  }

  #tick(): void {
    Atomics.add(this.#cells.operations, 0, 1);
  }

  #stopped(): boolean {
    return Atomics.load(this.#cells.cancelled, 0) !== 0 ||
      Atomics.load(this.#cells.fenced, 0) !== 0;
  }
}

function isZero(block: Uint8Array): boolean {
  if (block[0] !== 0) return false;
  return Buffer.compare(
    block,
    block.length === ZEROS.length ? ZEROS : ZEROS.subarray(0, block.length),
  ) === 0;
}

function wrong(message: string): FileOutcome {
  return { kind: "source", why: "damaged", code: "damaged", message };
}

/** When it is for want of a key that the content cannot be had. */
function lockedBy({ code, message }: BackupError): FileOutcome | undefined {
  return code === "wrong_key" ? { kind: "source", why: "locked", code, message } : undefined;
}

function sourceFailure(result: number): FileOutcome {
  const errno = -result;
  const isMissing = errno === ENOENT || errno === ENOTDIR || errno === ELOOP;
  return {
    kind: "source",
    why: isMissing ? "missing" : "unreadable",
    code: errnoCode(errno),
    message: errnoText(errno),
  };
}
