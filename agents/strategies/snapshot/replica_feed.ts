/**
 * Hands what one archive makes to all replicas, at each one's own pace. Rule: at each replica everything arrives in the order in
 * which it was made, so packs stand before the index that lists them and that before the snapshot; what a late replica needs, or
 * one whose disk returns other bytes, is held in memory only as far as the budget goes, and then borrowed from one that has it.
 */
import { asBackupError, BackupError } from "../../../protocol/base/errors.ts";
import { pagedMemory } from "../../platform/paged_memory.ts";
import type { ArchiveCounters, CatchUpRequest, FeedRequest } from "./archive_thread.ts";

/** One replica, as far as feeding it goes. */
export interface FedLane {
  readonly key: string;
  put(object: { name: string; bytes: Uint8Array }): Promise<void>;
  /** The bytes of what it has, in `room` if that is large enough; they are what their name says. */
  lend(name: string, room: SharedArrayBuffer): Promise<Uint8Array>;
}

export interface FeedEvents {
  /** `isItsOwn`: nothing can be stored there any more; otherwise what is made for all has failed. */
  failed(key: string, error: BackupError, isItsOwn: boolean): void;
  /** Nobody looks at the bytes of this object any more, which are those that were put. */
  released(name: string): void;
}

interface Piece {
  name: string;
  sizeBytes: number;
  bytes: Uint8Array | undefined;
  /** Nobody looks at the bytes any more, which are those that were put. */
  released(): void;
  counters: ArchiveCounters | undefined;
  /** Resolves when the first replica has it. */
  safe: PromiseWithResolvers<void>;
  isSafe: boolean;
  /** Replicas that it was made for, or that lack it. */
  goesTo: Set<string>;
  /** Replicas that have read it back. */
  seenBy: Set<string>;
  /** Replicas that are storing it at this moment, or once more; one that hangs in it may look at the bytes for ever. */
  readers: number;
}

/** What the feeds of one repository hold in memory, together. */
export class FeedMemory {
  readonly #budgetBytes: number;
  /** With their bytes, oldest first. */
  #held: Piece[] = [];

  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes;
  }

  hold(piece: Piece): void {
    this.#held.push(piece);
  }

  /** What goes late replicas borrow, and so does who finds it wrong when it is read back. */
  evict(): void {
    let heldBytes = this.#held.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    this.#held = this.#held.filter((piece) => {
      if (heldBytes <= this.#budgetBytes || !piece.isSafe || piece.readers > 0) return true;
      heldBytes -= piece.sizeBytes;
      drop(piece);
      return false;
    });
  }

  /** Nobody will ask for these any more. */
  release(pieces: ReadonlySet<Piece>): void {
    this.#held = this.#held.filter((piece) => {
      if (pieces.has(piece)) drop(piece);
      return !pieces.has(piece);
    });
  }
}

/** Memory that a stuck thread may still be writing from is not used for anything else. */
function drop(piece: Piece): void {
  piece.bytes = undefined;
  if (piece.readers === 0) piece.released();
}

export interface StoredObject {
  name: string;
  sizeBytes: number;
}

export interface Borrowed {
  bytes: Uint8Array;
  /** Nobody looks at them any more. Not called by who may be stuck in it: the memory is then used for nothing else. */
  done(): void;
}

/** What a lender says that has done with the room: it lacks the object, or has it in another form than its name says. */
const ANSWERS: ReadonlySet<string> = new Set(["not_found", "damaged"]);
/** Most packs fit in it. */
const ROOM_BYTES = 25 << 20;

/** Where one replica is. */
class Fed {
  readonly lane: FedLane;
  readonly queue: Piece[] = [];
  readonly stored: StoredObject[] = [];
  isWorking = false;
  error: BackupError | undefined;
  /** As of the last piece that it has. */
  counters: ArchiveCounters | undefined;
  idle: (() => void)[] = [];
  /** Memory for what it borrows. What is stored and what is written again may be borrowed at the same time. */
  readonly #rooms: SharedArrayBuffer[] = [];

  constructor(lane: FedLane) {
    this.lane = lane;
  }

  takeRoom(): SharedArrayBuffer {
    return this.#rooms.pop() ?? pagedMemory(ROOM_BYTES);
  }

  giveBack(room: SharedArrayBuffer): void {
    this.#rooms.push(room);
  }
}

export class ReplicaFeed {
  readonly #fed: Fed[];
  readonly #memory: FeedMemory;
  readonly #events: FeedEvents;
  /** Those whose bytes somebody may still need. */
  readonly #pieces = new Map<string, Piece>();

  constructor(lanes: readonly FedLane[], memory: FeedMemory, events: FeedEvents) {
    this.#fed = lanes.map((lane) => new Fed(lane));
    this.#memory = memory;
    this.#events = events;
  }

  /** Resolves when one replica has it. @throws {BackupError} when none can take it */
  async put({ name, bytes, counters }: FeedRequest): Promise<void> {
    const open = this.#open();
    if (open.length === 0) throw this.whyNone();
    const piece = this.#newPiece({ name, sizeBytes: bytes.length, bytes, counters });
    for (const fed of open) this.#push(fed, piece);
    await piece.safe.promise;
  }

  /** What one replica lacks and others have, in its turn. */
  catchUp({ destination, objects }: CatchUpRequest): void {
    const fed = this.#find(destination);
    if (fed.error !== undefined) return;
    for (const { name, sizeBytes, bytes } of objects) {
      // Another replica may lack it too; the same name is the same bytes.
      const known = this.#pieces.get(name);
      const piece = known?.bytes === undefined
        ? this.#newPiece({ name, sizeBytes, bytes, counters: undefined })
        : known;
      this.#push(fed, piece);
    }
  }

  /** This replica has read it back and it is right: once all that get it have, its memory serves for what comes next. */
  seen(name: string, key: string): void {
    const piece = this.#pieces.get(name);
    if (piece === undefined) return;
    piece.seenBy.add(key);
    const isWanted = this.#open().some(({ lane }) =>
      piece.goesTo.has(lane.key) && !piece.seenBy.has(lane.key)
    );
    if (isWanted) return;
    this.#pieces.delete(name);
    this.#memory.release(new Set([piece]));
  }

  /** Nothing more comes for this replica. */
  fail(key: string, error: BackupError): void {
    this.#fail(this.#find(key), error, false);
  }

  /** Resolves when the replica has all that was put so far. @throws {BackupError} when it has failed */
  async drained(key: string): Promise<void> {
    const fed = this.#find(key);
    while (fed.queue.length > 0 && fed.error === undefined) {
      await new Promise<void>((resolve) => fed.idle.push(resolve));
    }
    if (fed.error !== undefined) throw fed.error;
  }

  /** Resolves at the next moment when nothing waits to be stored at this replica any more, or when it has failed. */
  async rested(key: string): Promise<void> {
    const fed = this.#find(key);
    if (fed.error === undefined) await new Promise<void>((resolve) => fed.idle.push(resolve));
  }

  /** In the order in which it was stored. */
  stored(key: string): readonly StoredObject[] {
    return this.#find(key).stored;
  }

  isOpen(key: string): boolean {
    return this.#find(key).error === undefined;
  }

  /** In the queue of a replica, with what is being stored there. */
  depth(key: string): number {
    return this.#find(key).queue.length;
  }

  counters(key: string): ArchiveCounters | undefined {
    return this.#find(key).counters;
  }

  /**
   * The right bytes of an object, from memory or another replica, until `done`.
   * @throws {BackupError} when nobody has them
   */
  async borrow(name: string, forKey: string): Promise<Borrowed> {
    const held = this.#pieces.get(name);
    if (held?.bytes !== undefined) {
      // Others store meanwhile, and what they are done with is used again.
      held.readers++;
      return { bytes: held.bytes, done: () => void held.readers-- };
    }
    let failure: BackupError | undefined;
    const borrower = this.#find(forKey);
    for (const { lane } of this.#fed) {
      if (lane.key === forKey) continue;
      const room = borrower.takeRoom();
      try {
        return { bytes: await lane.lend(name, room), done: () => borrower.giveBack(room) };
      } catch (thrown) {
        const error = asBackupError(thrown);
        // Any other may come of a thread that was given up and is still reading into this room: it is used for nothing else.
        if (ANSWERS.has(error.code)) borrower.giveBack(room);
        failure ??= error;
      }
    }
    throw failure ?? new BackupError("not_found", `No other replica has ${name}`);
  }

  #push(fed: Fed, piece: Piece): void {
    piece.goesTo.add(fed.lane.key);
    fed.queue.push(piece);
    if (!fed.isWorking) void this.#work(fed);
  }

  async #work(fed: Fed): Promise<void> {
    fed.isWorking = true;
    for (let piece = fed.queue[0]; piece !== undefined; piece = fed.queue[0]) {
      try {
        if (piece.bytes === undefined) {
          const { bytes, done } = await this.borrow(piece.name, fed.lane.key);
          piece.sizeBytes = bytes.length;
          await fed.lane.put({ name: piece.name, bytes });
          done();
        } else {
          piece.readers++;
          await fed.lane.put({ name: piece.name, bytes: piece.bytes });
          piece.readers--;
        }
      } catch (thrown) {
        this.#fail(fed, asBackupError(thrown), true);
        break;
      }
      // It may have been given up meanwhile.
      if (fed.error !== undefined) break;
      fed.queue.shift();
      fed.stored.push({ name: piece.name, sizeBytes: piece.sizeBytes });
      if (piece.counters !== undefined) fed.counters = piece.counters;
      piece.isSafe = true;
      piece.safe.resolve();
      this.#memory.evict();
    }
    fed.isWorking = false;
    this.#wake(fed);
  }

  #fail(fed: Fed, error: BackupError, isItsOwn: boolean): void {
    if (fed.error !== undefined) return;
    fed.error = error;
    const lost = fed.queue.splice(0);
    this.#wake(fed);
    this.#events.failed(fed.lane.key, error, isItsOwn);
    if (this.#open().length > 0) return;
    for (const piece of lost) {
      // Who has put it may be gone.
      piece.safe.promise.catch(() => {});
      piece.safe.reject(error);
    }
  }

  #wake(fed: Fed): void {
    for (const resolve of fed.idle.splice(0)) resolve();
  }

  /** Everything was read back: memory that was held to write it again is not needed any more. */
  close(): void {
    this.#memory.release(new Set(this.#pieces.values()));
    this.#pieces.clear();
  }

  #newPiece(piece: Pick<Piece, "name" | "sizeBytes" | "bytes" | "counters">): Piece {
    const safe = Promise.withResolvers<void>();
    // Nobody waits for what only one replica gets.
    safe.promise.catch(() => {});
    const released = () => this.#events.released(piece.name);
    const made: Piece = {
      ...piece,
      released,
      safe,
      isSafe: false,
      goesTo: new Set(),
      seenBy: new Set(),
      readers: 0,
    };
    if (piece.bytes !== undefined) {
      this.#pieces.set(piece.name, made);
      this.#memory.hold(made);
    }
    return made;
  }

  #open(): Fed[] {
    return this.#fed.filter(({ error }) => error === undefined);
  }

  /** Why no replica takes part any more. */
  whyNone(): BackupError {
    return this.#fed[0]?.error ?? new BackupError("internal", "No replica takes part");
  }

  #find(key: string): Fed {
    const fed = this.#fed.find(({ lane }) => lane.key === key);
    if (fed === undefined) throw new BackupError("internal", `${key} is no replica of this feed`);
    return fed;
  }
}
