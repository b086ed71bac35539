/**
 * Memory that a restore's loader fills and its writer empties. Rule: a room is its asker's until it is asked for, the loader's until
 * it is settled, and then the asker's again; who waits is woken by a bell, and looks before it sleeps.
 */

/** Data blobs that can be asked for ahead, in a ring. */
export const SLOTS = 4096;
export const AHEAD_BYTES = 24 << 20;
/** One more slot, for what is needed at once. */
export const BESIDE = SLOTS;
export const BESIDE_BYTES = 4 << 20;
const BESIDE_OFFSET = AHEAD_BYTES;
/** And some for trees that will be needed soon; they come before data. */
export const FIRST_TREE = BESIDE + 1;
export const TREE_SLOTS = 64;
export const TREE_BYTES = 128 << 10;
const TREES_OFFSET = BESIDE_OFFSET + BESIDE_BYTES;
const SLOTS_ALL = FIRST_TREE + TREE_SLOTS;

/** Of a slot. `IDLE` is also one that is not needed any more. */
export const IDLE = 0;
const ASKED = 1;
const LOADING = 2;
export const READY = 3;
export const FAILED = 4;

/** Counts what was asked for, so that the loader sees that something was. */
const ASKED_BELL = 0;
const SETTLED_BELL = 1;
/** How many of the ring's slots were ever asked for, each time anew; and of the others. */
const ASKED_COUNT = 2;
const BESIDE_COUNT = 3;
const SLOTS_AT = 4;

const STATE = 0;
const ROW = 1;
const OFFSET = 2;
/** Of the room, then of what is in it. */
const BYTES = 3;
const SLOT_CELLS = 4;

/** As threads give it to each other. */
export interface SharedRestoreMemory {
  cells: SharedArrayBuffer;
  bytes: SharedArrayBuffer;
}

export function newRestoreMemory(): SharedRestoreMemory {
  return {
    cells: new SharedArrayBuffer(4 * (SLOTS_AT + SLOT_CELLS * SLOTS_ALL)),
    bytes: new SharedArrayBuffer(TREES_OFFSET + TREE_SLOTS * TREE_BYTES),
  };
}

export class RestoreMemory {
  readonly #cells: Int32Array;
  readonly #bytes: Uint8Array;

  constructor({ cells, bytes }: SharedRestoreMemory) {
    this.#cells = new Int32Array(cells);
    this.#bytes = new Uint8Array(bytes);
  }

  // The writer's side.

  /** Asks for the blob in a row of the index, into a room of the ring; `tellAsked` says that there are more. */
  ask(slot: number, row: number, offset: number, bytes: number): void {
    const at = cellOf(slot);
    this.#cells[at + ROW] = row;
    this.#cells[at + OFFSET] = offset;
    this.#cells[at + BYTES] = bytes;
    Atomics.store(this.#cells, at + STATE, ASKED);
  }

  /** How many there were by now. */
  tellAsked(count: number): void {
    Atomics.store(this.#cells, ASKED_COUNT, count);
    this.#ring(ASKED_BELL);
  }

  /** The same of a slot that has a room of its own. */
  askBeside(slot: number, row: number, bytes: number): void {
    const offset = slot === BESIDE
      ? BESIDE_OFFSET
      : TREES_OFFSET + (slot - FIRST_TREE) * TREE_BYTES;
    this.ask(slot, row, offset, bytes);
    Atomics.add(this.#cells, BESIDE_COUNT, 1);
    this.#ring(ASKED_BELL);
  }

  /** Nothing is or will be written into its room. */
  isSettled(slot: number): boolean {
    const state = this.stateOf(slot);
    return state !== ASKED && state !== LOADING;
  }

  stateOf(slot: number): number {
    return Atomics.load(this.#cells, cellOf(slot) + STATE);
  }

  /** Of a slot that is `READY`. */
  bytesIn(slot: number): Uint8Array {
    const at = cellOf(slot);
    const offset = this.#cells[at + OFFSET]!;
    return this.#bytes.subarray(offset, offset + this.#cells[at + BYTES]!);
  }

  /** Not needed any more: what is not being loaded never will be. */
  giveUp(slot: number): void {
    Atomics.compareExchange(this.#cells, cellOf(slot) + STATE, ASKED, IDLE);
  }

  // The loader's side.

  get askedCount(): number {
    return Atomics.load(this.#cells, ASKED_COUNT);
  }

  get besideCount(): number {
    return Atomics.load(this.#cells, BESIDE_COUNT);
  }

  /** What to load where; undefined for what is not asked for any more. It has to be settled. */
  take(slot: number): { row: number; room: Uint8Array } | undefined {
    const at = cellOf(slot);
    const state = Atomics.compareExchange(this.#cells, at + STATE, ASKED, LOADING);
    if (state !== ASKED) return undefined;
    return { row: this.#cells[at + ROW]!, room: this.bytesIn(slot) };
  }

  settle(slot: number, state: typeof READY | typeof FAILED, bytes: number): void {
    const at = cellOf(slot);
    this.#cells[at + BYTES] = bytes;
    Atomics.store(this.#cells, at + STATE, state);
    this.#ring(SETTLED_BELL);
  }

  // Waiting.

  /** Number to look at before one looks for what one waits for. */
  get askedBell(): number {
    return Atomics.load(this.#cells, ASKED_BELL);
  }

  get settledBell(): number {
    return Atomics.load(this.#cells, SETTLED_BELL);
  }

  /** Until something was asked for since the bell was `seen`, or `wake`. */
  async untilAsked(seen: number): Promise<void> {
    await this.#until(ASKED_BELL, seen);
  }

  async untilSettled(seen: number): Promise<void> {
    await this.#until(SETTLED_BELL, seen);
  }

  /** Whoever waits looks again. */
  wake(): void {
    this.#ring(ASKED_BELL);
    this.#ring(SETTLED_BELL);
  }

  async #until(bell: number, seen: number): Promise<void> {
    const woken = Atomics.waitAsync(this.#cells, bell, seen);
    if (woken.async) await woken.value;
  }

  #ring(bell: number): void {
    Atomics.add(this.#cells, bell, 1);
    Atomics.notify(this.#cells, bell);
  }
}

function cellOf(slot: number): number {
  return SLOTS_AT + SLOT_CELLS * slot;
}
