/** Where blobs come from: a reader of packs, or whoever asks one. Rule: no byte is handed out that does not hash to its name. */
import type { TakeRoom } from "../kernels/mod.ts";
import type { BlobType } from "./pack_header.ts";

export interface BlobSource {
  /** Plain size of a blob; undefined when no index knows it. */
  sizeOf(type: BlobType, id: string): number | undefined;
  /**
   * In `room` where one is given, for who needs no blob longer than until the next.
   * @throws {BackupError} `damaged` when no copy anywhere is whole, `not_found` when no index lists it
   */
  load(type: BlobType, id: string, room?: TakeRoom): Promise<Uint8Array>;
  /** Data that will be needed next, after all that was said before: whoever can begins with it. */
  want?(ids: readonly string[]): WantedBlobs;
  /** A tree that will be needed soon, or is now. Undefined where nothing can be done about it. */
  wantTree?(id: string, isNow: boolean): WantedTree | undefined;
}

/** Data blobs, in the order in which they were said to be wanted. */
export interface WantedBlobs {
  /** The next of them; its memory is another's from the next call on. @throws as `BlobSource.load` */
  next(): Promise<Uint8Array>;
  /** Those that were not taken are not needed. Called of all, in the order in which they were wanted. */
  drop(): void;
}

export interface WantedTree {
  /** Undefined while it is not there. */
  now?(room: TakeRoom): Uint8Array | undefined;
  /** @throws as `BlobSource.load` */
  load(room: TakeRoom): Promise<Uint8Array>;
  /** It is not needed any more. */
  drop(): void;
}
