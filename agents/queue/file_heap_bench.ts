/** What the queue of one destination costs for a million files. */
import { FileHeap } from "./file_heap.ts";

const COUNT = 1_000_000;
const indices = Uint32Array.from({ length: COUNT }, (_, i) => i);
const random = Float64Array.from(indices, (i) => Math.imul(i + 1, 0x9e3779b1) >>> 0);
const descending = Float64Array.from(indices, (i) => COUNT - i);

function drain(heap: FileHeap): void {
  while (heap.pop() !== undefined);
}

const cases = { random, descending, equal: 1100 };
for (const [name, keys] of Object.entries(cases)) {
  Deno.bench(`build, 1 M ${name} keys`, { group: "build", n: 10 }, () => {
    new FileHeap("priority").pushMany(0, indices, keys);
  });
  Deno.bench(`build and drain, 1 M ${name} keys`, { group: "drain", n: 10 }, () => {
    const heap = new FileHeap("priority");
    heap.pushMany(0, indices, keys);
    drain(heap);
  });
}

Deno.bench("push one by one and drain, 1 M random keys", { group: "drain", n: 10 }, () => {
  const heap = new FileHeap("priority");
  for (let i = 0; i < COUNT; i++) heap.push(0, i, random[i]!);
  drain(heap);
});
