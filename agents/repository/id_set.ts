/** Ids that come and go by the thousand. Rule: no object an id. */
import { ID_BYTES } from "./object_id.ts";

const WORDS = ID_BYTES / 4;
const SLOTS_FIRST = 64;
/** More full than this and the table grows. */
const LOAD_MAX = 0.6;

export class IdSet {
  #count = 0;
  #ids = new Uint32Array(SLOTS_FIRST * WORDS);
  #isTaken = new Uint8Array(SLOTS_FIRST);
  readonly #probe = new Uint32Array(WORDS);
  readonly #probeBytes = new Uint8Array(this.#probe.buffer);

  get size(): number {
    return this.#count;
  }

  has(id: string): boolean {
    return this.#count > 0 && this.#isTaken[this.#slotOf(id)] === 1;
  }

  add(id: string): void {
    if (this.#count + 1 > this.#isTaken.length * LOAD_MAX) this.#grow();
    const slot = this.#slotOf(id);
    if (this.#isTaken[slot] === 1) return;
    this.#put(slot, this.#probe, 0);
    this.#count++;
  }

  delete(id: string): void {
    let hole = this.#slotOf(id);
    if (this.#isTaken[hole] === 0) return;
    this.#count--;
    const mask = this.#isTaken.length - 1;
    // Whoever could not have its own place because of this one moves up, so that no search ends too early.
    for (let at = (hole + 1) & mask; this.#isTaken[at] === 1; at = (at + 1) & mask) {
      const home = this.#ids[at * WORDS]! & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      this.#put(hole, this.#ids, at);
      hole = at;
    }
    this.#isTaken[hole] = 0;
  }

  /** Where it is, or may be put. */
  #slotOf(id: string): number {
    this.#probeBytes.setFromHex(id);
    const mask = this.#isTaken.length - 1;
    let slot = this.#probe[0]! & mask;
    while (this.#isTaken[slot] === 1 && !this.#isProbe(slot)) slot = (slot + 1) & mask;
    return slot;
  }

  #isProbe(slot: number): boolean {
    const at = slot * WORDS;
    for (let i = 0; i < WORDS; i++) if (this.#ids[at + i] !== this.#probe[i]) return false;
    return true;
  }

  #put(slot: number, from: Uint32Array, fromSlot: number): void {
    for (let i = 0; i < WORDS; i++) this.#ids[slot * WORDS + i] = from[fromSlot * WORDS + i]!;
    this.#isTaken[slot] = 1;
  }

  #grow(): void {
    const ids = this.#ids;
    const taken = this.#isTaken;
    this.#ids = new Uint32Array(ids.length * 2);
    this.#isTaken = new Uint8Array(taken.length * 2);
    const mask = this.#isTaken.length - 1;
    for (let from = 0; from < taken.length; from++) {
      if (taken[from] === 0) continue;
      let slot = ids[from * WORDS]! & mask;
      while (this.#isTaken[slot] === 1) slot = (slot + 1) & mask;
      this.#put(slot, ids, from);
    }
  }
}
