/**
 * The waiting files of one destination, up to millions, in typed arrays. Rule: no object per file (18 bytes each),
 * the highest key first, and among equal keys the one that was pushed first.
 */

/** `priority`: highest key first. `fifo`: keys are ignored, first in first out (for media that like order). */
export type QueueOrder = "priority" | "fifo";

/** A task slot and a file index in one number below 2^48, so that queues carry no objects. */
export type FileRef = number;

export const TASK_SLOT_MAX = 0xffff;
export const FILE_INDEX_MAX = 0xffff_ffff;

const INDEX_SPAN = FILE_INDEX_MAX + 1;
const SEQUENCE_MAX = 0xffff_ffff;
const CAPACITY_MIN = 64;
/** Children per node: flatter than a binary heap, so fewer cache misses on the way down. */
const ARITY = 4;

export function fileRef(taskSlot: number, fileIndex: number): FileRef {
  return taskSlot * INDEX_SPAN + fileIndex;
}
export function taskSlotOf(ref: FileRef): number {
  return Math.floor(ref / INDEX_SPAN);
}
export function fileIndexOf(ref: FileRef): number {
  return ref % INDEX_SPAN;
}

export class FileHeap {
  readonly order: QueueOrder;
  #size = 0;
  #nextSequence: number;
  #keys = new Float64Array(CAPACITY_MIN);
  #sequences = new Uint32Array(CAPACITY_MIN);
  #slots = new Uint16Array(CAPACITY_MIN);
  #indices = new Uint32Array(CAPACITY_MIN);

  /** `firstSequence` lets a test start near the end of the sequence numbers. */
  constructor(order: QueueOrder, firstSequence = 0) {
    this.order = order;
    this.#nextSequence = firstSequence;
  }

  get size(): number {
    return this.#size;
  }

  /** Adds one file, also one that was in before (a retry). @throws {RangeError} when a number is out of range. */
  push(taskSlot: number, fileIndex: number, key: number): void {
    checkSlot(taskSlot);
    this.#reserve(1);
    this.#append(taskSlot, fileIndex, key);
    this.#siftUp(this.#size - 1);
  }

  /**
   * Adds files of one task in the given order; one number as `keys` is the key of all. Input that is already in order
   * behind what is waiting costs one comparison a file; any input is O(n) when it is most of the heap.
   * @throws {RangeError} when a number is out of range; the heap is then as before.
   */
  pushMany(
    taskSlot: number,
    fileIndices: ArrayLike<number>,
    keys: ArrayLike<number> | number,
  ): void {
    checkSlot(taskSlot);
    const count = fileIndices.length;
    if (typeof keys !== "number" && keys.length !== count) {
      throw new RangeError(`${count} files but ${keys.length} keys`);
    }
    this.#reserve(count);
    const before = this.#size;
    try {
      for (let i = 0; i < count; i++) {
        this.#append(taskSlot, fileIndices[i]!, typeof keys === "number" ? keys : keys[i]!);
      }
    } catch (thrown) {
      this.#size = before;
      throw thrown;
    }
    const firstOutOfOrder = this.#firstOutOfOrder(before);
    if (count > before) {
      if (firstOutOfOrder < this.#size) this.#heapify();
    } else {
      for (let at = firstOutOfOrder; at < this.#size; at++) this.#siftUp(at);
    }
  }

  /** The file that `pop` would return; undefined when empty. */
  peek(): FileRef | undefined {
    return this.#size === 0 ? undefined : fileRef(this.#slots[0]!, this.#indices[0]!);
  }

  /** Takes the first file out; undefined when empty. */
  pop(): FileRef | undefined {
    if (this.#size === 0) return undefined;
    const first = fileRef(this.#slots[0]!, this.#indices[0]!);
    this.#size--;
    if (this.#size === 0) this.clear();
    else {
      this.#copy(this.#size, 0);
      this.#siftDown(0);
    }
    return first;
  }

  /** Takes all files of one task out and says how many there were. O(size). */
  removeTask(taskSlot: number): number {
    const before = this.#size;
    let kept = 0;
    for (let at = 0; at < before; at++) {
      if (this.#slots[at] !== taskSlot) this.#copy(at, kept++);
    }
    this.#size = kept;
    if (kept < before) this.#heapify();
    return before - kept;
  }

  /** Empties the heap and gives its memory back. */
  clear(): void {
    this.#size = 0;
    this.#nextSequence = 0;
    if (this.#keys.length > CAPACITY_MIN) this.#resize(CAPACITY_MIN);
  }

  #append(taskSlot: number, fileIndex: number, key: number): void {
    if (!(fileIndex >= 0 && fileIndex <= FILE_INDEX_MAX)) {
      throw new RangeError(`File index out of range: ${fileIndex}`);
    }
    if (Number.isNaN(key)) throw new RangeError(`File ${fileIndex} has no key`);
    const at = this.#size++;
    this.#keys[at] = this.order === "fifo" ? 0 : key;
    this.#sequences[at] = this.#nextSequence++;
    this.#slots[at] = taskSlot;
    this.#indices[at] = fileIndex;
  }

  #copy(from: number, to: number): void {
    this.#keys[to] = this.#keys[from]!;
    this.#sequences[to] = this.#sequences[from]!;
    this.#slots[to] = this.#slots[from]!;
    this.#indices[to] = this.#indices[from]!;
  }

  /** The first entry from `from` on that belongs before its parent; `size` when the heap is whole. */
  #firstOutOfOrder(from: number): number {
    const keys = this.#keys;
    const sequences = this.#sequences;
    for (let at = Math.max(1, from); at < this.#size; at++) {
      const parent = ((at - 1) / ARITY) | 0;
      const key = keys[at]!;
      const parentKey = keys[parent]!;
      if (key > parentKey || (key === parentKey && sequences[at]! < sequences[parent]!)) return at;
    }
    return this.#size;
  }

  #heapify(): void {
    for (let at = ((this.#size - 2) / ARITY) | 0; at >= 0; at--) this.#siftDown(at);
  }

  #siftUp(start: number): void {
    const keys = this.#keys;
    const sequences = this.#sequences;
    const slots = this.#slots;
    const indices = this.#indices;
    const key = keys[start]!;
    const sequence = sequences[start]!;
    const slot = slots[start]!;
    const index = indices[start]!;
    let hole = start;
    while (hole > 0) {
      const parent = ((hole - 1) / ARITY) | 0;
      const parentKey = keys[parent]!;
      if (key < parentKey || (key === parentKey && sequence > sequences[parent]!)) break;
      keys[hole] = parentKey;
      sequences[hole] = sequences[parent]!;
      slots[hole] = slots[parent]!;
      indices[hole] = indices[parent]!;
      hole = parent;
    }
    if (hole === start) return;
    keys[hole] = key;
    sequences[hole] = sequence;
    slots[hole] = slot;
    indices[hole] = index;
  }

  #siftDown(start: number): void {
    const keys = this.#keys;
    const sequences = this.#sequences;
    const slots = this.#slots;
    const indices = this.#indices;
    const size = this.#size;
    const key = keys[start]!;
    const sequence = sequences[start]!;
    const slot = slots[start]!;
    const index = indices[start]!;
    let hole = start;
    for (;;) {
      const firstChild = hole * ARITY + 1;
      if (firstChild >= size) break;
      const end = Math.min(firstChild + ARITY, size);
      let best = firstChild;
      let bestKey = keys[best]!;
      for (let child = firstChild + 1; child < end; child++) {
        const childKey = keys[child]!;
        if (
          childKey > bestKey || (childKey === bestKey && sequences[child]! < sequences[best]!)
        ) {
          best = child;
          bestKey = childKey;
        }
      }
      if (bestKey < key || (bestKey === key && sequences[best]! > sequence)) break;
      keys[hole] = bestKey;
      sequences[hole] = sequences[best]!;
      slots[hole] = slots[best]!;
      indices[hole] = indices[best]!;
      hole = best;
    }
    if (hole === start) return;
    keys[hole] = key;
    sequences[hole] = sequence;
    slots[hole] = slot;
    indices[hole] = index;
  }

  /** Makes room for `count` more entries and as many sequence numbers. */
  #reserve(count: number): void {
    const needed = this.#size + count;
    if (needed > this.#keys.length) this.#resize(Math.max(needed, this.#keys.length * 2));
    if (this.#nextSequence + count > SEQUENCE_MAX) this.#renumber();
  }

  #resize(capacity: number): void {
    this.#keys = grown(this.#keys, new Float64Array(capacity), this.#size);
    this.#sequences = grown(this.#sequences, new Uint32Array(capacity), this.#size);
    this.#slots = grown(this.#slots, new Uint16Array(capacity), this.#size);
    this.#indices = grown(this.#indices, new Uint32Array(capacity), this.#size);
  }

  /** After four billion pushes: gives the waiting files the lowest numbers, in the same order. */
  #renumber(): void {
    const sorted = this.#sequences.slice(0, this.#size).sort();
    const rank = new Map<number, number>();
    sorted.forEach((sequence, at) => rank.set(sequence, at));
    for (let at = 0; at < this.#size; at++) {
      this.#sequences[at] = rank.get(this.#sequences[at]!)!;
    }
    this.#nextSequence = this.#size;
  }
}

function grown<T extends Float64Array | Uint32Array | Uint16Array>(
  from: T,
  to: T,
  size: number,
): T {
  to.set(from.subarray(0, size));
  return to;
}

function checkSlot(taskSlot: number): void {
  if (!(taskSlot >= 0 && taskSlot <= TASK_SLOT_MAX)) {
    throw new RangeError(`Task slot out of range: ${taskSlot}`);
  }
}
