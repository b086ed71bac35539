/**
 * Lists that are replaced whole: temporary name → flush → rename → flush of the folder. Rule: until the last step of
 * `commit` the earlier list is the one that stands, also where it is readable and the new one encrypted, or the other
 * way round.
 */
import { ENOENT, posixError } from "../../platform/errno.ts";
import { temporaryNameFor } from "../../platform/small_file.ts";
import { cName, type DirectoryHandle, type Posix } from "../../platform/posix.ts";
import { type ListKeys, nameFor, otherName, removeList, sealFor } from "./list_keys.ts";
import { type ManifestHeader, ManifestWriter } from "./manifest_file.ts";

export interface ListPlace {
  posix: Posix;
  at: DirectoryHandle;
  /** Where it is written, on the same file system; `at` when missing. */
  temporaryAt?: DirectoryHandle;
  /** Another agent of the run may be writing it as well: a home that was lost to the coordinator and not to the disk. */
  isContested?: boolean;
  /** Without the ending of an encrypted one. */
  name: string;
  display: string;
  keys: ListKeys;
}

export class NewList {
  readonly #place: ListPlace;
  readonly #temporary: Uint8Array;
  readonly #temporaryAt: DirectoryHandle;
  readonly #writer: ManifestWriter;
  #fd: number;

  /** @throws {BackupError} when it cannot be created */
  constructor(place: ListPlace, header: ManifestHeader) {
    const { posix, at, name, display, keys } = place;
    this.#place = place;
    this.#temporaryAt = place.temporaryAt ?? at;
    const target = nameFor(name, keys);
    if (place.isContested === true) {
      this.#temporary = temporaryNameFor(posix, this.#temporaryAt, target);
    } else {
      this.#temporary = cName(`${target}.new`);
      posix.unlink(this.#temporaryAt, this.#temporary);
    }
    this.#fd = posix.createFile(this.#temporaryAt, this.#temporary);
    if (this.#fd < 0) throw posixError(this.#fd, "create", display);
    const { sealedFor: _, ...facts } = header;
    const sealedFor = keys.recipients.map((recipient) => recipient.text);
    const own = sealedFor.length === 0 ? facts : { ...facts, sealedFor };
    this.#writer = new ManifestWriter(posix, this.#fd, display, own, sealFor(keys));
  }

  add(line: string): void {
    this.#writer.add(line);
  }

  /** Writes the end and flushes. Nothing can be added any more. @throws {BackupError} */
  finish(): void {
    this.#writer.finish();
    this.#place.posix.setFileMode(this.#fd, 0o644);
    this.#close();
  }

  /** After `finish`: takes the place of the earlier one. @throws {BackupError} */
  commit(): void {
    const { posix, at, name, display, keys } = this.#place;
    const result = posix.rename(this.#temporaryAt, this.#temporary, at, cName(nameFor(name, keys)));
    if (result < 0) {
      posix.unlink(this.#temporaryAt, this.#temporary);
      throw posixError(result, "write", display);
    }
    posix.flushDirectory(at);
    const other = posix.unlink(at, cName(otherName(name, keys)));
    if (other >= 0) posix.flushDirectory(at);
    else if (other !== -ENOENT) throw posixError(other, "remove the earlier", display);
  }

  /** After an error, or when it is not wanted. */
  abandon(): void {
    this.#close();
    this.#place.posix.unlink(this.#temporaryAt, this.#temporary);
  }

  #close(): void {
    if (this.#fd >= 0) this.#place.posix.close(this.#fd);
    this.#fd = -1;
  }
}

/**
 * Replaces a list with what `fill` adds; `isWanted` false: nothing stands there afterwards.
 * @throws {BackupError} when it cannot be written; the one before then stays
 */
export function writeWhole(
  place: ListPlace,
  header: ManifestHeader,
  fill: (add: (text: string) => void) => void,
  isWanted: () => boolean = () => true,
): void {
  const list = new NewList(place, header);
  try {
    fill((text) => list.add(text));
    list.finish();
  } catch (thrown) {
    list.abandon();
    throw thrown;
  }
  if (isWanted()) {
    list.commit();
    return;
  }
  list.abandon();
  const { posix, at, name, display } = place;
  const result = removeList(posix, at, name);
  if (result < 0) throw posixError(result, "write", display);
  posix.flushDirectory(at);
}
