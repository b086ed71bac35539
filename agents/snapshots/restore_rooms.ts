/** Rooms of a ring, given out and given back in one order. Rule: no two that are out overlap, and none goes over the ring's end. */

const ALIGN_BYTES = 64;

export class RingRooms {
  readonly #ringBytes: number;
  readonly #slots: number;
  /** Where each slot's room ends, in bytes since the beginning of all. */
  readonly #ends: Float64Array;
  /** Where the next one begins, and where the oldest that is out does. */
  #head = 0;
  #tail = 0;
  /** Rooms that were ever given out, and given back. */
  #taken = 0;
  #returned = 0;

  constructor(ringBytes: number, slots: number) {
    this.#ringBytes = ringBytes;
    this.#slots = slots;
    this.#ends = new Float64Array(slots);
  }

  get taken(): number {
    return this.#taken;
  }

  get returned(): number {
    return this.#returned;
  }

  /** Of the ring, where there is as much room for slots. */
  get usedShare(): number {
    const slots = (this.#taken - this.#returned) / this.#slots;
    return Math.max(slots, (this.#head - this.#tail) / this.#ringBytes);
  }

  /** The offset of a room; its number is what `taken` was. Undefined while there is none. */
  take(bytes: number): number | undefined {
    if (this.#taken - this.#returned === this.#slots) return undefined;
    const at = this.#head % this.#ringBytes;
    const start = at + bytes > this.#ringBytes ? this.#head + this.#ringBytes - at : this.#head;
    if (start + bytes - this.#tail > this.#ringBytes) return undefined;
    this.#head = start + Math.ceil(bytes / ALIGN_BYTES) * ALIGN_BYTES;
    this.#ends[this.#taken % this.#slots] = this.#head;
    this.#taken++;
    return start % this.#ringBytes;
  }

  /** Gives back the one that was taken first of those that are out. */
  giveBack(): void {
    this.#tail = this.#ends[this.#returned % this.#slots]!;
    this.#returned++;
  }
}
