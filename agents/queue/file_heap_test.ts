import assert from "node:assert/strict";
import fc from "fast-check";
import { FileHeap, fileIndexOf, fileRef, type QueueOrder, taskSlotOf } from "./file_heap.ts";
import { staticKey } from "./score.ts";

function drain(heap: FileHeap): number[] {
  const out: number[] = [];
  for (let ref = heap.pop(); ref !== undefined; ref = heap.pop()) out.push(ref);
  return out;
}

Deno.test("a file reference keeps slot and index at both ends of their ranges", () => {
  for (const [slot, index] of [[0, 0], [0, 0xffff_ffff], [0xffff, 0], [0xffff, 0xffff_ffff]]) {
    const ref = fileRef(slot!, index!);
    assert.equal(taskSlotOf(ref), slot);
    assert.equal(fileIndexOf(ref), index);
  }
});

Deno.test("an empty heap has nothing to peek at or pop", () => {
  const heap = new FileHeap("priority");
  assert.equal(heap.peek(), undefined);
  assert.equal(heap.pop(), undefined);
});

Deno.test("numbers out of range are refused and leave the heap as it was", () => {
  const heap = new FileHeap("priority");
  heap.push(1, 7, 5);
  assert.throws(() => heap.push(0x1_0000, 0, 0), RangeError);
  assert.throws(() => heap.push(0, -1, 0), RangeError);
  assert.throws(() => heap.push(0, 0, Number.NaN), RangeError);
  assert.throws(() => heap.pushMany(0, [1, 2], [9, Number.NaN]), RangeError);
  assert.throws(() => heap.pushMany(0, [1, 2], [9]), RangeError);
  assert.equal(heap.size, 1);
  assert.deepEqual(drain(heap), [fileRef(1, 7)]);
});

interface Item {
  slot: number;
  index: number;
  key: number;
  sequence: number;
}

const key = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.double({ noNaN: true }));
const slot = fc.integer({ min: 0, max: 3 });
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("push" as const), slot, key }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("pushMany" as const),
      slot,
      keys: fc.oneof(fc.array(key), fc.array(key).map((k) => k.toSorted((a, b) => b - a))),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("pop" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("remove" as const), slot }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("clear" as const) }) },
);

for (const order of ["priority", "fifo"] as const satisfies QueueOrder[]) {
  for (const firstSequence of [0, 0xffff_ffff - 20]) {
    Deno.test(`any mix of steps in ${order} order from sequence ${firstSequence} equals a stable sort`, () => {
      fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const heap = new FileHeap(order, firstSequence);
        let oracle: Item[] = [];
        let sequence = 0;
        const first = () =>
          oracle.toSorted((a, b) =>
            order === "priority" && a.key !== b.key
              ? (a.key > b.key ? -1 : 1)
              : a.sequence - b.sequence
          )[0];
        const add = (slot: number, key: number) => {
          oracle.push({ slot, index: sequence, key, sequence: sequence++ });
        };
        const take = () => {
          const expected = first();
          const ref = expected && fileRef(expected.slot, expected.index);
          assert.equal(heap.peek(), ref);
          assert.equal(heap.pop(), ref);
          oracle = oracle.filter((item) => item !== expected);
        };
        for (const s of steps) {
          if (s.do === "push") {
            heap.push(s.slot, sequence, s.key);
            add(s.slot, s.key);
          } else if (s.do === "pushMany") {
            heap.pushMany(s.slot, s.keys.map((_, i) => sequence + i), s.keys);
            for (const k of s.keys) add(s.slot, k);
          } else if (s.do === "pop") {
            take();
          } else if (s.do === "remove") {
            const kept = oracle.filter((item) => item.slot !== s.slot);
            assert.equal(heap.removeTask(s.slot), oracle.length - kept.length);
            oracle = kept;
          } else {
            heap.clear();
            oracle = [];
          }
          assert.equal(heap.size, oracle.length);
        }
        while (oracle.length > 0) take();
        assert.equal(heap.pop(), undefined);
      }));
    });
  }
}

Deno.test("files leave by priority, smaller first, older first, and cross over where the score says", () => {
  const heap = new FileHeap("priority");
  const add = (index: number, priority: 0 | 1 | 2 | 3, sizeBytes: number, addedAtMs: number) =>
    heap.push(0, index, staticKey(priority, sizeBytes, addedAtMs));
  add(6, 0, 0, 0);
  add(5, 1, 100_000_000, 0); // 99 points behind a small file of the same age …
  add(3, 1, 0, 980_000); // … which is added 980 s later and still goes first,
  add(4, 1, 0, 985_000);
  add(7, 0, 0, 1_000);
  add(2, 1, 1_000_000, 0);
  add(1, 2, 1e12, 9_000_000); // a level up is worth more than 9,000 s and all smallness
  add(0, 3, 0, 0);
  assert.deepEqual(drain(heap), [0, 1, 2, 3, 4, 5, 6, 7]);
  add(1, 1, 0, 995_000); // … but one added 995 s later does not
  add(0, 1, 100_000_000, 0);
  assert.deepEqual(drain(heap), [0, 1]);
});

Deno.test("a million files leave in exact order, ties included", () => {
  const count = 1_000_000;
  const indices = new Uint32Array(count);
  const keys = new Float64Array(count);
  let state = 12345;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    indices[i] = i;
    keys[i] = state >>> 14; // 262,144 different keys, so most have ties
  }
  const heap = new FileHeap("priority");
  heap.pushMany(9, indices, keys);
  assert.equal(heap.size, count);
  let lastKey = Number.POSITIVE_INFINITY;
  let lastIndex = -1;
  for (let i = 0; i < count; i++) {
    const ref = heap.pop()!;
    const index = fileIndexOf(ref);
    const k = keys[index]!;
    if (k > lastKey || (k === lastKey && index < lastIndex)) {
      assert.fail(`${index} with key ${k} came after ${lastIndex} with key ${lastKey}`);
    }
    lastKey = k;
    lastIndex = index;
    keys[index] = Number.NaN; // a file that came twice would compare as NaN:
    if (Number.isNaN(k)) assert.fail(`${index} came twice`);
  }
  assert.equal(heap.size, 0);
});
