/** A stable priority queue. Rule: items that compare equal leave in the order they came. */

interface Entry<T> {
  readonly item: T;
  readonly sequence: number;
}

/** Binary heap: push and pop are O(log n). `compare(a, b)` is negative when `a` must leave before `b`. */
export class PriorityQueue<T> {
  readonly #compare: (a: T, b: T) => number;
  #heap: Entry<T>[] = [];
  #nextSequence = 0;

  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** The item that `pop` would return; undefined when empty. */
  peek(): T | undefined {
    return this.#heap[0]?.item;
  }

  push(item: T): void {
    const entry = { item, sequence: this.#nextSequence++ };
    const heap = this.#heap;
    let hole = heap.length;
    heap.push(entry);
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if (!this.#before(entry, heap[parent]!)) break;
      heap[hole] = heap[parent]!;
      hole = parent;
    }
    heap[hole] = entry;
  }

  /** Takes the first item out; undefined when empty. */
  pop(): T | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined) return undefined;
    if (heap.length > 0) this.#sink(last);
    return first.item;
  }

  clear(): void {
    this.#heap = [];
  }

  /** Puts `entry` where it belongs, starting from a hole at the top. */
  #sink(entry: Entry<T>): void {
    const heap = this.#heap;
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#before(heap[child + 1]!, heap[child]!)) child++;
      if (!this.#before(heap[child]!, entry)) break;
      heap[hole] = heap[child]!;
      hole = child;
    }
    heap[hole] = entry;
  }

  #before(a: Entry<T>, b: Entry<T>): boolean {
    const order = this.#compare(a.item, b.item);
    return order < 0 || (order === 0 && a.sequence < b.sequence);
  }
}
