/**
 * The shared byte budget: a fixed number of equal slots of shared memory. Rule: a slot in use is never given away, and one
 * destination never holds more than its share, so a slow or hung one cannot take the memory of the others.
 */

export const SLOT_BYTES = 2 << 20;
const WASM_PAGE_BYTES = 64 << 10;

export interface Slot {
  readonly id: number;
  readonly offset: number;
  /** Readers filling it and writers using it. */
  pins: number;
  lastUsed: number;
  /** Called when its content is given up for something else. */
  onEvict: (() => void) | undefined;
}

export class SlotPool {
  readonly memory: SharedArrayBuffer;
  readonly #slots: Slot[] = [];
  readonly #waiting: (() => void)[] = [];
  #uses = 0;

  constructor(budgetBytes: number, minimumSlots: number) {
    const count = Math.max(minimumSlots, Math.floor(budgetBytes / SLOT_BYTES));
    // Memory of WebAssembly starts at a page, which writing past the page cache needs; a SharedArrayBuffer does not.
    const pages = count * SLOT_BYTES / WASM_PAGE_BYTES;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.memory = memory.buffer as unknown as SharedArrayBuffer;
    for (let id = 0; id < count; id++) {
      this.#slots.push({
        id,
        offset: id * SLOT_BYTES,
        pins: 0,
        lastUsed: 0,
        onEvict: undefined,
      });
    }
  }

  get size(): number {
    return this.#slots.length;
  }

  pin(slot: Slot): void {
    slot.pins++;
    slot.lastUsed = ++this.#uses;
  }

  /** Wakes everybody who waits: each looks again whether what it needs is there now. */
  unpin(slot: Slot): void {
    slot.pins--;
    if (slot.pins === 0) this.wake();
  }

  /** The least recently used slot that nobody uses, pinned once; undefined when all are in use. */
  take(onEvict: () => void): Slot | undefined {
    let best: Slot | undefined;
    for (const slot of this.#slots) {
      if (slot.pins === 0 && (best === undefined || slot.lastUsed < best.lastUsed)) best = slot;
    }
    if (best === undefined) return undefined;
    best.onEvict?.();
    best.onEvict = onEvict;
    this.pin(best);
    return best;
  }

  /** Resolves when a slot may have become free. */
  freed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
