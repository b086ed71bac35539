/**
 * Whole files by name, the little that a repository needs of a place. Rule: what `put` has returned from is durable and
 * whole; a name never shows a part of what was put.
 *
 * Names are one to three parts of `[0-9a-zA-Z._-]`, joined by `/`. No call retries. Missing objects are `not_found`.
 */

export interface ObjectInfo {
  name: string;
  sizeBytes: number;
}

export interface PutOptions {
  /** Fails with `rejected` when the name is taken, also when somebody takes it meanwhile; otherwise it is replaced. */
  mustBeNew?: boolean;
}

export interface ReadBack {
  bytes: Uint8Array;
  /** False: the bytes may have come from a cache, so they prove little. */
  fromDisk: boolean;
}

export interface ObjectStore {
  /** As people see it. */
  readonly display: string;
  /** A folder of this machine, which another thread may open for itself; absent where nobody may. */
  readonly folder?: string;
  /** Stores the parts one after the other as one object, flushed. After a failure the name shows the old or the new. */
  put(name: string, parts: readonly Uint8Array[], options?: PutOptions): Promise<void>;
  /** May lie in `room` when that is large enough. @throws {BackupError} `damaged` when it is longer than `maxBytes` */
  get(name: string, maxBytes: number, room?: Uint8Array): Promise<Uint8Array>;
  /**
   * Exactly `lengthBytes` bytes. They may lie in `room` when that is large enough.
   * @throws {BackupError} `damaged` when the object ends before them
   */
  getRange(
    name: string,
    offset: number,
    lengthBytes: number,
    room?: Uint8Array,
  ): Promise<Uint8Array>;
  /**
   * The whole object as the medium has it, past caches where that can be had. Otherwise as `get`. The bytes may lie in `room`
   * when that is large enough.
   */
  readBack(name: string, maxBytes: number, room?: Uint8Array): Promise<ReadBack>;
  stat(name: string): Promise<ObjectInfo | undefined>;
  /** Everything below `folder`, in any order; nothing when there is no such folder. */
  list(folder: string): Promise<ObjectInfo[]>;
  /**
   * What a `put` below `folder` is writing at this moment or has left when it was cut off; `list` never shows it. Of "" what
   * lies in no folder.
   */
  leftovers(folder: string): Promise<ObjectInfo[]>;
  /** Durable as well. What is gone already is no failure. */
  remove(name: string): Promise<void>;
  /** After this no other call is made. */
  close(): void;
}

/** Names while they are written; restic's are such too. What comes last is hexadecimal and begins with the writer's, if it has one. */
const TEMPORARY = /^.+-tmp-([0-9a-f]+)$/;
export const WRITER_DIGITS = 46;

export function isTemporary(name: string): boolean {
  return TEMPORARY.test(name);
}

/** The `writer` of whoever wrote it; undefined when it has none. */
export function writerIn(name: string): string | undefined {
  const end = TEMPORARY.exec(name)?.[1] ?? "";
  return end.length > WRITER_DIGITS ? end.slice(0, WRITER_DIGITS) : undefined;
}

/** Whether a process that gave its store this `writer` wrote it. */
export function isTemporaryOf(name: string, writer: string): boolean {
  return writerIn(name) === writer;
}

const NAME = /^[0-9a-zA-Z_-][0-9a-zA-Z._-]*(\/[0-9a-zA-Z_-][0-9a-zA-Z._-]*){0,2}$/;

/** The parts of a name. @throws {RangeError} for what is no name */
export function nameParts(name: string): string[] {
  if (!NAME.test(name)) throw new RangeError(`Not an object's name: ${name}`);
  return name.split("/");
}
