/**
 * Puts right what a repair found, on the thread of the damaged destination. Rule: content is written to the stage, compared
 * with the recorded hash, flushed and read back there; only then does it take the name, in one step, from what was damaged.
 */
import { createHash, type Hash } from "node:crypto";
import { BackupError } from "../../../protocol/base/errors.ts";
import { DISPLACED_DIRECTORY } from "../../destinations/layout.ts";
import {
  EACCES,
  EEXIST,
  EINVAL,
  ENOENT,
  ENOSYS,
  EOPNOTSUPP,
  EPERM,
  posixError,
} from "../../platform/errno.ts";
import {
  cName,
  type DirectoryHandle,
  KIND_BLOCK_DEVICE,
  KIND_CHARACTER_DEVICE,
  KIND_DIRECTORY,
  KIND_FIFO,
  KIND_FILE,
  KIND_SYMLINK,
  newStat,
  type Posix,
} from "../../platform/posix.ts";
import { utf8OfLatin1 } from "../../source/entry_table.ts";
import type { ThreadCells } from "../../threads/thread_rpc.ts";
import { parseRecipient } from "./codec/age_keys.ts";
import { createEncoder, encrypts, isCodec } from "./codec/codec.ts";
import { EncodedFile } from "./encoded_file.ts";
import type { CopyDestination } from "./list_keys.ts";
import { openManifest } from "./manifest_file.ts";
import { manifestName } from "./manifest_update.ts";
import type { NewForm } from "./repair_forms.ts";
import type { FileVerifier } from "./file_verifier.ts";
import type { ManifestEntry } from "./manifest_line.ts";
import { applyMetadata } from "./recorded_metadata.ts";
import { type Damage, openFolder, symlinkTarget } from "./repair_find.ts";
import { storedContent, storedPathLatin1 } from "./stored_form.ts";
import { recipientsId } from "./stored_rows.ts";
import { cNameOfLatin1, openPath, removeTree } from "./tree_removal.ts";

/** The copy that is being repaired. */
export interface RepairedCopy {
  bindingKey: string;
  name: string;
}

export interface Made {
  /** Below `.backup-agent/`: where something else that stood under the name is now. */
  displacedTo?: string;
  /** Of a file that is stored in other bytes than its line says. */
  form?: NewForm;
  /** The content was read back with its pages proven to be out of the cache. */
  fromDisk: boolean;
}

/** In `stage/<key>/`; a next run clears it like that of an interrupted backup. */
const REPAIR_STAGE = "repair";
const STAGED = cName("content");
const STAGED_OTHER = cName("other");
const NODE_KINDS: Readonly<Record<string, number>> = {
  fifo: KIND_FIFO,
  character: KIND_CHARACTER_DEVICE,
  block: KIND_BLOCK_DEVICE,
};

interface OpenFile {
  fd: number;
  offset: number;
  hash: Hash;
  /** Pieces of nothing but zeros are left out. */
  isSparse: boolean;
  /** What comes is content, and is stored through this; `hash` is of the content then. */
  encoded: EncodedFile | undefined;
  contentBytes: number;
}

/** Pieces that can become holes: a block of the usual file systems. */
const HOLE_BYTES = 4096;

export class RepairWriter {
  readonly #posix: Posix;
  readonly #destination: () => CopyDestination;
  readonly #verifier: FileVerifier;
  readonly #cells: ThreadCells;
  readonly #stat = newStat();
  #copy: RepairedCopy = { bindingKey: "", name: "" };
  /** Public keys of the copy's list; read when they are needed. */
  #recipients: string[] | undefined;
  #above: DirectoryHandle = -1;
  #stage: DirectoryHandle = -1;
  #open: OpenFile | undefined;

  constructor(
    posix: Posix,
    destination: () => CopyDestination,
    verifier: FileVerifier,
    cells: ThreadCells,
  ) {
    this.#posix = posix;
    this.#destination = destination;
    this.#verifier = verifier;
    this.#cells = cells;
  }

  /** Makes a fresh stage; answers whether hard links can be made there. @throws {BackupError} when it cannot be made */
  begin(copy: RepairedCopy): { keepsLinks: boolean } {
    this.end();
    this.#copy = copy;
    this.#recipients = undefined;
    const posix = this.#posix;
    const { stage, display } = this.#destination();
    const where = `${display}/.backup-agent/stage/${copy.bindingKey}/${REPAIR_STAGE}`;
    this.#above = openPath(posix, stage, copy.bindingKey, true);
    if (this.#above < 0) throw posixError(this.#above, "create", where);
    this.#clear();
    const made = posix.makeDirectory(this.#above, cName(REPAIR_STAGE), 0o700);
    if (made < 0) throw posixError(made, "create", where);
    this.#stage = posix.openDirectory(this.#above, cName(REPAIR_STAGE));
    if (this.#stage < 0) throw posixError(this.#stage, "open", where);
    const fd = posix.createFile(this.#stage, STAGED);
    if (fd < 0) throw posixError(fd, "write to", where);
    posix.close(fd);
    const linked = posix.link(this.#stage, STAGED, this.#stage, STAGED_OTHER);
    return { keepsLinks: linked >= 0 };
  }

  /** Removes the stage with whatever is in it. */
  end(): void {
    this.abortFile();
    if (this.#stage >= 0) this.#posix.closeDirectory(this.#stage);
    this.#stage = -1;
    if (this.#above < 0) return;
    this.#clear();
    this.#posix.closeDirectory(this.#above);
    this.#above = -1;
  }

  /** `encodes`: what will come is the content, and it is stored as the line says. */
  beginFile(damage: Damage, encodes: boolean): void {
    this.abortFile();
    this.#tick();
    const encoded = encodes ? this.#encoderOf(damage.entry) : undefined;
    this.#posix.unlink(this.#stage, STAGED);
    const fd = this.#posix.createFile(this.#stage, STAGED);
    if (fd < 0) throw posixError(fd, "write to", this.#destination().display);
    const isSparse = damage.entry.sparse === true && damage.entry.codec === undefined;
    this.#open = { fd, offset: 0, hash: createHash("sha256"), isSparse, encoded, contentBytes: 0 };
  }

  writeFile(bytes: Uint8Array): void {
    const open = this.#opened();
    open.hash.update(bytes);
    open.contentBytes += bytes.length;
    if (open.encoded === undefined) this.#put(open, bytes);
    else for (const piece of open.encoded.push(bytes)) this.#put(open, piece);
  }

  #put(open: OpenFile, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      this.#tick();
      this.#checkNotStopped();
      const rest = bytes.subarray(done);
      const piece = open.isSparse ? rest.subarray(0, HOLE_BYTES) : rest;
      const isHole = open.isSparse && piece.every((byte) => byte === 0);
      const put = isHole ? piece.length : this.#posix.writeAt(open.fd, piece, open.offset);
      if (put < 0) throw posixError(put, "write to", this.#destination().display);
      done += put;
      open.offset += put;
    }
  }

  /** @throws {BackupError} `unsupported` when it is not known how the line's file was stored */
  #encoderOf(entry: ManifestEntry): EncodedFile | undefined {
    if (entry.codec === undefined) return undefined;
    if (!isCodec(entry.codec)) {
      throw new BackupError("unsupported", `Stored as ${entry.codec} by a newer version`);
    }
    if (!encrypts(entry.codec)) return new EncodedFile(createEncoder({ codec: entry.codec }));
    const recipients = this.#recipientsOf(entry).map(parseRecipient);
    return new EncodedFile(createEncoder({ codec: entry.codec, recipients }));
  }

  /** The list says for whom its newest files are; others may be for somebody else. */
  #recipientsOf({ storedFor }: ManifestEntry): string[] {
    const { manifests, display, keys } = this.#destination();
    const name = manifestName(this.#copy.bindingKey);
    this.#recipients ??= (() => {
      const list = openManifest(this.#posix, manifests, name, `${display}/${name}`, keys);
      list?.close();
      return list?.header.recipients ?? [];
    })();
    if (this.#recipients.length > 0 && recipientsId(this.#recipients) === storedFor) {
      return this.#recipients;
    }
    throw new BackupError("unsupported", "The list does not say for whom it was encrypted", {
      hint: "Run the backup of this source again",
    });
  }

  /**
   * Publishes what was written when it is what the line records. False when the bytes that came are not: then nothing is
   * changed. @throws {BackupError} when the disk refuses or does not give the bytes back; the damaged file then still stands
   */
  endFile(damage: Damage): Made | false {
    const open = this.#opened();
    const { fd, hash, isSparse, encoded, contentBytes } = open;
    const posix = this.#posix;
    const { entry } = damage;
    if (encoded !== undefined) { for (const piece of encoded.end()) this.#put(open, piece); }
    this.#open = undefined;
    const wanted = encoded === undefined
      ? storedContent(entry)
      : { sizeBytes: entry.sizeBytes ?? 0, sha256: entry.sha256 };
    const form = encoded === undefined
      ? undefined
      : { storedSizeBytes: encoded.sizeBytes, storedSha256: encoded.sha256() };
    const sizeBytes = form?.storedSizeBytes ?? wanted.sizeBytes;
    const sha256 = form?.storedSha256 ?? wanted.sha256 ?? "";
    const isRight = contentBytes === wanted.sizeBytes && hash.digest("hex") === wanted.sha256 &&
      open.offset === sizeBytes;
    if (!isRight) {
      posix.close(fd);
      posix.unlink(this.#stage, STAGED);
      return false;
    }
    this.#tick();
    // A hole at the end is there only by the size.
    const sized = isSparse ? posix.truncate(fd, sizeBytes) : 0;
    const applied = applyMetadata(posix, this.#stage, STAGED, entry);
    const flushed = posix.flushFile(fd);
    const closed = posix.close(fd);
    this.#check(Math.min(sized, applied, flushed, closed), "write", entry);
    const fromDisk = this.#readBack(entry, sizeBytes, sha256);
    const displacedTo = this.#publish(damage, STAGED, KIND_FILE);
    return {
      fromDisk,
      ...(form !== undefined && { form }),
      ...(displacedTo !== undefined && { displacedTo }),
    };
  }

  abortFile(): void {
    if (this.#open === undefined) return;
    this.#posix.close(this.#open.fd);
    this.#open = undefined;
    this.#posix.unlink(this.#stage, STAGED);
  }

  /** A folder that is missing, with a mode for us; the recorded one is set when everything in it stands. */
  makeDirectory(damage: Damage): Made {
    const { parent, name, close } = this.#parentOf(damage.entry);
    try {
      this.#tick();
      this.#checkNotStopped();
      const displacedTo = this.#displaceUnless(damage, parent, name, KIND_DIRECTORY);
      const made = this.#writable(parent, () => this.#posix.makeDirectory(parent, name, 0o700));
      this.#check(made === -EEXIST ? 0 : made, "create", damage.entry);
      this.#flushDirectory(parent, damage.entry);
      return { fromDisk: true, ...(displacedTo !== undefined && { displacedTo }) };
    } finally {
      close();
    }
  }

  /** A symbolic link, FIFO or device, or a further name of a file. */
  makeOther(damage: Damage): Made {
    const { entry, linkPath } = damage;
    const posix = this.#posix;
    this.#tick();
    posix.unlink(this.#stage, STAGED_OTHER);
    let result: number;
    let kind = NODE_KINDS[entry.type] ?? KIND_SYMLINK;
    if (linkPath !== undefined) {
      kind = KIND_FILE;
      const cut = linkPath.lastIndexOf("/");
      const { root } = this.#destination();
      const folder = openFolder(posix, root, this.#copy.name, linkPath.slice(0, Math.max(0, cut)));
      this.#check(folder, "open the folder of the first name of", entry);
      const first = cNameOfLatin1(linkPath.slice(cut + 1));
      result = posix.link(folder, first, this.#stage, STAGED_OTHER);
      posix.closeDirectory(folder);
    } else if (entry.type === "symlink") {
      const target = new Uint8Array([...symlinkTarget(entry), 0]);
      result = posix.symlink(target, this.#stage, STAGED_OTHER);
    } else {
      result = posix.makeNode(this.#stage, STAGED_OTHER, kind, entry.mode ?? 0, entry.rdev ?? 0);
    }
    this.#check(result, "create", entry);
    if (linkPath === undefined) {
      this.#check(applyMetadata(posix, this.#stage, STAGED_OTHER, entry), "create", entry);
    }
    const displacedTo = this.#publish(damage, STAGED_OTHER, kind);
    // Renaming one name of a file over another name of the same file does nothing and leaves both.
    posix.unlink(this.#stage, STAGED_OTHER);
    return { fromDisk: true, ...(displacedTo !== undefined && { displacedTo }) };
  }

  /** Sets mode, owner, time and attributes of what stands under the name. */
  setMetadata(damage: Damage): void {
    const { parent, name, close } = this.#parentOf(damage.entry);
    try {
      this.#tick();
      this.#checkNotStopped();
      this.#check(applyMetadata(this.#posix, parent, name, damage.entry), "set", damage.entry);
    } finally {
      close();
    }
  }

  #readBack(entry: ManifestEntry, sizeBytes: number, sha256: string): boolean {
    const fd = this.#posix.openRead(this.#stage, STAGED);
    this.#check(fd, "read back", entry);
    const dropped = this.#verifier.dropCache(fd, sizeBytes);
    const verdict = this.#verifier.verify({ fd, sizeBytes, sha256 }, dropped);
    this.#posix.close(fd);
    if (verdict.ok) return verdict.fromDisk;
    if (verdict.kind === "cancelled") throw new BackupError("cancelled", "Cancelled");
    if (verdict.kind === "error") this.#check(verdict.result, "read back", entry);
    throw new BackupError("damaged", "What was read back is not what was written");
  }

  /** Gives the staged thing its name. Something of another kind that stands there moves to `displaced/`. */
  #publish(damage: Damage, staged: Uint8Array, kind: number): string | undefined {
    const { parent, name, close } = this.#parentOf(damage.entry);
    try {
      this.#checkNotStopped();
      const displacedTo = this.#displaceUnless(damage, parent, name, kind);
      const result = this.#writable(
        parent,
        () => this.#posix.rename(this.#stage, staged, parent, name),
      );
      this.#check(result, "rename into place", damage.entry);
      this.#flushDirectory(parent, damage.entry);
      return displacedTo;
    } finally {
      close();
    }
  }

  #displaceUnless(
    damage: Damage,
    parent: DirectoryHandle,
    name: Uint8Array,
    kind: number,
  ): string | undefined {
    const posix = this.#posix;
    const found = posix.statAt(parent, name, this.#stat);
    if (found === -ENOENT) return undefined;
    this.#check(found, "look at", damage.entry);
    if (this.#stat.kind === kind) return undefined;
    const { own } = this.#destination();
    posix.makeDirectory(own, cName(DISPLACED_DIRECTORY), 0o700);
    const displaced = posix.openDirectory(own, cName(DISPLACED_DIRECTORY));
    this.#check(displaced, "move away", damage.entry);
    try {
      const base = `${this.#copy.bindingKey}-repair-${damage.line}`;
      let asName = base;
      for (let n = 2; posix.statAt(displaced, cName(asName), this.#stat) !== -ENOENT; n++) {
        if (n > DISPLACED_TRIES_MAX) this.#check(-EEXIST, "move away", damage.entry);
        asName = `${base}-${n}`;
      }
      const result = this.#writable(
        parent,
        () => posix.rename(parent, name, displaced, cName(asName)),
      );
      this.#check(result, "move away", damage.entry);
      this.#flushDirectory(displaced, damage.entry);
      return `${DISPLACED_DIRECTORY}/${asName}`;
    } finally {
      posix.closeDirectory(displaced);
    }
  }

  /** A folder that its owner may not write is opened for it; its recorded mode comes back with the metadata. */
  #writable(folder: DirectoryHandle, act: () => number): number {
    const result = act();
    if (result !== -EACCES || this.#posix.statDirectory(folder, this.#stat) < 0) return result;
    if (this.#posix.setFileMode(folder, this.#stat.mode | 0o700) < 0) return result;
    return act();
  }

  #parentOf(
    entry: ManifestEntry,
  ): { parent: DirectoryHandle; name: Uint8Array; close(): void } {
    const { root } = this.#destination();
    const path = storedPathLatin1(entry);
    if (path === "") return { parent: root, name: cName(this.#copy.name), close() {} };
    const cut = path.lastIndexOf("/");
    const folder = path.slice(0, Math.max(0, cut));
    const parent = openFolder(this.#posix, root, this.#copy.name, folder);
    this.#check(parent, "open the folder of", entry);
    return {
      parent,
      name: cNameOfLatin1(path.slice(cut + 1)),
      close: () => this.#posix.closeDirectory(parent),
    };
  }

  #flushDirectory(handle: DirectoryHandle, entry: ManifestEntry): void {
    const result = this.#posix.flushDirectory(handle);
    if (UNSUPPORTED.has(-result)) return;
    this.#check(result, "flush the folder of", entry);
  }

  #clear(): void {
    removeTree(this.#posix, this.#above, cName(REPAIR_STAGE), () => this.#tick());
  }

  #opened(): OpenFile {
    if (this.#open === undefined) throw new BackupError("cancelled", "The file was given up");
    return this.#open;
  }

  #check(result: number, action: string, entry: ManifestEntry): void {
    if (result >= 0) return;
    const path = `${this.#copy.name}/${utf8OfLatin1(storedPathLatin1(entry))}`;
    throw posixError(result, action, path);
  }

  /** A thread that was given up must put nothing under a name any more. */
  #checkNotStopped(): void {
    const { cancelled, fenced } = this.#cells;
    if (Atomics.load(cancelled, 0) === 0 && Atomics.load(fenced, 0) === 0) return;
    throw new BackupError("cancelled", "Cancelled");
  }

  #tick(): void {
    Atomics.add(this.#cells.operations, 0, 1);
  }
}

const DISPLACED_TRIES_MAX = 1000;
const UNSUPPORTED: ReadonlySet<number> = new Set([EINVAL, ENOSYS, EOPNOTSUPP, EPERM]);
