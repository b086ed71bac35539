/**
 * A repository's blobs as the writer of a restore sees them: another thread loads them, those that will be wanted before they are.
 * Rule: what that thread cannot do so is asked of it again and awaited, so its errors are those of a reader.
 */
import type { TakeRoom } from "../kernels/mod.ts";
import {
  type BlobIndex,
  type BlobSource,
  type BlobType,
  NO_ROW,
  type WantedBlobs,
  type WantedTree,
} from "../repository/mod.ts";
import {
  AHEAD_BYTES,
  BESIDE,
  BESIDE_BYTES,
  FIRST_TREE,
  READY,
  RestoreMemory,
  SLOTS,
  TREE_BYTES,
  TREE_SLOTS,
} from "./restore_memory.ts";
import { RingRooms } from "./restore_rooms.ts";

/** Larger ones would leave no room for others. */
const WANTED_MAX_BYTES = AHEAD_BYTES / 3;
/** A loader that is woken has some of them to load. */
const MORE_FROM_SHARE = 0.75;
const TREE_SLOTS_KEPT = 2;
/** Uses of a tree's slot; of one that is left the room may still be filled. */
const FREE = 0;
const WANTED = 1;
const LEFT = 2;
/** In place of a number: not loaded in advance. */
const NOT_AHEAD = -1;

export interface BlobRequest {
  type: BlobType;
  id: string;
}

/** The slow way: any blob, and the reason of one that could not be loaded. */
export type AskForBlob = (request: BlobRequest) => Promise<Uint8Array>;

export class BlobsAhead implements BlobSource {
  readonly #memory: RestoreMemory;
  readonly #index: BlobIndex;
  readonly #askFor: AskForBlob;
  readonly #signal: AbortSignal;
  readonly #rooms = new RingRooms(AHEAD_BYTES, SLOTS);
  /** By slot: nobody needs its room any more. */
  readonly #isLeft = new Uint8Array(SLOTS);
  /** Of which not all were asked for, because there was no room. */
  #backlog: Wanted[] = [];
  #isFull = false;
  /** By slot, how it is used. */
  readonly #trees = new Uint8Array(TREE_SLOTS);
  /** The last of those that need something at once. */
  #beside: Promise<void> = Promise.resolve();

  constructor(memory: RestoreMemory, index: BlobIndex, askFor: AskForBlob, signal: AbortSignal) {
    this.#memory = memory;
    this.#index = index;
    this.#askFor = askFor;
    this.#signal = signal;
    signal.addEventListener("abort", () => memory.wake(), { once: true });
  }

  sizeOf(type: BlobType, id: string): number | undefined {
    return this.#index.sizeOf(type, id);
  }

  /** One after the other, before all that is only wanted. */
  async load(type: BlobType, id: string, room?: TakeRoom): Promise<Uint8Array> {
    const before = this.#beside;
    let done = () => {};
    this.#beside = new Promise((resolve) => done = resolve);
    await before;
    try {
      return await this.#load(type, id, room);
    } finally {
      done();
    }
  }

  want(ids: readonly string[]): WantedBlobs {
    const wanted: Wanted = new Wanted(ids, {
      blob: (which) => this.#blob(wanted, which),
      leave: (number) => this.#leave(number),
    });
    this.#backlog.push(wanted);
    if (!this.#isFull) this.#askMore();
    return wanted;
  }

  /** The last slots are left for those that are needed now. */
  wantTree(id: string, isNow: boolean): WantedTree | undefined {
    const row = this.#index.find("tree", id);
    const sizeBytes = row === NO_ROW ? -1 : this.#index.sizeOfRow(row);
    if (sizeBytes < 0 || sizeBytes > TREE_BYTES) return undefined;
    const at = this.#trees.findIndex((use, at) =>
      use === FREE || (use === LEFT && this.#memory.isSettled(FIRST_TREE + at))
    );
    if (at < 0 || (!isNow && at >= TREE_SLOTS - TREE_SLOTS_KEPT)) return undefined;
    const slot = FIRST_TREE + at;
    this.#trees[at] = WANTED;
    this.#memory.askBeside(slot, row, sizeBytes);
    let isOver = false;
    const drop = () => {
      if (isOver) return;
      isOver = true;
      this.#memory.giveUp(slot);
      this.#trees[at] = LEFT;
    };
    return {
      now: (room) => this.#memory.isSettled(slot) ? this.#takeFrom(slot, room) : undefined,
      load: async (room) =>
        await this.#comeIn(slot, room) ?? await this.#askFor({ type: "tree", id }),
      drop,
    };
  }

  async #load(type: BlobType, id: string, room: TakeRoom | undefined): Promise<Uint8Array> {
    const row = this.#index.find(type, id);
    const sizeBytes = row === NO_ROW ? -1 : this.#index.sizeOfRow(row);
    if (sizeBytes < 0 || sizeBytes > BESIDE_BYTES) return await this.#askFor({ type, id });
    this.#memory.askBeside(BESIDE, row, sizeBytes);
    return await this.#comeIn(BESIDE, room) ?? await this.#askFor({ type, id });
  }

  async #comeIn(slot: number, room: TakeRoom | undefined): Promise<Uint8Array | undefined> {
    await this.#settled(slot);
    return this.#takeFrom(slot, room);
  }

  /** A copy of what is loaded; undefined when it could not be. */
  #takeFrom(slot: number, room: TakeRoom | undefined): Uint8Array | undefined {
    if (this.#memory.stateOf(slot) !== READY) return undefined;
    const bytes = this.#memory.bytesIn(slot);
    const own = room?.(bytes.length).subarray(0, bytes.length) ?? new Uint8Array(bytes.length);
    own.set(bytes);
    return own;
  }

  async #blob(wanted: Wanted, which: number): Promise<Uint8Array> {
    if (wanted.numbers.length <= which) this.#askMore();
    const number = wanted.numbers[which];
    const id = wanted.ids[which]!;
    if (number === undefined) {
      // Room that was left is still being filled.
      wanted.numbers.push(NOT_AHEAD);
      return await this.load("data", id);
    }
    if (number === NOT_AHEAD) return await this.#askFor({ type: "data", id });
    const slot = number % SLOTS;
    if (!this.#memory.isSettled(slot)) await this.#settled(slot);
    if (this.#memory.stateOf(slot) !== READY) return await this.#askFor({ type: "data", id });
    return this.#memory.bytesIn(slot);
  }

  /** As much as there is room for, in the order in which it is wanted. */
  #askMore(): void {
    this.#takeBack();
    const { taken } = this.#rooms;
    let done = 0;
    while (done < this.#backlog.length && this.#askAllOf(this.#backlog[done]!)) done++;
    this.#isFull = done < this.#backlog.length;
    if (done > 0) this.#backlog = this.#backlog.slice(done);
    if (this.#rooms.taken > taken) this.#memory.tellAsked(this.#rooms.taken);
  }

  #askAllOf(wanted: Wanted): boolean {
    while (!wanted.isDropped && wanted.numbers.length < wanted.ids.length) {
      const row = this.#index.find("data", wanted.ids[wanted.numbers.length]!);
      const sizeBytes = row === NO_ROW ? -1 : this.#index.sizeOfRow(row);
      if (sizeBytes < 0 || sizeBytes > WANTED_MAX_BYTES) {
        wanted.numbers.push(NOT_AHEAD);
        continue;
      }
      const number = this.#rooms.taken;
      const offset = this.#rooms.take(sizeBytes);
      if (offset === undefined) return false;
      this.#isLeft[number % SLOTS] = 0;
      this.#memory.ask(number % SLOTS, row, offset, sizeBytes);
      wanted.numbers.push(number);
    }
    return true;
  }

  #leave(number: number): void {
    if (number === NOT_AHEAD) return;
    this.#memory.giveUp(number % SLOTS);
    this.#isLeft[number % SLOTS] = 1;
    this.#takeBack();
    if (this.#backlog.length > 0 && this.#rooms.usedShare <= MORE_FROM_SHARE) this.#askMore();
  }

  /** A room that was left while it is filled goes when it is full. */
  #takeBack(): void {
    while (this.#rooms.returned < this.#rooms.taken) {
      const oldest = this.#rooms.returned % SLOTS;
      if (this.#isLeft[oldest] === 0 || !this.#memory.isSettled(oldest)) return;
      this.#rooms.giveBack();
    }
  }

  /** @throws what the signal was aborted with */
  async #settled(slot: number): Promise<void> {
    for (;;) {
      const seen = this.#memory.settledBell;
      if (this.#memory.isSettled(slot)) return;
      this.#signal.throwIfAborted();
      await this.#memory.untilSettled(seen);
    }
  }
}

/** What a wanted list needs of whoever loads. */
interface Loading {
  blob(which: number): Promise<Uint8Array>;
  /** The room with this number is not needed any more. */
  leave(number: number): void;
}

class Wanted implements WantedBlobs {
  readonly ids: readonly string[];
  /** Of those that were asked for, their rooms' numbers. */
  readonly numbers: number[] = [];
  isDropped = false;
  readonly #loading: Loading;
  /** How many were taken, and how many of those left. */
  #taken = 0;
  #left = 0;

  constructor(ids: readonly string[], loading: Loading) {
    this.ids = ids;
    this.#loading = loading;
  }

  next(): Promise<Uint8Array> {
    this.#leaveUntil(this.#taken);
    return this.#loading.blob(this.#taken++);
  }

  drop(): void {
    if (this.isDropped) return;
    this.isDropped = true;
    this.#leaveUntil(this.numbers.length);
  }

  #leaveUntil(end: number): void {
    while (this.#left < end) this.#loading.leave(this.numbers[this.#left++]!);
  }
}
